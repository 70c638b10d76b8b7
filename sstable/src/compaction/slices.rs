//! The engine's part of the token space, in equal slices.
//!
//! Slices are halved again and again: a boundary of `n` slices is one of `2 n` slices too, so that tables
//! that were cut at different times still lie side by side, and not across each other.

use starling_model::{Token, TokenRange};

use crate::table::Table;

/// The most slices that the output of one compaction is cut into.
pub const MAX_SLICES: u64 = 1 << 12;

/// The part of the token space that an engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slices {
    whole: TokenRange,
}

impl Slices {
    /// Those of a part of the token space, which does not wrap; one that does is taken as all of it.
    pub fn new(whole: TokenRange) -> Self {
        let whole = if whole.start < whole.end {
            whole
        } else {
            TokenRange::ALL
        };
        Self { whole }
    }

    /// All of it.
    pub fn whole(&self) -> TokenRange {
        self.whole
    }

    /// The tokens that a flush was made for: all of the engine's, or all there are if it holds others.
    pub fn made_for(&self, table: &Table) -> TokenRange {
        let properties = table.properties();
        let own =
            self.whole.start < properties.first_key.token && properties.last_key.token <= self.whole.end;
        if own { self.whole } else { TokenRange::ALL }
    }

    /// The tokens that a table from elsewhere is taken to be made for: no more of the engine's than it needs to, on the
    /// boundaries of slices that such a table would have been cut at. So tables that came one after the other, each for
    /// other tokens, don't count as ones that overlap.
    pub fn fitting(&self, table: &Table, table_bytes: u64) -> TokenRange {
        let whole = self.made_for(table);
        let span = table.span();
        if whole != self.whole {
            return whole;
        }
        let count = Self::count(self.density(table.bytes(), span), table_bytes);
        let parts = self.cut(whole, count);
        let touched = |part: &&TokenRange| overlap(**part, span);
        let start = parts.iter().find(touched).map_or(whole.start, |part| part.start);
        let end = parts
            .iter()
            .rev()
            .find(touched)
            .map_or(whole.end, |part| part.end);
        TokenRange { start, end }
    }

    /// How many bytes a table would have if it held all of the tokens as densely as it holds its own
    /// (CEP-26's density, times a constant).
    pub fn density(&self, bytes: u64, tokens: TokenRange) -> u64 {
        let density = u128::from(bytes) * u128::from(width(self.whole)) / u128::from(width(tokens).max(1));
        u64::try_from(density).unwrap_or(u64::MAX)
    }

    /// Into how many slices tables of this density are cut, to have about `table_bytes` each: a power of two.
    pub fn count(density: u64, table_bytes: u64) -> u64 {
        // Rounded on the logarithm's scale: 1.41 times the aim is the most.
        let ratio = u128::from(density) * 1448 / 1024 / u128::from(table_bytes.max(1));
        let ratio = u64::try_from(ratio).unwrap_or(u64::MAX).max(1);
        (1 << ratio.ilog2()).min(MAX_SLICES)
    }

    /// A range of tokens, cut where it crosses the boundaries of `count` slices.
    pub fn cut(&self, tokens: TokenRange, count: u64) -> Vec<TokenRange> {
        let count = count.clamp(1, MAX_SLICES);
        let inner = (1..count)
            .map(|slice| self.boundary(slice, count))
            .filter(|boundary| tokens.start < *boundary && *boundary < tokens.end);
        let mut parts = Vec::new();
        let mut start = tokens.start;
        for end in inner.chain([tokens.end]) {
            if start < end {
                parts.push(TokenRange { start, end });
                start = end;
            }
        }
        parts
    }

    /// Where slice number `slice` of `count` starts.
    pub fn boundary(&self, slice: u64, count: u64) -> Token {
        let offset = u128::from(width(self.whole)) * u128::from(slice) / u128::from(count);
        // Two's complement: the sum is in range, because the offset is at most the width.
        Token(self.whole.start.0.wrapping_add(offset as u64 as i64))
    }
}

/// How many tokens a range holds that does not wrap.
fn width(range: TokenRange) -> u64 {
    range.end.0.abs_diff(range.start.0)
}

/// Whether two ranges that don't wrap have a token in common.
pub fn overlap(a: TokenRange, b: TokenRange) -> bool {
    a.start < b.end && b.start < a.end
}

/// The most of some ranges that hold the same token.
pub fn crowd(ranges: impl Iterator<Item = TokenRange>) -> usize {
    // Where a range ends and another starts, the end counts first.
    let mut edges: Vec<(Token, bool)> = ranges
        .flat_map(|range| [(range.start, true), (range.end, false)])
        .collect();
    edges.sort_unstable();
    let (mut open, mut most) = (0_usize, 0);
    for (_, starts) in edges {
        if starts {
            open += 1;
            most = most.max(open);
        } else {
            open -= 1;
        }
    }
    most
}
