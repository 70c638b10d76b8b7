//! A later write prevails over an earlier one, whatever the nodes' clocks say.
//!
//! Why it is sound. A write `b` is known to be newer than `a` if both were acknowledged, `a` returned before `b` was
//! invoked, and their replicas overlap; or if a read that was invoked after `a` had returned showed it, returned
//! before `b` was invoked, and overlaps with `b`. Once `b` has returned, a read whose replicas overlap with its own
//! shows `b` or something newer; so it must not show what is known to be older than `b`.
//!
//! Nothing is assumed of clocks or timestamps: the only order is that of the clients' calls.

use std::collections::{BTreeMap, BTreeSet};

use super::{Promise, Violation};
use crate::history::{Deed, History, Outcome, Stamped};

/// One register's writes and reads.
#[derive(Default)]
struct Register<'a> {
    writes: Vec<Write<'a>>,
    reads: Vec<(&'a Stamped, Option<i32>)>,
}

#[derive(Clone, Copy)]
struct Write<'a> {
    call: &'a Stamped,
    value: Option<i32>,
    outcome: Outcome,
}

/// Checks a whole history.
pub fn check(history: &History) -> Vec<Violation> {
    let mut registers: BTreeMap<i32, Register<'_>> = BTreeMap::new();
    for call in &history.stamped {
        let register = registers.entry(call.register).or_default();
        match call.deed {
            Deed::Wrote(value, outcome) => register.writes.push(Write { call, value, outcome }),
            Deed::Saw(value) => register.reads.push((call, value)),
        }
    }
    let mut violations = BTreeSet::new();
    for register in registers.values() {
        for (read, seen) in &register.reads {
            violations.extend(register.judge(read, *seen, history));
        }
    }
    violations.into_iter().collect()
}

impl Register<'_> {
    fn judge(&self, read: &Stamped, seen: Option<i32>, history: &History) -> Option<Violation> {
        let possible: Vec<&Write<'_>> = self
            .writes
            .iter()
            .filter(|write| write.value == seen && write.call.invoked <= read.returned)
            .filter(|write| write.outcome != Outcome::Refused)
            .collect();
        if possible.is_empty() && seen.is_some() {
            return Some(Violation {
                promise: Promise::NoInvention,
                text: format!("{read:?}, which nobody had written there"),
            });
        }
        // What a read must not fall behind.
        let bounds: Vec<&Write<'_>> = self
            .writes
            .iter()
            .filter(|write| write.outcome == Outcome::Acknowledged && follows(read, write.call, history))
            .collect();
        let newest = bounds.first()?;
        let outdated = |write: &Write<'_>| bounds.iter().any(|bound| self.is_newer(bound, write, history));
        // That nothing is shown may also mean that nothing was written yet; but the bounds were.
        possible.iter().all(|write| outdated(write)).then(|| Violation {
            promise: Promise::Causality,
            text: format!(
                "{read:?}, which is older than what was acknowledged before: {:?}",
                bounds
                    .iter()
                    .find(|bound| possible.iter().any(|write| self.is_newer(bound, write, history)))
                    .unwrap_or(newest)
                    .call
            ),
        })
    }

    /// Whether `b` is known to be newer than `a`.
    fn is_newer(&self, b: &Write<'_>, a: &Write<'_>, history: &History) -> bool {
        if a.outcome != Outcome::Acknowledged || b.outcome != Outcome::Acknowledged {
            return false;
        }
        let shown = |(read, seen): &(&Stamped, Option<i32>)| {
            *seen == a.value
                && seen.is_some()
                && a.call.returned < read.invoked
                && follows(b.call, read, history)
        };
        follows(b.call, a.call, history) || self.reads.iter().any(shown)
    }
}

/// Whether `later` was invoked after `earlier` had returned, and asks one of its replicas.
fn follows(later: &Stamped, earlier: &Stamped, history: &History) -> bool {
    earlier.returned < later.invoked && history.meets(earlier.reach, later.reach)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reach::{Factors, Reach};

    fn call(id: u32, from: u64, to: u64, replicas: usize, deed: Deed) -> Stamped {
        Stamped {
            id,
            invoked: Duration::from_secs(from),
            returned: Duration::from_secs(to),
            reach: Reach::anywhere(replicas),
            register: 1,
            deed,
        }
    }

    fn write(id: u32, from: u64, to: u64, replicas: usize, value: Option<i32>) -> Stamped {
        call(id, from, to, replicas, Deed::Wrote(value, Outcome::Acknowledged))
    }

    fn read(id: u32, from: u64, to: u64, replicas: usize, value: Option<i32>) -> Stamped {
        call(id, from, to, replicas, Deed::Saw(value))
    }

    fn broken(stamped: Vec<Stamped>) -> Vec<Promise> {
        let history = History {
            stamped,
            factors: Factors::simple(3),
            ..History::default()
        };
        check(&history)
            .into_iter()
            .map(|violation| violation.promise)
            .collect()
    }

    #[test]
    fn an_earlier_write_that_wins_is_found() {
        let writes = [write(1, 0, 1, 2, Some(1)), write(2, 2, 3, 2, Some(2))];
        let with = |last: Stamped| writes.into_iter().chain([last]).collect::<Vec<_>>();
        assert_eq!(broken(with(read(3, 4, 5, 2, Some(2)))), []);
        assert_eq!(broken(with(read(3, 4, 5, 2, Some(1)))), [Promise::Causality]);
        assert_eq!(broken(with(read(3, 4, 5, 2, None))), [Promise::Causality], "lost");
        assert_eq!(broken(with(read(3, 4, 5, 1, Some(1)))), [], "no overlap");
        assert_eq!(broken(with(read(3, 2, 5, 2, Some(1)))), [], "concurrent");
        assert_eq!(broken(with(read(3, 4, 5, 2, Some(9)))), [Promise::NoInvention]);
    }

    #[test]
    fn a_deletion_that_does_not_prevail_is_found() {
        let calls = vec![
            write(1, 0, 1, 2, Some(1)),
            write(2, 2, 3, 2, None),
            read(3, 4, 5, 2, Some(1)),
        ];
        assert_eq!(broken(calls), [Promise::Causality]);
    }

    #[test]
    fn a_read_tells_the_next_writer_what_is_older() {
        let calls = |seen: Option<i32>| {
            vec![
                // At a level that overlaps with nothing.
                write(1, 0, 1, 1, Some(1)),
                read(2, 2, 3, 2, seen),
                write(3, 4, 5, 2, Some(3)),
                read(4, 6, 7, 2, Some(1)),
            ]
        };
        assert_eq!(broken(calls(Some(1))), [Promise::Causality]);
        assert_eq!(broken(calls(None)), []);
    }

    #[test]
    fn concurrent_writes_may_win_either_way() {
        for value in [1, 2] {
            let calls = vec![
                write(1, 0, 4, 2, Some(1)),
                write(2, 3, 5, 2, Some(2)),
                read(3, 6, 7, 2, Some(value)),
            ];
            assert_eq!(broken(calls), []);
        }
    }
}
