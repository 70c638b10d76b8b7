//! What the strategies cost, simulated: bytes written, tables that a read meets, space.

use proptest::prelude::*;

use super::choices::{WHOLE, sizes, table};
use crate::compaction::{Candidate, Scaling, unified};

/// What a simulated load cost.
#[derive(Debug, Default)]
struct Cost {
    flushed: u64,
    written: u64,
    /// The most tables over one token, at rest.
    overlapping: usize,
    /// The most bytes that were live, and the most with one merge under way.
    live: u64,
    with_merge: u64,
}

/// Loads flushes of the given sizes. Everything overwrites itself after `distinct` bytes.
fn load(flushes: impl Iterator<Item = u64>, flush_bytes: u64, scaling: Scaling, distinct: u64) -> Cost {
    let sizes = sizes(flush_bytes, flush_bytes * 8);
    let mut tables: Vec<Candidate> = Vec::new();
    let mut cost = Cost::default();
    let mut next = 0;
    for bytes in flushes {
        tables.push(table(next, bytes));
        next += 1;
        cost.flushed += bytes;
        cost.written += bytes;
        while let Some(pick) = unified::picks(&tables, sizes, scaling).into_iter().next() {
            let live: u64 = tables.iter().map(|table| table.bytes).sum();
            cost.with_merge = cost.with_merge.max(live + pick.bytes);
            tables.retain(|table| !pick.files.contains(&table.number));
            let all = (WHOLE.end.0 - WHOLE.start.0) as u64;
            let width = |part: &starling_model::TokenRange| (part.end.0 - part.start.0) as u64;
            let merged: u64 = pick.parts.iter().map(&width).sum();
            for part in &pick.parts {
                // No slice can hold more than all that there is of it.
                let bytes = (pick.bytes * width(part) / merged).min(distinct * width(part) / all);
                cost.written += bytes;
                tables.push(Candidate {
                    tokens: *part,
                    ..table(next, bytes)
                });
                next += 1;
            }
        }
        let over = |table: &Candidate| {
            let start = table.tokens.start;
            let covers = |other: &&Candidate| other.tokens.start <= start && start < other.tokens.end;
            tables.iter().filter(covers).count()
        };
        cost.overlapping = cost.overlapping.max(tables.iter().map(over).max().unwrap_or(0));
        cost.live = cost.live.max(tables.iter().map(|table| table.bytes).sum());
    }
    cost
}

/// How many levels hold what was loaded, if each is `fan` times the one below.
fn levels(total: u64, flush: u64, fan: u64) -> u64 {
    let mut levels = 1;
    let mut size = flush;
    while size < total {
        size *= fan;
        levels += 1;
    }
    levels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_load_in_tiers_writes_every_byte_once_a_level(
        fan in 2_i8..9,
        count in 1_usize..300,
        percents in prop::collection::vec(60_u64..160, 300),
    ) {
        let flush = 1 << 20;
        let flushes = percents.iter().take(count).map(|percent| flush * percent / 100);
        let cost = load(flushes, flush, Scaling::all(fan - 2), u64::MAX >> 20);
        let fan = fan as u64;
        let levels = levels(cost.flushed, flush, fan);
        prop_assert!(cost.written <= cost.flushed * (levels + 1), "{cost:?}");
        // A read meets fewer than a fan of tables in each level.
        prop_assert!(cost.overlapping as u64 <= (fan - 1).max(1) * (levels + 1) , "{cost:?}");
        // But for what is lost by rounding where tables are cut.
        prop_assert!(cost.live <= cost.flushed && cost.live + 10_000 > cost.flushed, "{cost:?}");
        prop_assert!(cost.with_merge <= 2 * cost.flushed);
    }

    #[test]
    fn a_leveled_load_is_read_from_few_tables(fan in 3_i8..11, count in 1_usize..300) {
        let flush = 1 << 20;
        let cost = load((0..count).map(|_| flush), flush, Scaling::all(2 - fan), u64::MAX >> 20);
        let fan = fan as u64;
        let levels = levels(cost.flushed, flush, fan);
        prop_assert!(cost.overlapping as u64 <= levels + 1, "{cost:?}");
        prop_assert!(cost.written <= cost.flushed * levels * fan, "{cost:?}");
    }

    #[test]
    fn overwriting_takes_bounded_space(fan in 2_i8..7, distinct in 1_u64..40) {
        let flush = 1 << 20;
        let distinct = distinct * flush;
        let cost = load((0..400).map(|_| flush), flush, Scaling::all(fan - 2), distinct);
        let fan = fan as u64;
        // At most a fan of versions in the densest level, and as much in all below it.
        prop_assert!(cost.live <= 2 * fan * distinct.max(flush), "{cost:?}");
        prop_assert!(cost.with_merge <= 2 * cost.live + fan * flush, "{cost:?}");
    }
}

#[test]
fn a_load_of_five_million_rows_at_the_default() {
    // 12 flushes of 64 MiB of memory, which half of it is on disk: each byte is flushed, and merged once.
    let flush = 32 << 20;
    let cost = load((0..12).map(|_| flush), flush, Scaling::default(), u64::MAX >> 20);
    assert_eq!(cost.written, 2 * cost.flushed);
    assert_eq!(
        cost.overlapping, 5,
        "two tables of four flushes each, and three flushes, at the most"
    );
}
