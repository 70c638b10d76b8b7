//! What sessions found, range by range, for operators.
//!
//! A range *differs, or can't be compared*, from the end of the session that found so until all its replicas were compared and
//! are equal. What is counted are parts of partitions that a session saw to differ and that are not known to be equal on all
//! replicas since. So a range with a replica that is down counts what was found among the others meanwhile, for that one has
//! not been written it; what it alone lacks nobody sees before it is back. The count is a lower bound: the most that one session
//! found, as a later one may have seen the same again.
//!
//! All of this is in memory, on the node that looks after the range: another one, and this one after a start, tells it from its
//! first session on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use starling_model::{Seconds, TableId, TokenRange};

/// How a range that this node looks after fared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    /// When all replicas were last found, or made, equal.
    agreed_at: Option<Seconds>,
    /// Parts of partitions that were seen to differ and are not known to be equal on all replicas since.
    differing: u64,
    /// Since when it is known that something differs, or can't be compared.
    since: Option<Seconds>,
    /// Why the last session gave up, or was one without all replicas.
    problem: Option<String>,
}

/// All ranges that this node looks after.
#[derive(Debug, Default)]
pub(crate) struct Divergences {
    ranges: BTreeMap<(TableId, TokenRange), State>,
}

/// A table's ranges that this node looks after: of each range the first live replica does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDivergence {
    /// `keyspace.table`.
    pub table: String,
    /// How many ranges it looks after.
    pub ranges: u64,
    /// Of how many it is known that all replicas were equal once.
    pub agreed: u64,
    /// The earliest of the seconds (since the epoch) at which each was last equal; absent while one never was.
    pub oldest_agreement: Option<u32>,
    /// Parts of partitions that were seen to differ and are not known to be equal on all replicas since: at least so many.
    pub differing: u64,
    /// How many ranges differ or can't be compared.
    pub diverged_ranges: u64,
    /// The earliest of the seconds (since the epoch) since which one of them does; absent if none does.
    #[serde(default)]
    pub diverged_since: Option<u32>,
    /// Those of them that have differed longest, first of all, 32 at most.
    pub diverged: Vec<DivergedRange>,
}

/// A range that differs, or can't be compared with all its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DivergedRange {
    /// Exclusive.
    pub start: i64,
    /// Inclusive.
    pub end: i64,
    /// Parts of partitions that were seen to differ: at least so many.
    pub differing: u64,
    /// Since when, in seconds since the epoch.
    pub since: u32,
    /// Why it could not be repaired.
    pub problem: Option<String>,
}

/// The most ranges that are told one by one.
const TOLD: usize = 32;

/// Of all these tables' ranges, the 32 that have differed longest, with their tables and that one first. A range keeps its place
/// for as long as it differs, but for those before it that heal.
pub fn diverged_longest(tables: &[TableDivergence]) -> Vec<(&TableDivergence, &DivergedRange)> {
    let mut ranges: Vec<_> = tables
        .iter()
        .flat_map(|table| table.diverged.iter().map(move |range| (table, range)))
        .collect();
    ranges.sort_by_key(|(_, range)| range.since);
    ranges.truncate(TOLD);
    ranges
}

impl Divergences {
    /// Whether this node looks after the range.
    pub(crate) fn has(&self, table: TableId, tokens: TokenRange) -> bool {
        self.ranges.contains_key(&(table, tokens))
    }

    /// The replicas are equal.
    pub(crate) fn agree(&mut self, table: TableId, tokens: TokenRange, now: Seconds) {
        let state = State {
            agreed_at: Some(now),
            ..State::default()
        };
        self.ranges.insert((table, tokens), state);
    }

    /// All replicas that there are were compared, which may not be those that the range will have: so many parts of
    /// partitions differ still.
    pub(crate) fn compared(&mut self, table: TableId, tokens: TokenRange, now: Seconds, differing: u64) {
        let state = self.ranges.entry((table, tokens)).or_default();
        state.since = state.since.or(Some(now)).filter(|_| differing > 0);
        state.differing = differing;
        state.problem = None;
    }

    /// Not all replicas were compared to the end, and `problem` is why. So many parts of partitions were seen to differ that are not
    /// known to be equal on all of them now; so does what was known to, as far as is known.
    pub(crate) fn incomplete(
        &mut self,
        table: TableId,
        tokens: TokenRange,
        now: Seconds,
        differing: u64,
        problem: String,
    ) {
        let state = self.ranges.entry((table, tokens)).or_default();
        state.since = state.since.or(Some(now));
        state.differing = state.differing.max(differing);
        state.problem = Some(problem);
    }

    /// These are the ranges that this node looks after from now on.
    pub(crate) fn look_after(&mut self, ranges: &BTreeSet<(TableId, TokenRange)>) {
        self.ranges.retain(|range, _| ranges.contains(range));
        for range in ranges {
            self.ranges.entry(*range).or_default();
        }
    }

    /// What is known of a table; `None`: nothing.
    pub(crate) fn of(&self, table: TableId, name: String) -> Option<TableDivergence> {
        let all = || {
            let first = TokenRange {
                start: starling_model::Token::MIN,
                end: starling_model::Token::MIN,
            };
            self.ranges
                .range((table, first)..)
                .take_while(|((id, _), _)| *id == table)
        };
        let ranges = all().count() as u64;
        let agreements: Vec<Seconds> = all().filter_map(|(_, state)| state.agreed_at).collect();
        let complete = agreements.len() as u64 == ranges;
        let mut diverged: Vec<_> = all()
            .filter_map(|((_, tokens), state)| Some((state.since?.0, tokens, state)))
            .collect();
        diverged.sort_by_key(|(since, ..)| *since);
        let told = diverged.iter().take(TOLD);
        let told = told.map(|(since, tokens, state)| DivergedRange {
            start: tokens.start.0,
            end: tokens.end.0,
            differing: state.differing,
            since: *since,
            problem: state.problem.clone(),
        });
        (ranges > 0).then(|| TableDivergence {
            diverged_ranges: diverged.len() as u64,
            diverged_since: diverged.first().map(|(since, ..)| *since),
            table: name,
            ranges,
            agreed: agreements.len() as u64,
            oldest_agreement: agreements.iter().min().filter(|_| complete).map(|at| at.0),
            differing: all().map(|(_, state)| state.differing).sum(),
            diverged: told.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: TableId = TableId(7);

    fn told(divergences: &Divergences) -> (u64, u64, Option<u32>, Option<String>) {
        let table = divergences
            .of(TABLE, "k.t".to_owned())
            .expect("it is looked after");
        let first = table.diverged.first();
        let problem = first.and_then(|range| range.problem.clone());
        (
            table.diverged_ranges,
            table.differing,
            first.map(|range| range.since),
            problem,
        )
    }

    #[test]
    fn what_was_found_stands_until_something_else_is_found() {
        let mut divergences = Divergences::default();
        let range = TokenRange::ALL;
        divergences.look_after(&BTreeSet::from([(TABLE, range)]));
        assert_eq!(told(&divergences), (0, 0, None, None), "nothing is known");

        divergences.compared(TABLE, range, Seconds(10), 3);
        assert_eq!(told(&divergences), (1, 3, Some(10), None));
        divergences.incomplete(TABLE, range, Seconds(20), 0, "late".to_owned());
        let failed = (1, 3, Some(10), Some("late".to_owned()));
        assert_eq!(
            told(&divergences),
            failed,
            "they differ still, as far as is known"
        );
        // The same three, and others.
        let down = |differing| (1, differing, Some(10), Some("n2 is down".to_owned()));
        divergences.incomplete(TABLE, range, Seconds(30), 5, "n2 is down".to_owned());
        assert_eq!(told(&divergences), down(5));
        divergences.incomplete(TABLE, range, Seconds(35), 0, "n2 is down".to_owned());
        assert_eq!(
            told(&divergences),
            down(5),
            "what the others were written it lacks"
        );

        // While the ring changes nothing more than this can be found.
        divergences.compared(TABLE, range, Seconds(40), 0);
        assert_eq!(told(&divergences), (0, 0, None, None));
        divergences.incomplete(TABLE, range, Seconds(50), 0, "late".to_owned());
        assert_eq!(told(&divergences), (1, 0, Some(50), Some("late".to_owned())));
        divergences.agree(TABLE, range, Seconds(60));
        assert_eq!(told(&divergences), (0, 0, None, None));
    }

    fn tens(at: u32) -> TokenRange {
        let start = i64::from(at) * 10;
        TokenRange {
            start: starling_model::Token(start),
            end: starling_model::Token(start + 10),
        }
    }

    /// More ranges than are told one by one, of which the last has differed longest.
    #[test]
    fn the_ranges_that_have_differed_longest_are_told() {
        let mut divergences = Divergences::default();
        for at in (1..=40).rev() {
            divergences.compared(TABLE, tens(at), Seconds(1_000 - at), 1);
        }
        let table = divergences
            .of(TABLE, "k.t".to_owned())
            .expect("it is looked after");
        assert_eq!((table.diverged_ranges, table.differing), (40, 40));
        assert_eq!(table.diverged_since, Some(960));
        let told: Vec<_> = table
            .diverged
            .iter()
            .map(|range| (range.start, range.since))
            .collect();
        let longest = (0..32).map(|n| (400 - i64::from(n) * 10, 960 + n));
        assert_eq!(told, longest.collect::<Vec<_>>());
        divergences.look_after(&BTreeSet::new());
        assert_eq!(divergences.of(TABLE, "k.t".to_owned()), None);
    }

    #[test]
    fn of_all_tables_no_more_are_told_than_of_one() {
        let mut divergences = Divergences::default();
        let other = TableId(8);
        for at in 1..=40 {
            divergences.compared(TABLE, tens(at), Seconds(100 + 2 * at), 1);
            divergences.compared(other, tens(at), Seconds(101 + 2 * at), 1);
        }
        let of = |table: TableId| divergences.of(table, format!("k.t{}", table.0));
        let tables: Vec<_> = [TABLE, other].into_iter().filter_map(of).collect();
        let told = diverged_longest(&tables);
        let told: Vec<_> = told
            .iter()
            .map(|(table, range)| (table.table.as_str(), range.since))
            .collect();
        let longest = (102..134).map(|since| (["k.t7", "k.t8"][since as usize % 2], since));
        assert_eq!(told, longest.collect::<Vec<_>>());
        assert!(diverged_longest(&[]).is_empty());
    }
}
