//! An open table.

mod damage;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use starling_model::{DecoratedKey, Token, TokenSet};

use super::{
    Cursor, Properties, Target,
    block::{self, Entries, Malformed},
    checks::Checks,
    codec::{Codec, Decompressor},
    directory::Directory,
    extent::Extents,
    filter,
    holes::Holes,
    layout::{self, Footer, HEADER_BYTES, Handle},
    stripe::{self, Separator},
    warmth::Warmth,
};
use crate::{
    Error,
    fs::{Fs, Map},
};

/// An open, immutable table, mapped into memory.
///
/// Opening checks the frame of the file: header, footer, directory, properties, dictionary. A data block is
/// checked each time it is read, a stripe's index and filter when they are first used.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    number: u64,
    file: Map,
    footer: Footer,
    directory: Directory,
    extents: Extents,
    /// The stripes that were found whole.
    checks: Checks,
    decompressor: Decompressor,
    properties: Properties,
    /// The tokens of the first and the last partition as keys begin with them.
    tokens: (u64, u64),
    holes: Holes,
    warmth: Warmth,
    /// Bytes of the largest row, as far as is known.
    largest_row: AtomicU64,
}

/// A block in the file: its stripe, and its number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) stripe: usize,
    pub(super) block: usize,
}

impl Table {
    /// Opens the table with this number in a directory.
    pub fn open(fs: &dyn Fs, dir: &Path, number: u64) -> Result<Self, Error> {
        Self::open_file(fs, dir.join(file_name(number)), number)
    }

    /// Opens a table under any name.
    pub fn open_file(fs: &dyn Fs, path: PathBuf, number: u64) -> Result<Self, Error> {
        let file = fs.map(&path).map_err(Error::io("open", &path))?;
        let footer = Footer::decode(&path, &file)?;
        let malformed =
            |handle: Handle, what| Error::corrupt(&path, handle.offset, format!("malformed {what}"));
        let directory = layout::checked(&path, &file, footer.directory, "directory")?;
        let directory = Directory::read(&directory).map_err(|_| malformed(footer.directory, "directory"))?;
        let properties = layout::checked(&path, &file, footer.properties, "properties")?;
        let properties = Properties::decode(properties)
            .map_err(|error| Error::corrupt(&path, footer.properties.offset, error.to_string()))?;
        let dictionary = footer
            .dictionary
            .map(|handle| layout::checked(&path, &file, handle, "dictionary"))
            .transpose()?;
        let dictionary = dictionary.as_ref().map(|bytes| &bytes[layout::CHECKSUM_BYTES..]);
        let warmth = Warmth::new(file.len() as u64);
        Ok(Self {
            number,
            extents: Extents::of(directory.handles()),
            checks: Checks::new(directory.stripes()),
            decompressor: Decompressor::new(dictionary),
            tokens: (ordered(&properties.first_key), ordered(&properties.last_key)),
            path,
            file,
            footer,
            directory,
            largest_row: AtomicU64::new(properties.large_rows.largest),
            properties,
            holes: Holes::default(),
            warmth,
        })
    }

    /// Its number, which is in its file's name.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// Takes a range of its file, cut to it, out of this process's memory, until it is read again.
    pub(crate) fn release(&self, range: Range<u64>) {
        self.file.release(range.start as usize..range.end as usize);
    }

    /// Whether a range of its file, cut to it, is in memory, as far as is known.
    pub fn is_resident(&self, range: Range<u64>) -> bool {
        self.file.is_resident(range.start as usize..range.end as usize)
    }

    /// Whether a range of its file, cut to it, is in memory, or was within the last `trusted` seconds.
    pub fn is_warm(&self, range: Range<u64>, now: u32, trusted: u32) -> bool {
        self.warmth
            .is_warm(range, now, trusted, |range| self.is_resident(range))
    }

    /// Reads a range of its file, cut to it, into memory, and returns once it is there.
    pub fn load(&self, range: Range<u64>) {
        self.file.load(range.start as usize..range.end as usize);
    }

    /// Where the index and the filter lie that lead to the target's partition; `None` if the table has nothing of
    /// it. Touches no page of the file.
    pub fn way_to(&self, target: &Target) -> Option<Range<u64>> {
        let stripe = self.stripe_of(&Separator::new(target.prefix()))?;
        Some(self.index_range(stripe))
    }

    /// Where the index lies that leads to a key. Touches no page of the file.
    pub fn index_of(&self, key: &[u8]) -> Range<u64> {
        self.index_range(self.directory.find(&Separator::new(key)).unwrap_or(0))
    }

    fn index_range(&self, stripe: usize) -> Range<u64> {
        let handle = self.directory.handle(stripe);
        handle.offset..handle.offset + u64::from(handle.length)
    }

    /// Where the block lies that may hold the first entry at or after a key. Touches its index only.
    pub fn block_of(&self, key: &[u8]) -> Result<Range<u64>, Error> {
        self.range(self.place(key)?)
    }

    /// The tokens of its first and its last partition.
    pub fn token_range(&self) -> (Token, Token) {
        (token(self.tokens.0), token(self.tokens.1))
    }

    /// Lets the system forget a range of its file, cut to it. A hint.
    pub fn forget(&self, range: Range<u64>) {
        self.file.drop_behind(range.start as usize..range.end as usize);
    }

    /// Bytes of the indexes and filters in it.
    pub fn index_bytes(&self) -> u64 {
        let stripes = 0..self.directory.stripes();
        stripes
            .map(|stripe| u64::from(self.directory.handle(stripe).length))
            .sum()
    }

    /// What is known of it without reading.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Bytes of its largest row, in its encoding; 0 if that is small, or nothing is known of it.
    pub fn largest_row(&self) -> u64 {
        self.largest_row.load(Ordering::Relaxed)
    }

    /// A row of so many bytes was met in it.
    pub fn meet_row(&self, bytes: u64) {
        self.largest_row.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Whether a partition with this prefix (see [`super::key::prefix`]) may be in it.
    pub fn may_contain(&self, _key: &DecoratedKey, prefix: &[u8]) -> Result<bool, Error> {
        self.may_hold(prefix, filter::hash(prefix))
    }

    /// Whether the target's partition may be in it. About 1 % of those that are not seem to be.
    pub fn may_contain_target(&self, target: &Target) -> Result<bool, Error> {
        self.may_hold(target.prefix(), target.hash())
    }

    pub(super) fn may_hold(&self, prefix: &[u8], hash: u64) -> Result<bool, Error> {
        match self.stripe_of(&Separator::new(prefix)) {
            Some(stripe) => {
                let hit = self.stripe(stripe)?.may_contain(hash);
                self.intact(stripe)?;
                Ok(hit)
            }
            None => Ok(false),
        }
    }

    /// The stripe in which a partition would begin; `None` if it would be outside of the table.
    #[inline]
    fn stripe_of(&self, prefix: &Separator<'_>) -> Option<usize> {
        let (first, last) = self.tokens;
        if prefix.start < first || prefix.start > last || self.holes.over(prefix.start).is_some() {
            return None;
        }
        self.directory.find(prefix)
    }

    /// The value of exactly the target's entry; `None` if there is none. Of a block that is not compressed it
    /// shares the file's memory, else it is a copy of the value alone.
    pub fn find(&self, target: &mut Target) -> Result<Option<Bytes>, Error> {
        let Some(place) = self.lead(target)? else {
            return Ok(None);
        };
        let (block, offset) = self.block(place)?;
        let malformed = |_| self.malformed(offset);
        let shape = block::Shape::read(block).map_err(malformed)?;
        let view = block::View::new(block, shape);
        let (key, bodies) = target.parts();
        let ties = view.ties(key);
        if ties.is_empty() {
            return Ok(None);
        }
        if shape.codec == Codec::None {
            let entries = Entries::new(view, view.stored());
            let found = found(entries, ties, key).map_err(malformed)?;
            return Ok(found.map(|value| self.file.slice_ref(&view.stored()[value])));
        }
        let wanted = if shape.codec.is_partial() {
            view.end(ties.end - 1)
        } else {
            shape.body_bytes
        };
        if wanted > shape.body_bytes {
            return Err(self.malformed(offset));
        }
        let (id, prelude) = self.decompressor.prelude(shape.codec);
        let memory = bodies.memory(id, prelude, wanted);
        self.decompressor
            .decompress(shape.codec, view.stored(), prelude.len(), memory)
            .map_err(malformed)?;
        let body = &memory[prelude.len()..];
        let found = found(Entries::new(view, body), ties, key).map_err(malformed)?;
        let value = found.map(|value| Bytes::copy_from_slice(&body[value]));
        bodies.keep_small();
        Ok(value)
    }

    /// The block that holds the target if any does; `None` if the filter says that none does.
    fn lead(&self, target: &Target) -> Result<Option<Place>, Error> {
        let key = target.separator();
        let Some(home) = self.stripe_of(&key) else {
            return Ok(None);
        };
        // Of a partition that spans stripes the filter is where it begins, and the row may be elsewhere.
        let wide = self.directory.is_within(home, &key);
        let begin = if wide {
            self.directory.find(&Separator::new(target.prefix()))
        } else {
            Some(home)
        };
        let Some(begin) = begin else { return Ok(None) };
        if !self.stripe(begin)?.may_contain(target.hash()) {
            self.intact(begin)?;
            return Ok(None);
        }
        self.place_in(home, &key).map(Some)
    }

    /// The bytes of the file that a search for the target reads last: its block; `None` if the filter says
    /// that there is none. To learn whether they are in memory.
    pub fn locate(&self, target: &Target) -> Result<Option<Range<u64>>, Error> {
        let Some(place) = self.lead(target)? else {
            return Ok(None);
        };
        self.range(place).map(Some)
    }

    /// A cursor over all entries.
    pub fn cursor(self: &Arc<Self>) -> Cursor {
        Cursor::new(Arc::clone(self))
    }

    /// The only block that may hold the first entry at or after a key, if not the next block begins with it.
    pub(super) fn place(&self, key: &[u8]) -> Result<Place, Error> {
        let key = Separator::new(key);
        match self.directory.find(&key) {
            Some(stripe) => self.place_in(stripe, &key),
            None => Ok(Place { stripe: 0, block: 0 }),
        }
    }

    fn place_in(&self, stripe: usize, key: &Separator<'_>) -> Result<Place, Error> {
        let end = self.directory.start(stripe + 1);
        let block = self.stripe(stripe)?.find(key, end);
        self.intact(stripe)?;
        let block = block.map_err(|_| self.malformed(self.directory.handle(stripe).offset))?;
        Ok(Place { stripe, block })
    }

    /// The last block.
    pub(super) fn last_place(&self) -> Result<Place, Error> {
        let stripe = self.directory.stripes() - 1;
        let block = self.stripe_shape(stripe)?.1.blocks - 1;
        Ok(Place { stripe, block })
    }

    /// The block after this one.
    pub(super) fn next_place(&self, place: Place) -> Result<Option<Place>, Error> {
        let Place { stripe, block } = place;
        if block + 1 < self.stripe_shape(stripe)?.1.blocks {
            return Ok(Some(Place {
                stripe,
                block: block + 1,
            }));
        }
        let stripe = stripe + 1;
        Ok((stripe < self.directory.stripes()).then_some(Place { stripe, block: 0 }))
    }

    /// The block before this one.
    pub(super) fn place_before(&self, place: Place) -> Result<Option<Place>, Error> {
        let Place { stripe, block } = place;
        if let Some(block) = block.checked_sub(1) {
            return Ok(Some(Place { stripe, block }));
        }
        let Some(stripe) = stripe.checked_sub(1) else {
            return Ok(None);
        };
        let block = self.stripe_shape(stripe)?.1.blocks - 1;
        Ok(Some(Place { stripe, block }))
    }

    /// From now on the table says nothing about these tokens, both included: neither searches nor new cursors find
    /// anything there, nor touch it.
    pub fn add_hole(&self, from: Token, to: Token) {
        let ordered = |token: Token| u64::from_be_bytes(token.ordered_bytes());
        self.holes.add(ordered(from), ordered(to));
    }

    /// How many of some tokens it says nothing about. Never less than before.
    pub fn in_holes(&self, tokens: &TokenSet) -> u64 {
        self.holes.tokens().intersection(tokens).width()
    }

    pub(super) fn holes(&self) -> &Holes {
        &self.holes
    }

    /// The tokens of the first and the last partition as keys begin with them.
    pub(super) fn ends(&self) -> (u64, u64) {
        self.tokens
    }

    /// A token, as keys begin with it, before which nothing lies in a block. Does not touch the block, nor, for a
    /// stripe's first one, the stripe.
    pub(super) fn start_of(&self, place: Place) -> Result<u64, Error> {
        let start = match place.block {
            0 => self.directory.start(place.stripe),
            block => self.stripe(place.stripe)?.start(block),
        };
        self.intact(place.stripe)?;
        Ok(start.max(self.tokens.0))
    }

    /// How many bytes belong to which stripe.
    pub(super) fn extents(&self) -> &Extents {
        &self.extents
    }

    /// How many stripes there are.
    pub(super) fn stripes(&self) -> usize {
        self.directory.stripes()
    }

    /// Where a stripe's index and filter are.
    pub(crate) fn stripe_handle(&self, stripe: usize) -> Handle {
        self.directory.handle(stripe)
    }

    /// A stripe's index and filter, checked if they were not yet.
    #[inline]
    pub(super) fn stripe(&self, stripe: usize) -> Result<stripe::View<'_>, Error> {
        let (bytes, shape) = self.stripe_shape(stripe)?;
        Ok(stripe::View::new(bytes, shape))
    }

    #[inline]
    fn stripe_shape(&self, stripe: usize) -> Result<(&[u8], &stripe::Shape), Error> {
        let Handle { offset, length } = self.directory.handle(stripe);
        let bytes = layout::part(&self.path, &self.file, offset, length.into())?;
        match self.checks.get(stripe) {
            Some(shape) => Ok((bytes, shape)),
            None => Ok((bytes, self.check_stripe(stripe, bytes)?)),
        }
    }

    #[cold]
    fn check_stripe(&self, stripe: usize, bytes: &[u8]) -> Result<&stripe::Shape, Error> {
        let offset = self.directory.handle(stripe).offset;
        if !layout::is_whole(bytes, offset) {
            let what = "the index of a stripe does not match its checksum";
            return Err(self.corrupt_stripe(stripe, what));
        }
        let shape = stripe::Shape::read(bytes).map_err(|_| self.malformed(offset))?;
        Ok(self.checks.set(stripe, shape))
    }

    pub(super) fn range(&self, place: Place) -> Result<Range<u64>, Error> {
        let range = self.stripe(place.stripe)?.block(place.block);
        self.intact(place.stripe)?;
        range.ok_or_else(|| self.malformed(self.directory.handle(place.stripe).offset))
    }

    /// A block's bytes, checked, and its offset.
    #[inline]
    pub(super) fn block(&self, place: Place) -> Result<(&[u8], u64), Error> {
        let range = self.range(place)?;
        let block = layout::part(&self.path, &self.file, range.start, range.end - range.start)?;
        if layout::is_whole(block, range.start) {
            Ok((block, range.start))
        } else {
            Err(self.corrupt_block(place, range.start))
        }
    }

    /// Slices of the file share its memory.
    pub(super) fn share(&self, part: &[u8]) -> Bytes {
        self.file.slice_ref(part)
    }

    pub(super) fn decompressor(&self) -> &Decompressor {
        &self.decompressor
    }

    /// The parts of the file beside blocks and stripes, in no order.
    pub(super) fn frame(&self) -> impl Iterator<Item = Range<u64>> {
        let footer = self.file.len() as u64 - layout::FOOTER_BYTES as u64;
        let handles = [self.footer.directory, self.footer.properties];
        handles
            .into_iter()
            .chain(self.footer.dictionary)
            .map(|handle| handle.offset..handle.offset + u64::from(handle.length))
            .chain([0..HEADER_BYTES as u64, footer..self.file.len() as u64])
    }

    /// Whether a range of the file, inside of it, is all zeros.
    pub(super) fn is_zero(&self, range: Range<u64>) -> bool {
        self.file[range.start as usize..range.end as usize]
            .iter()
            .all(|byte| *byte == 0)
    }

    pub(super) fn malformed(&self, offset: u64) -> Error {
        Error::corrupt(&self.path, offset, "malformed block")
    }
}

/// Where in the body the value of exactly `key` is.
fn found(entries: Entries<'_>, ties: Range<usize>, key: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
    let (at, exact) = entries.search(ties, key)?;
    if exact {
        entries.value(at).map(Some)
    } else {
        Ok(None)
    }
}

fn ordered(key: &DecoratedKey) -> u64 {
    u64::from_be_bytes(key.token.ordered_bytes())
}

fn token(ordered: u64) -> Token {
    Token::from_ordered_bytes(ordered.to_be_bytes())
}

/// The suffix of a table's file.
const SUFFIX: &str = ".table";

/// The name of a table's file.
pub fn file_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// The number in a table's file name; `None` if the file is something else.
pub fn file_number(path: &Path) -> Option<u64> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    if stem.len() == 16 {
        u64::from_str_radix(stem, 16).ok()
    } else {
        None
    }
}
