//! What was truncated stays away.
//!
//! The contract: no read that is asked for after a TRUNCATE was acknowledged, at whatever level, shows anything of a write that was
//! acknowledged before that TRUNCATE was asked for.
//!
//! Why it is sound to allow no time in between. That a write was acknowledged means that its coordinator had begun it, and
//! sent it to every replica that it was planned to, before the truncation's first round came to any node; and a truncation that
//! was acknowledged has every node refuse what was begun before, be it a message that is still on its way, a hint or a
//! repair. So it does not matter how long anything takes. What truly overlaps may show or not: a write that had not ended when the
//! truncation was asked for, or a read that was asked for before that had ended.
//!
//! A write that was not acknowledged is another thing: its client gave it up, and its coordinator may not even have begun
//! it. Only so long after that nothing of it is on its way to a coordinator any more is it judged.

use std::{collections::BTreeSet, time::Duration};

use super::{Promise, Violation};
use crate::history::{Cleared, ClearedDeed, History, Outcome};

/// So long after its client gave a write up nothing of it waits for its coordinator any more: its timeout, and what
/// messages take at most.
const GIVEN_UP: Duration = Duration::from_secs(15);

/// Checks a whole history.
pub fn check(history: &History) -> Vec<Violation> {
    let truncations: Vec<&Cleared> = history
        .cleared
        .iter()
        .filter(|call| matches!(call.deed, ClearedDeed::Truncated(Outcome::Acknowledged)))
        .collect();
    let mut violations = BTreeSet::new();
    for read in &history.cleared {
        let ClearedDeed::Saw(values) = &read.deed else {
            continue;
        };
        for value in values {
            violations.extend(judge(history, &truncations, read, *value));
        }
    }
    violations.into_iter().collect()
}

fn judge(history: &History, truncations: &[&Cleared], read: &Cleared, value: i32) -> Option<Violation> {
    let added = history.cleared.iter().find_map(|call| match call.deed {
        ClearedDeed::Added(added, outcome) if added == value => Some((call, outcome)),
        _ => None,
    });
    let Some((write, outcome)) = added else {
        return Some(Violation {
            promise: Promise::NoInvention,
            text: format!("read {} shows {value}, which nobody had written", read.id),
        });
    };
    let ended = match outcome {
        Outcome::Acknowledged => write.returned,
        _ => write.returned + GIVEN_UP,
    };
    let truncation = truncations
        .iter()
        .find(|call| ended < call.invoked && call.returned < read.invoked)?;
    Some(Violation {
        promise: Promise::Truncation,
        text: format!(
            "read {}, asked for at {:?}, shows {value} of write {}, which had ended at {:?}; truncation {} of {:?} was acknowledged at {:?}",
            read.id,
            read.invoked,
            write.id,
            write.returned,
            truncation.id,
            truncation.invoked,
            truncation.returned
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: u32, from: u64, to: u64, deed: ClearedDeed) -> Cleared {
        Cleared {
            id,
            invoked: Duration::from_secs(from),
            returned: Duration::from_secs(to),
            deed,
        }
    }

    fn broken(cleared: Vec<Cleared>) -> Vec<Promise> {
        let history = History {
            cleared,
            ..History::default()
        };
        let violations = check(&history).into_iter();
        violations.map(|violation| violation.promise).collect()
    }

    #[test]
    fn what_comes_back_is_found() {
        let calls = |outcome, read_at| {
            vec![
                call(1, 0, 1, ClearedDeed::Added(7, Outcome::Unknown)),
                call(2, 20, 21, ClearedDeed::Truncated(outcome)),
                call(3, read_at, 40, ClearedDeed::Saw(vec![7])),
            ]
        };
        assert_eq!(broken(calls(Outcome::Acknowledged, 22)), [Promise::Truncation]);
        assert_eq!(broken(calls(Outcome::Unknown, 22)), [], "it may have failed");
        assert_eq!(broken(calls(Outcome::Acknowledged, 20)), [], "at the same time");
    }

    #[test]
    fn what_was_acknowledged_a_moment_before_must_not_come_back() {
        let calls = |acknowledged, outcome| {
            vec![
                call(1, 0, acknowledged, ClearedDeed::Added(7, outcome)),
                call(2, 20, 22, ClearedDeed::Truncated(Outcome::Acknowledged)),
                call(3, 23, 24, ClearedDeed::Saw(vec![7])),
            ]
        };
        let acknowledged = |at| broken(calls(at, Outcome::Acknowledged));
        assert_eq!(acknowledged(19), [Promise::Truncation]);
        assert_eq!(acknowledged(20), [], "at the same time");
        assert_eq!(acknowledged(21), [], "under way meanwhile");
        assert_eq!(broken(calls(19, Outcome::Unknown)), [], "it may be yet to begin");
    }

    #[test]
    fn what_nobody_wrote_is_found() {
        let calls = vec![call(1, 0, 1, ClearedDeed::Saw(vec![7]))];
        assert_eq!(broken(calls), [Promise::NoInvention]);
    }
}
