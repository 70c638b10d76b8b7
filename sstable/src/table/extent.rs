//! How much of a table belongs to which tokens, told by its directory alone.

use starling_model::{Token, TokenRange, TokenSet};

use super::{
    Table,
    layout::{HEADER_BYTES, Handle},
    reader::Place,
};

/// How many bytes belong to all stripes before each one, data and index; and to all together, last.
///
/// The directory knows where indexes lie and not where data does, but between two groups of indexes is the data of the
/// stripes of the second one. All stripes have the same number of blocks, but for the last one of a table, which is as much smaller
/// as its index is.
#[derive(Debug)]
pub(super) struct Extents(Vec<u64>);

impl Extents {
    /// Of a table whose stripes have their indexes in these places.
    pub(super) fn of(handles: &[Handle]) -> Self {
        let mut before = Vec::with_capacity(handles.len() + 1);
        let (mut sum, mut end) = (0_u64, HEADER_BYTES as u64);
        before.push(0);
        let weights = Weights::of(handles);
        let mut first = 0;
        let groups = handles.chunk_by(|one, next| one.end() == next.offset);
        for group in groups {
            let data = group[0].offset.saturating_sub(end);
            let whole: u64 = (first..first + group.len())
                .map(|stripe| weights.weight(stripe))
                .sum();
            let mut weighed = 0;
            let begin = sum;
            let mut indexes = 0;
            for (at, handle) in group.iter().enumerate() {
                weighed += weights.weight(first + at);
                indexes += u64::from(handle.length);
                sum = begin
                    .saturating_add(indexes)
                    .saturating_add(part(data, weighed, whole));
                before.push(sum);
                end = handle.end();
            }
            first += group.len();
        }
        Self(before)
    }

    /// Bytes that belong to what is before a stripe, of so many as all stripes have.
    fn before(&self, stripe: usize) -> (u64, u64) {
        let all = self.0.last().copied().unwrap_or_default();
        (self.0.get(stripe).copied().unwrap_or(all), all)
    }
}

/// How much data a stripe has beside others.
struct Weights {
    last: usize,
    /// Of every stripe but the last one, and of that.
    usual: u64,
    rest: u64,
}

impl Weights {
    fn of(handles: &[Handle]) -> Self {
        let last = handles.len().saturating_sub(1);
        let lengths = |handles: &[Handle]| handles.iter().map(|handle| u64::from(handle.length)).sum::<u64>();
        let rest = lengths(&handles[last..]).max(1);
        let usual = lengths(&handles[..last]).checked_div(last as u64).unwrap_or(rest);
        Self {
            last,
            usual: usual.max(1),
            rest: rest.min(usual.max(1)),
        }
    }

    fn weight(&self, stripe: usize) -> u64 {
        if stripe < self.last { self.usual } else { self.rest }
    }
}

/// As much of some bytes as one number is of another, which is at least as large.
fn part(bytes: u64, of: u64, whole: u64) -> u64 {
    let part = u128::from(bytes) * u128::from(of) / u128::from(whole.max(1));
    u64::try_from(part).unwrap_or(bytes).min(bytes)
}

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

    /// About how many bytes of the file belong to these tokens: what lies between blocks and indexes is spread over all.
    /// Exact where the set covers all of the table or none; else off by a stripe at each end of a range in the worst case, which
    /// is that a few partitions have most of its bytes.
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
        let ((begin, all), (end, _)) = (self.extents().before(low), self.extents().before(low + 1));
        // Tokens are uniform, so they tell how far into the stripe this one is.
        let into = part(end - begin, token.saturating_sub(from), to.saturating_sub(from));
        part(self.bytes(), begin + into, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(offset: u64, length: u32) -> Handle {
        Handle { offset, length }
    }

    #[test]
    fn data_before_a_group_of_indexes_belongs_to_its_stripes() {
        // 984 bytes of data, two indexes, 250 bytes of data, two indexes, of which the last is of a quarter of a stripe.
        let handles = [
            handle(1_000, 40),
            handle(1_040, 40),
            handle(1_330, 40),
            handle(1_370, 10),
        ];
        let extents = Extents::of(&handles);
        assert_eq!(
            extents.0,
            [0, 492 + 40, 984 + 80, 984 + 80 + 200 + 40, 984 + 80 + 250 + 50]
        );
        assert_eq!(extents.before(1), (532, 1_364));
        assert_eq!(extents.before(4), extents.before(5));
    }

    #[test]
    fn handles_that_make_no_sense_are_no_reason_to_stop() {
        let handles = [handle(u64::MAX, u32::MAX), handle(3, 0), handle(u64::MAX, 1)];
        assert!(Extents::of(&handles).0.is_sorted());
        assert_eq!(Extents::of(&[handle(0, 0)]).0, [0, 0]);
    }
}
