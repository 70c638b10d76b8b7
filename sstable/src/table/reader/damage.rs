//! What of a table is damaged, and which tokens that concerns.

use std::ops::Range;

use starling_model::Token;

use super::{Place, Table, token};
use crate::{
    Error,
    table::{
        Target,
        layout::{self, Footer, Handle},
    },
};

/// What is said of a part that was whole.
const UNREADABLE: &str = "the file was cut short, or can't be read any more, while it is in use";

impl Table {
    /// Checks a stripe's index and filter, whether they were before or not; tells how many blocks there are.
    pub(in crate::table) fn check_again(&self, stripe: usize) -> Result<usize, Error> {
        let Handle { offset, length } = self.directory.handle(stripe);
        let bytes = layout::part(&self.path, &self.file, offset, length.into())?;
        if !layout::is_whole(bytes, offset) {
            return Err(self.corrupt_stripe(stripe, "the index of a stripe does not match its checksum"));
        }
        self.intact(stripe)?;
        Ok(self.stripe_shape(stripe)?.1.blocks)
    }

    /// Checks header, footer, directory, properties and dictionary anew.
    pub(in crate::table) fn check_frame(&self) -> Result<(), Error> {
        let footer = Footer::decode(&self.path, &self.file)?;
        if footer != self.footer {
            return Err(Error::corrupt(&self.path, 0, "the footer is not what it was"));
        }
        let parts = [(footer.directory, "directory"), (footer.properties, "properties")];
        let dictionary = footer.dictionary.map(|handle| (handle, "dictionary"));
        for (handle, what) in parts.into_iter().chain(dictionary) {
            layout::checked(&self.path, &self.file, handle, what)?;
        }
        self.frame_is_intact()
    }

    /// Fails if the index and the filter of a stripe, or a part of the frame, could not be read since they were found
    /// whole: what they said since then may be wrong. What blocks hold is checked each time, and is not meant.
    #[inline]
    pub(super) fn intact(&self, stripe: usize) -> Result<(), Error> {
        if self.file.is_poisoned() {
            self.parts_are_intact(stripe)?;
        }
        Ok(())
    }

    #[cold]
    fn parts_are_intact(&self, stripe: usize) -> Result<(), Error> {
        self.frame_is_intact()?;
        if self.is_poisoned_in(self.index_range(stripe)) {
            return Err(self.corrupt_stripe(stripe, UNREADABLE));
        }
        Ok(())
    }

    fn frame_is_intact(&self) -> Result<(), Error> {
        if self.file.is_poisoned() && self.frame().any(|range| self.is_poisoned_in(range)) {
            return Err(Error::corrupt(&self.path, 0, UNREADABLE));
        }
        Ok(())
    }

    /// Fails if there is something of it that could not be read since it was opened. For those who used what they had
    /// checked before: it may be zeros.
    #[cold]
    pub fn all_was_read(&self) -> Result<(), Error> {
        match self.file.lost_page() {
            Some(offset) => Err(Error::corrupt(&self.path, offset as u64, UNREADABLE)),
            None => Ok(()),
        }
    }

    fn is_poisoned_in(&self, range: Range<u64>) -> bool {
        self.file.is_poisoned_in(range.start as usize..range.end as usize)
    }

    /// Makes the page of the file at an offset one that the disk can't deliver.
    #[cfg(test)]
    pub(crate) fn lose(&self, offset: u64) {
        self.file.lose(offset as usize);
    }

    /// Between which tokens, both included, a stripe's partitions lie.
    pub(in crate::table) fn span_of(&self, stripe: usize) -> (u64, u64) {
        let from = self.directory.start(stripe).max(self.tokens.0);
        (from, self.directory.start(stripe + 1).min(self.tokens.1))
    }

    #[cold]
    pub(super) fn corrupt_stripe(&self, stripe: usize, what: &str) -> Error {
        let (from, to) = self.tokens_of(stripe);
        Error::corrupt(
            &self.path,
            self.directory.handle(stripe).offset,
            format!("{what}; it is for tokens {from} to {to}"),
        )
    }

    #[cold]
    pub(super) fn corrupt_block(&self, place: Place, offset: u64) -> Error {
        let (mut from, mut to) = self.tokens_of(place.stripe);
        if self.intact(place.stripe).is_ok()
            && let Ok(stripe) = self.stripe(place.stripe)
        {
            from = token(stripe.start(place.block)).max(from);
            if let Ok(Some(next)) = self.next_place(place)
                && next.stripe == place.stripe
            {
                to = token(stripe.start(next.block)).min(to);
            }
        }
        Error::corrupt(
            &self.path,
            offset,
            format!("a block does not match its checksum; it is for tokens {from} to {to}"),
        )
    }

    /// The error for the entry that a target finds, if its content can't be right: where its block is.
    #[cold]
    pub fn malformed_entry(&self, target: &Target) -> Error {
        match self.locate(target) {
            Ok(block) => {
                let offset = block.map_or(0, |block| block.start);
                Error::corrupt(&self.path, offset, "a row or a tombstone can't be read")
            }
            Err(error) => error,
        }
    }

    /// Between which tokens the partitions of a stripe lie.
    fn tokens_of(&self, stripe: usize) -> (Token, Token) {
        let (from, to) = self.span_of(stripe);
        (token(from), token(to))
    }

    /// Between which tokens, both included, the partitions lie of which something is at this offset of the
    /// file: those of a block, of a stripe where the index or filter is meant, or else all.
    pub fn tokens_at(&self, offset: u64) -> (Token, Token) {
        for stripe in 0..self.directory.stripes() {
            let handle = self.directory.handle(stripe);
            if (handle.offset..handle.offset + u64::from(handle.length)).contains(&offset) {
                return self.tokens_of(stripe);
            }
            if self.intact(stripe).is_err() {
                continue;
            }
            let Ok(view) = self.stripe(stripe) else { continue };
            let Ok((_, shape)) = self.stripe_shape(stripe) else {
                continue;
            };
            for block in 0..shape.blocks {
                if view.block(block).is_some_and(|range| range.contains(&offset)) {
                    let (from, mut to) = self.tokens_of(stripe);
                    if block + 1 < shape.blocks {
                        to = token(view.start(block + 1)).min(to);
                    }
                    return (token(view.start(block)).max(from), to);
                }
            }
        }
        (token(self.tokens.0), token(self.tokens.1))
    }
}
