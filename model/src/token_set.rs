//! Some of the ring: any number of arcs.

use serde::{Deserialize, Serialize};

use crate::token::{Token, TokenRange};

/// A set of tokens.
///
/// Invariant: its ranges don't wrap, are not empty, don't touch, and are in token order. So equal sets are equal
/// values. Whoever sends ranges in another form is corrected when they are received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<TokenRange>", into = "Vec<TokenRange>")]
pub struct TokenSet(Vec<TokenRange>);

impl TokenSet {
    /// Whether no token is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its ranges.
    pub fn ranges(&self) -> &[TokenRange] {
        &self.0
    }

    /// The range that holds a token, or else the first after it.
    pub fn at_or_after(&self, token: Token) -> Option<TokenRange> {
        let at = self.0.partition_point(|range| range.end < token);
        self.0.get(at).copied()
    }

    /// Whether a token is in it.
    pub fn contains(&self, token: Token) -> bool {
        self.at_or_after(token).is_some_and(|range| range.start < token)
    }

    /// Whether any token of a range that does not wrap is in it.
    pub fn touches(&self, range: TokenRange) -> bool {
        range.start < range.end
            && self
                .at_or_after(Token(range.start.0.saturating_add(1)))
                .is_some_and(|own| own.start < range.end)
    }

    /// Whether all tokens of a range that does not wrap are in it.
    pub fn covers(&self, range: TokenRange) -> bool {
        let own = self.at_or_after(range.end);
        range.start >= range.end || own.is_some_and(|own| own.start <= range.start)
    }

    /// All other tokens.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        let mut start = Token::MIN;
        for range in &self.0 {
            push(&mut rest, start, range.start);
            start = range.end;
        }
        push(&mut rest, start, Token::MAX);
        Self(rest)
    }

    /// The tokens in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            push(&mut both, x.start.max(y.start), x.end.min(y.end));
            if x.end <= y.end {
                a.next();
            } else {
                b.next();
            }
        }
        Self(both)
    }

    /// The tokens in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }

    /// The tokens in this one only.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    /// How many tokens are in it: at most 2^64 - 1, because the smallest token is no key's.
    pub fn width(&self) -> u64 {
        self.0
            .iter()
            .map(|range| range.end.0.abs_diff(range.start.0))
            .sum()
    }

    /// The set in `parts` of nearly equal width, in token order; fewer if it has not so many tokens. 0 is taken as 1.
    pub fn split(&self, parts: u64) -> Vec<Self> {
        let step = self.width().div_ceil(parts.max(1)).max(1);
        let mut all = Vec::new();
        let (mut part, mut left) = (Vec::new(), step);
        for range in &self.0 {
            let mut start = range.start;
            while start < range.end {
                let take = left.min(range.end.0.abs_diff(start.0));
                let end = Token(start.0.wrapping_add_unsigned(take));
                push(&mut part, start, end);
                start = end;
                left -= take;
                if left == 0 {
                    all.push(Self(std::mem::take(&mut part)));
                    left = step;
                }
            }
        }
        if !part.is_empty() {
            all.push(Self(part));
        }
        all
    }
}

fn push(ranges: &mut Vec<TokenRange>, start: Token, end: Token) {
    if start < end {
        ranges.push(TokenRange { start, end });
    }
}

impl FromIterator<TokenRange> for TokenSet {
    /// Of ranges in any order, which may overlap and wrap.
    fn from_iter<I: IntoIterator<Item = TokenRange>>(ranges: I) -> Self {
        let unwrapped = ranges.into_iter().flat_map(|range| range.unwrapped());
        let mut sorted: Vec<TokenRange> = unwrapped.filter(|range| range.start < range.end).collect();
        sorted.sort_unstable();
        let mut joined: Vec<TokenRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        Self(joined)
    }
}

impl From<Vec<TokenRange>> for TokenSet {
    fn from(ranges: Vec<TokenRange>) -> Self {
        ranges.into_iter().collect()
    }
}

impl From<TokenSet> for Vec<TokenRange> {
    fn from(set: TokenSet) -> Self {
        set.0
    }
}

impl From<TokenRange> for TokenSet {
    fn from(range: TokenRange) -> Self {
        [range].into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
