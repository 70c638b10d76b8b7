//! Reading a part of a table again, to find damage before a reader does.
//!
//! Nothing is believed that was found whole before: indexes and filters are checked anew, as is the frame with the
//! table's first tokens. What was not in memory is forgotten again, so that readers keep the page cache.

use std::{ops::Range, sync::Arc};

use starling_model::TokenRange;

use super::{Table, reader::Place};
use crate::{Error, read::lanes::start_of};

/// The part of a table that has some tokens, on its way through a scrub.
#[derive(Debug)]
pub struct Scrub {
    table: Arc<Table>,
    /// The first and the last token as keys begin with them.
    tokens: (u64, u64),
    stripe: usize,
    bytes: u64,
}

impl Scrub {
    /// Of those tokens, which do not wrap; `None` if the table has nothing there.
    pub fn new(table: &Arc<Table>, tokens: TokenRange) -> Option<Self> {
        // A range excludes its start.
        let first = start_of(&tokens.start.ordered_bytes()).saturating_add(1);
        let last = start_of(&tokens.end.ordered_bytes());
        let (begin, end) = table.ends();
        (first <= end && begin <= last).then(|| Self {
            table: Arc::clone(table),
            tokens: (first, last),
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
        let (first, last) = self.tokens;
        let begin = self.table.ends().0;
        if self.stripe == 0 && (first..=last).contains(&begin) {
            found.extend(self.table.check_frame().err());
        }
        while self.stripe < self.table.stripes() {
            let (from, to) = self.table.span_of(self.stripe);
            let stripe = self.stripe;
            self.stripe += 1;
            if from > last {
                self.stripe = self.table.stripes();
            } else if to >= first {
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
        let (first, last) = self.tokens;
        let start = self.table.start_of(place);
        let next = self.table.next_place(place);
        let end = match next {
            Ok(Some(next)) => self.table.start_of(next),
            _ => Ok(u64::MAX),
        };
        start.is_ok_and(|start| start <= last) && end.is_ok_and(|end| end >= first)
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
