//! A table's digests by ranges of tokens, kept up to date: pure.
//!
//! The token space is cut into leaves, each a block of the fixed dyadic grid of [`Cells`]
//! (or of several neighbouring blocks of equal size and parent). A leaf is cut in two when it holds more than
//! a certain number of rows ([`Repair::leaf_rows`](crate::config::Repair::leaf_rows)), down to one cell. So the memory
//! follows the rows: with 256, for a table of `n` rows there are about `n / 128` leaves, [`CELLS`] at most.
//!
//! Contract:
//! 1. The leaves cover the token space, and none overlaps another.
//! 2. A leaf that is *fresh* for `(view, since)` has the digest of its range, as the view has it, of a moment that is
//!    not before `since`.
//! 3. Equal digests of a range are equal data, whatever the leaves: sums do not depend on how a range is cut.

use std::{collections::BTreeMap, time::Duration};

use starling_model::{Token, TokenRange};
use starling_sstable::{CELLS, Cells};

use super::digest::{Digest, View};

/// A range of tokens with one digest.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    start: Token,
    digest: Option<Digest>,
    /// The `gc_grace_seconds` that the digest was made with.
    grace: u32,
    /// Written to since the digest's moment.
    changed: bool,
    /// The digest has all that was written before this, by the monotonic clock.
    as_of: Duration,
}

impl Leaf {
    fn fresh(&self, view: View, since: Duration) -> Option<&Digest> {
        let current = (!self.changed || self.as_of >= since) && self.grace == view.grace;
        self.digest
            .as_ref()
            .filter(|digest| current && digest.holds_at(view.now))
    }
}

/// The digests of one table.
#[derive(Debug)]
pub struct Tree {
    /// By their ends.
    leaves: BTreeMap<Token, Leaf>,
    /// A leaf with more rows is cut.
    leaf_rows: u64,
}

/// A leaf that a range touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// The leaf's whole range.
    pub tokens: TokenRange,
    /// Its digest, if that is fresh.
    pub digest: Option<Digest>,
}

impl Tree {
    /// A tree of which nothing is hashed yet. Leaves of more than `leaf_rows` rows will be cut.
    pub fn new(leaf_rows: u64) -> Self {
        let leaf = Leaf {
            start: Token::MIN,
            digest: None,
            grace: 0,
            changed: true,
            as_of: Duration::ZERO,
        };
        Self {
            leaves: BTreeMap::from([(Token::MAX, leaf)]),
            leaf_rows,
        }
    }

    /// How many leaves there are.
    pub(crate) fn leaves(&self) -> usize {
        self.leaves.len()
    }

    /// The bytes of memory it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        // A B-tree's nodes are two thirds full.
        self.leaves.len() * (size_of::<Token>() + size_of::<Leaf>()) * 3 / 2
    }

    /// How many leaves were written to since they were hashed, or never were.
    pub fn changed(&self) -> usize {
        let changed = |leaf: &&Leaf| leaf.changed || leaf.digest.is_none();
        self.leaves.values().filter(changed).count()
    }

    /// These cells were written to.
    pub fn mark(&mut self, cells: &Cells) {
        for range in cells.ranges() {
            // Leaves that end in the range, and the one that goes on behind it.
            let behind = self.leaves.range(range.end..).next().map(|(end, _)| *end);
            let upper = behind.unwrap_or(Token::MAX);
            for (_, leaf) in self.leaves.range_mut(next(range.start)..=upper) {
                leaf.changed = true;
            }
        }
    }

    /// The leaves that a range touches, in order.
    pub fn touched(
        &self,
        range: TokenRange,
        view: View,
        since: Duration,
    ) -> impl Iterator<Item = Touched> + '_ {
        self.leaves
            .range(next(range.start)..)
            .take_while(move |(_, leaf)| leaf.start < range.end)
            .map(move |(end, leaf)| Touched {
                tokens: TokenRange {
                    start: leaf.start,
                    end: *end,
                },
                digest: leaf.fresh(view, since).copied(),
            })
    }

    /// Those of some leaves that were never hashed, so that nothing is known of how much they hold.
    pub(crate) fn never_hashed(&self, leaves: &[TokenRange]) -> Vec<TokenRange> {
        let is_unknown = |tokens: &&TokenRange| {
            let leaf = self.leaves.get(&tokens.end);
            leaf.is_some_and(|leaf| leaf.start == tokens.start && leaf.digest.is_none())
        };
        leaves.iter().filter(is_unknown).copied().collect()
    }

    /// Cuts the leaf of `tokens` in two if it was never hashed and has more than a cell: one of much data is hashed part by part.
    pub(crate) fn halve(&mut self, tokens: TokenRange) -> bool {
        let known = self.leaves.get(&tokens.end);
        let Some(&leaf) = known.filter(|leaf| leaf.start == tokens.start && leaf.digest.is_none()) else {
            return false;
        };
        let Some((_, [lower, upper])) = halves(tokens) else {
            return false;
        };
        for half in [lower, upper] {
            let start = half.start;
            self.leaves.insert(half.end, Leaf { start, ..leaf });
        }
        true
    }

    /// The leaf of `tokens` was hashed with this `gc_grace_seconds`: these are the digests of the cells in it that hold
    /// anything, in order.
    pub fn put(&mut self, tokens: TokenRange, cells: &[(u32, Digest)], grace: u32, as_of: Duration) {
        if self
            .leaves
            .get(&tokens.end)
            .is_none_or(|leaf| leaf.start != tokens.start)
        {
            return;
        }
        self.leaves.remove(&tokens.end);
        self.grow(tokens, cells, grace, as_of);
    }

    /// Makes leaves of a block of the grid.
    fn grow(&mut self, tokens: TokenRange, cells: &[(u32, Digest)], grace: u32, as_of: Duration) {
        let mut digest = Digest::default();
        for (_, part) in cells {
            digest.add(part);
        }
        match halves(tokens) {
            Some((middle, [lower, upper])) if digest.rows > self.leaf_rows => {
                let (left, right) = cells.split_at(cells.partition_point(|(cell, _)| *cell <= middle));
                self.grow(lower, left, grace, as_of);
                self.grow(upper, right, grace, as_of);
            }
            _ => {
                let leaf = Leaf {
                    start: tokens.start,
                    digest: Some(digest),
                    grace,
                    changed: false,
                    as_of,
                };
                self.leaves.insert(tokens.end, leaf);
            }
        }
    }
}

/// A block of the grid cut in two, and the last cell of the lower half; `None`: it is one cell.
fn halves(block: TokenRange) -> Option<(u32, [TokenRange; 2])> {
    let (first, last) = (Cells::after(block.start), Cells::of(block.end));
    if first >= last {
        return None;
    }
    let middle = u32::midpoint(first, last);
    let [mut lower, mut upper] = [block; 2];
    lower.end = Cells::range(middle).end;
    upper.start = lower.end;
    Some((middle, [lower, upper]))
}

/// The most parts that [`divide`] makes: whole blocks, and what is left at both ends.
pub(crate) const MOST_PARTS: usize = 17;

/// Cuts a range of more than a cell at the grid into about 16 parts; one part if it lies in a cell. Nodes of different
/// releases must cut alike.
pub fn divide(range: TokenRange) -> Vec<TokenRange> {
    let (first, last) = (Cells::after(range.start), Cells::of(range.end));
    let cells = last.saturating_sub(first) + 1;
    // Blocks of a power of two, so that ranges of different replicas' requests are cut alike.
    let block = cells.div_ceil(16).next_power_of_two().min(CELLS);
    let mut parts = Vec::with_capacity(MOST_PARTS);
    let mut start = range.start;
    let mut at = first - first % block + block - 1;
    while at < last {
        let end = Cells::range(at).end;
        parts.push(TokenRange { start, end });
        start = end;
        at += block;
    }
    parts.push(TokenRange {
        start,
        end: range.end,
    });
    parts
}

fn next(token: Token) -> Token {
    Token(token.0.saturating_add(1))
}
