//! Which parts of a table were written to, for whoever keeps digests of it.
//!
//! The token space is a grid of 2^16 cells, and a bit says that a cell may hold something that was not there when it
//! was last asked. The bits are set and taken by the one who owns the engine, so that "take the bits, then read those
//! cells" misses no write: one that comes after the taking sets its bit again.
//!
//! What a compaction purges sets no bit: the time by which it may do so is known to the asker.

use starling_model::{TableId, Token, TokenRange};

use super::Engine;

/// Cells of the grid.
pub const CELLS: u32 = 1 << 16;

/// The bits of a token that name its cell.
const SHIFT: u32 = 48;

/// A set of cells of the grid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    /// All of them, whatever the bits say.
    all: bool,
    /// A bit for each cell; empty: none. 8 KiB once there is one.
    bits: Vec<u64>,
}

impl Cells {
    /// Every cell.
    pub const ALL: Self = Self {
        all: true,
        bits: Vec::new(),
    };

    /// The cell that holds a token.
    pub fn of(token: Token) -> u32 {
        (u64::from_be_bytes(token.ordered_bytes()) >> SHIFT) as u32
    }

    /// The cell of the token after this one: the first of a range that starts (exclusively) here.
    pub fn after(token: Token) -> u32 {
        Self::of(Token(token.0.saturating_add(1)))
    }

    /// The tokens of a cell. No key has the smallest token, which therefore may be left out of the first.
    pub fn range(cell: u32) -> TokenRange {
        let first = u64::from(cell.min(CELLS - 1)) << SHIFT;
        let last = first | ((1 << SHIFT) - 1);
        TokenRange {
            start: Token::from_ordered_bytes(first.saturating_sub(1).to_be_bytes()),
            end: Token::from_ordered_bytes(last.to_be_bytes()),
        }
    }

    /// Adds the cell of a token.
    pub fn add(&mut self, token: Token) {
        if !self.all {
            self.set(Self::of(token));
        }
    }

    /// Adds all cells that hold tokens from `first` to `last`.
    pub fn add_between(&mut self, first: Token, last: Token) {
        if self.all {
            return;
        }
        for cell in Self::of(first)..=Self::of(last) {
            self.set(cell);
        }
    }

    /// Adds those of another set.
    pub fn merge(&mut self, other: Self) {
        if self.all || other.all {
            *self = Self::ALL;
        } else if self.bits.is_empty() {
            self.bits = other.bits;
        } else {
            for (own, theirs) in self.bits.iter_mut().zip(other.bits) {
                *own |= theirs;
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        !self.all && self.bits.is_empty()
    }

    /// The tokens of the cells, in order; neighbours are one range.
    pub fn ranges(&self) -> Vec<TokenRange> {
        if self.all {
            return vec![TokenRange::ALL];
        }
        let mut ranges: Vec<TokenRange> = Vec::new();
        for (place, word) in self.bits.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                let cell = place as u32 * 64 + left.trailing_zeros();
                left &= left - 1;
                let range = Self::range(cell);
                match ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => ranges.push(range),
                }
            }
        }
        ranges
    }

    fn set(&mut self, cell: u32) {
        if self.bits.is_empty() {
            self.bits = vec![0; CELLS as usize / 64];
        }
        self.bits[cell as usize / 64] |= 1 << (cell % 64);
    }
}

impl Engine {
    /// Takes the cells of a table that were written to since this was last asked: by writes, truncation, ingested
    /// tables or healing. After an open that is all of them.
    pub fn take_changed(&mut self, table: TableId) -> Cells {
        match self.tables.get_mut(&table) {
            Some(state) => state.changed.replace(Cells::default()).unwrap_or(Cells::ALL),
            None => Cells::default(),
        }
    }
}
