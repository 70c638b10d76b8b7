//! How much of a table belongs to which tokens, told by its directory alone.

use starling_model::{Token, TokenRange, TokenSet};

use super::{Table, reader::Place};

impl Table {
    /// All its tokens lie in this range, which does not wrap; the last one is in it, and the first is the next after its
    /// start.
    pub fn span(&self) -> TokenRange {
        let properties = self.properties();
        TokenRange {
            // No key has the smallest token.
            start: Token(properties.first_key.token.0.saturating_sub(1)),
            end: properties.last_key.token,
        }
    }

    /// About how many bytes of the file belong to these tokens. Exact where the set covers all of the table or
    /// none; else off by a stripe at each end of a range, in the worst case.
    pub fn bytes_of(&self, tokens: &TokenSet) -> u64 {
        let span = self.span();
        if tokens.covers(span) {
            return self.bytes();
        }
        let ranges = tokens.ranges().iter();
        let inside = ranges.filter(|range| range.start < span.end && range.end > span.start);
        inside
            .map(|range| {
                self.bytes_up_to(range.end)
                    .saturating_sub(self.bytes_up_to(range.start))
            })
            .sum()
    }

    /// About how many bytes belong to tokens up to and including this one.
    fn bytes_up_to(&self, token: Token) -> u64 {
        let token = u64::from_be_bytes(token.ordered_bytes());
        let (first, last) = self.ends();
        if token < first {
            return 0;
        }
        if token >= last {
            return self.bytes();
        }
        let start = |stripe: usize| {
            let place = Place { stripe, block: 0 };
            if stripe < self.stripes() {
                self.start_of(place).unwrap_or(first)
            } else {
                last
            }
        };
        let offset = |stripe: usize| match stripe {
            0 => 0,
            stripe if stripe < self.stripes() => self.stripe_handle(stripe).offset,
            _ => self.bytes(),
        };
        // The stripe that the token falls into, by halves.
        let (mut low, mut high) = (0, self.stripes());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if start(middle) <= token {
                low = middle;
            } else {
                high = middle;
            }
        }
        let (from, to) = (start(low), start(low + 1));
        let (begin, end) = (offset(low), offset(low + 1));
        // Tokens are uniform, so they tell how far into the stripe this one is.
        let part = u128::from(token.saturating_sub(from)) * u128::from(end.saturating_sub(begin))
            / u128::from(to.saturating_sub(from).max(1));
        begin + u64::try_from(part).unwrap_or(0).min(end.saturating_sub(begin))
    }
}
