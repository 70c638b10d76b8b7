//! What was truncated stays away.
//!
//! Why it is sound. A truncation that was acknowledged removed everything that was written before, everywhere: from
//! logs, tables and hints. A write that had ended long before it (so that nothing of it was still on its way) must not
//! show in any read that was asked for after it, whatever the read's level.

use std::{collections::BTreeSet, time::Duration};

use super::{Promise, Violation};
use crate::history::{Cleared, ClearedDeed, History, Outcome};

/// So long after its end nothing of a write is on its way any more: its timeout, and what messages take at most.
pub const MARGIN: Duration = Duration::from_secs(15);

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
    let added = |call: &&Cleared| matches!(call.deed, ClearedDeed::Added(added, _) if added == value);
    let Some(write) = history.cleared.iter().find(added) else {
        return Some(Violation {
            promise: Promise::NoInvention,
            text: format!("read {} shows {value}, which nobody had written", read.id),
        });
    };
    let truncation = truncations
        .iter()
        .find(|call| write.returned + MARGIN < call.invoked && call.returned < read.invoked)?;
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
    fn what_was_under_way_may_come_late() {
        let calls = vec![
            call(1, 0, 10, ClearedDeed::Added(7, Outcome::Acknowledged)),
            call(2, 20, 21, ClearedDeed::Truncated(Outcome::Acknowledged)),
            call(3, 22, 23, ClearedDeed::Saw(vec![7])),
        ];
        assert_eq!(broken(calls), []);
    }

    #[test]
    fn what_nobody_wrote_is_found() {
        let calls = vec![call(1, 0, 1, ClearedDeed::Saw(vec![7]))];
        assert_eq!(broken(calls), [Promise::NoInvention]);
    }
}
