//! Reading a part of a table again, to find damage before a reader does.
//!
//! Nothing is believed that was found whole before: indexes and filters are checked anew, as is the frame with the
//! table's first tokens. What was not in memory is forgotten again, so that readers keep the page cache.

use std::{ops::Range, sync::Arc};

use starling_model::{TokenRange, TokenSet};

use super::{Table, reader::Place};
use crate::{Error, read::lanes::start_of};

/// The part of a table that has some tokens, on its way through a scrub.
#[derive(Debug)]
pub struct Scrub {
    table: Arc<Table>,
    /// The first and the last token of each range, as keys begin with them; ascending, disjoint, at least one.
    tokens: Vec<(u64, u64)>,
    with_frame: bool,
    stripe: usize,
    bytes: u64,
}

impl Scrub {
    /// Of those tokens, which do not wrap; `None` if the table has nothing there. The frame belongs to the first token
    /// that the table has.
    pub fn new(table: &Arc<Table>, tokens: TokenRange) -> Option<Self> {
        // As a set, one without tokens would be all of them.
        let tokens = (tokens.start < tokens.end).then(|| TokenSet::from(tokens))?;
        let mut scrub = Self::with_frame(table, &tokens)?;
        let begin = table.ends().0;
        scrub.with_frame = scrub.touches(begin, begin);
        Some(scrub)
    }

    /// Of those tokens, and of the frame whichever they are: what they are read by. `None` if the table has nothing there.
    pub fn with_frame(table: &Arc<Table>, tokens: &TokenSet) -> Option<Self> {
        let (begin, end) = table.ends();
        let ranges = tokens.ranges().iter().map(|range| {
            // A range excludes its start.
            let first = start_of(&range.start.ordered_bytes()).saturating_add(1);
            (first, start_of(&range.end.ordered_bytes()))
        });
        let tokens: Vec<(u64, u64)> = ranges
            .filter(|(first, last)| *first <= end && begin <= *last)
            .collect();
        (!tokens.is_empty()).then(|| Self {
            table: Arc::clone(table),
            tokens,
            with_frame: true,
            stripe: 0,
            bytes: 0,
        })
    }

    /// Bytes that were checked so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Checks what one stripe has of the tokens; `false` once all were. What is damaged is added to `found`.
    pub fn step(&mut self, found: &mut Vec<Error>) -> bool {
        if std::mem::take(&mut self.with_frame) {
            found.extend(self.table.check_frame().err());
        }
        let end = self.tokens.last().map_or(0, |(_, last)| *last);
        while self.stripe < self.table.stripes() {
            let (from, to) = self.table.span_of(self.stripe);
            let stripe = self.stripe;
            self.stripe += 1;
            if from > end {
                self.stripe = self.table.stripes();
            } else if self.touches(from, to) {
                self.stripe_of(stripe, found);
                return true;
            }
        }
        false
    }

    fn stripe_of(&mut self, stripe: usize, found: &mut Vec<Error>) {
        let handle = self.table.stripe_handle(stripe);
        let range = handle.offset..handle.offset + u64::from(handle.length);
        let checked = self.reading(range, |table| table.check_again(stripe));
        let blocks = match checked {
            Ok(blocks) => blocks,
            // Where its blocks are is not known any more.
            Err(error) => return found.push(error),
        };
        let mine = (0..blocks).filter(|block| {
            self.is_mine(Place {
                stripe,
                block: *block,
            })
        });
        let mine: Vec<usize> = mine.collect();
        for block in mine {
            let place = Place { stripe, block };
            let checked = self.table.range(place);
            let checked = checked.and_then(|range| self.reading(range, |table| table.block(place).map(drop)));
            found.extend(checked.err());
        }
    }

    /// Whether something of the tokens can be in a block.
    fn is_mine(&self, place: Place) -> bool {
        let start = self.table.start_of(place);
        let next = self.table.next_place(place);
        let end = match next {
            Ok(Some(next)) => self.table.start_of(next),
            _ => Ok(u64::MAX),
        };
        matches!((start, end), (Ok(start), Ok(end)) if self.touches(start, end))
    }

    /// Whether some of the tokens lie from one to another, both included.
    fn touches(&self, from: u64, to: u64) -> bool {
        let at = self.tokens.partition_point(|(_, last)| *last < from);
        self.tokens.get(at).is_some_and(|(first, _)| *first <= to)
    }

    /// Does something with a range of the file; what was not in memory before is forgotten again.
    fn reading<T>(
        &mut self,
        range: Range<u64>,
        read: impl FnOnce(&Table) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let warm = self.table.is_resident(range.clone());
        let result = read(&self.table);
        self.bytes += range.end - range.start;
        if !warm {
            self.table.forget(range);
        }
        result
    }
}
