use starling_model::Consistency;

use proptest::prelude::*;

use super::{
    MAX_HISTORY, MAX_RECORDS, Verifier,
    linear::{Action, Operation, Verdict, check},
    says_nothing,
};
use crate::harness::{
    command::summary,
    drive::answer::{Answer, Failure},
    evidence::result::Verification,
    workload::version,
};

fn quorum() -> Verifier {
    Verifier::new(10, Consistency::Quorum, Consistency::Quorum, 3)
}

/// A write was carried out.
const DONE: Result<Answer, Failure> = Ok(Answer {
    rows: 0,
    version: None,
    applied: None,
});

/// A version of record 1, which most tests are about; 0 is the one that was loaded.
fn v(serial: u64) -> u64 {
    version::of(1, serial)
}

fn read_of(version: u64) -> Answer {
    Answer {
        rows: 1,
        version: Some(version as i64),
        applied: None,
    }
}

fn write(verifier: &Verifier, session: u32, serial: u64) {
    let ticket = verifier.write_begins(session, 1, v(serial)).expect("followed");
    verifier.ends(ticket, &DONE);
}

fn read(verifier: &Verifier, session: u32, serial: u64) {
    read_version(verifier, session, v(serial));
}

fn read_version(verifier: &Verifier, session: u32, version: u64) {
    let ticket = verifier.read_begins(session, 1).expect("followed");
    verifier.ends(ticket, &Ok(read_of(version)));
}

#[test]
fn what_is_right_passes() {
    let verifier = quorum();
    read(&verifier, 1, 0);
    write(&verifier, 1, 5);
    read(&verifier, 1, 5);
    // Two writes at the same time: either may win, and a read meanwhile may see any of the three.
    let first = verifier.write_begins(1, 1, v(6)).expect("followed");
    let second = verifier.write_begins(2, 1, v(7)).expect("followed");
    read(&verifier, 3, 5);
    verifier.ends(second, &DONE);
    verifier.ends(first, &DONE);
    read(&verifier, 3, 6);
    // A write of unknown outcome may appear at any time.
    let unknown = verifier.write_begins(1, 1, v(8)).expect("followed");
    verifier.ends(unknown, &Err(Failure::lost("Timeout", "late")));
    read(&verifier, 3, 6);
    read(&verifier, 3, 8);
    verifier.final_read(1, Some(v(8) as i64));
    let verdict = verifier.verdict();
    assert!(verdict.passed, "{verdict:?}");
    assert_eq!((verdict.writes, verdict.unknown_writes, verdict.reads), (3, 1, 6));
    assert_eq!(
        (verdict.histories, verdict.undecided, verdict.final_reads),
        (1, 0, 1)
    );
}

#[test]
fn a_lost_write_is_found() {
    let verifier = quorum();
    write(&verifier, 1, 5);
    write(&verifier, 1, 6);
    verifier.final_read(1, Some(v(5) as i64));
    let verdict = verifier.verdict();
    assert_eq!((verdict.passed, verdict.lost), (false, 1), "{verdict:?}");
    let told = format!("record 1 held version {:?} at the end", Some(v(5)));
    assert!(verdict.examples[0].contains(&told), "{verdict:?}");
}

#[test]
fn a_lost_row_is_found() {
    let verifier = quorum();
    read(&verifier, 1, 0);
    verifier.final_read(1, None);
    assert_eq!(verifier.verdict().lost, 1, "it was loaded");
    let verifier = quorum();
    let ticket = verifier
        .write_begins(1, 99, version::of(99, 5))
        .expect("a new record is followed too");
    verifier.ends(ticket, &DONE);
    verifier.final_read(99, None);
    assert_eq!(verifier.verdict().lost, 1, "it was inserted");
    // Nobody knows whether this one was written.
    let verifier = quorum();
    let ticket = verifier
        .write_begins(1, 99, version::of(99, 5))
        .expect("followed");
    verifier.ends(ticket, &Err(Failure::lost("Timeout", "late")));
    verifier.final_read(99, None);
    assert!(verifier.verdict().passed);
}

#[test]
fn a_loaded_row_that_nobody_touched_is_missed_too() {
    let verifier = quorum();
    write(&verifier, 1, 5);
    assert_eq!(verifier.unread(), [1]);
    verifier.follow_untouched();
    assert_eq!(verifier.unread(), (0..10).collect::<Vec<u64>>());
    for record in 0..10 {
        let version = if record == 1 {
            v(5)
        } else {
            version::loaded(record)
        };
        verifier.final_read(record, (record != 7).then_some(version as i64));
    }
    let verdict = verifier.verdict();
    assert_eq!(
        (verdict.records, verdict.final_reads, verdict.lost),
        (10, 10, 1),
        "{verdict:?}"
    );
    assert!(verdict.examples[0].contains("record 7"), "{verdict:?}");
    assert_eq!(verdict.histories, 1, "what nobody touched has none");
}

#[test]
fn of_very_many_loaded_rows_a_sample_is_followed() {
    let verifier = Verifier::new(1_000_000, Consistency::Quorum, Consistency::Quorum, 3);
    verifier.follow_untouched();
    let followed = verifier.unread().len() as u64;
    assert!((90_000..=MAX_RECORDS).contains(&followed), "{followed}");
}

#[test]
fn a_verdict_on_nothing_is_none() {
    let verifier = quorum();
    read(&verifier, 1, 0);
    verifier.final_read(1, Some(v(0) as i64));
    let verdict = verifier.verdict();
    assert!(verdict.passed);
    assert!(
        says_nothing(&verdict).is_some_and(|why| why.contains("no write")),
        "{verdict:?}"
    );
    let verifier = quorum();
    write(&verifier, 1, 5);
    let verdict = verifier.verdict();
    assert!(
        says_nothing(&verdict).is_some_and(|why| why.contains("at the end")),
        "{verdict:?}"
    );
    verifier.final_read(1, Some(v(5) as i64));
    assert_eq!(says_nothing(&verifier.verdict()), None);
    let undecided = Verification {
        undecided: 1,
        ..verifier.verdict()
    };
    assert!(
        says_nothing(&undecided).is_some_and(|why| why.contains("history")),
        "{undecided:?}"
    );
}

#[test]
fn a_session_that_misses_its_own_write_is_found() {
    let verifier = quorum();
    write(&verifier, 1, 5);
    write(&verifier, 1, 6);
    read(&verifier, 1, 5);
    let verdict = verifier.verdict();
    assert_eq!(
        (verdict.passed, verdict.own_writes_missed),
        (false, 1),
        "{verdict:?}"
    );
    assert_eq!(verdict.not_linearizable, 1);
}

#[test]
fn a_session_that_goes_back_is_found() {
    let verifier = quorum();
    write(&verifier, 1, 5);
    let unknown = verifier.write_begins(1, 1, v(6)).expect("followed");
    verifier.ends(unknown, &Err(Failure::lost("Timeout", "late")));
    read(&verifier, 2, 6);
    read(&verifier, 2, 5);
    let verdict = verifier.verdict();
    assert_eq!(
        (verdict.passed, verdict.reads_went_back),
        (false, 1),
        "{verdict:?}"
    );
}

#[test]
fn a_read_that_missed_another_sessions_write_is_found() {
    let verifier = quorum();
    write(&verifier, 1, 5);
    write(&verifier, 1, 6);
    read(&verifier, 2, 5);
    assert_eq!(verifier.verdict().stale_reads, 1);
    // A read that began before the write was acknowledged may miss it.
    let verifier = quorum();
    write(&verifier, 1, 5);
    let early = verifier.read_begins(2, 1).expect("followed");
    write(&verifier, 1, 6);
    verifier.ends(early, &Ok(read_of(v(5))));
    assert!(verifier.verdict().passed);
}

#[test]
fn versions_that_nobody_wrote_are_found() {
    let verifier = quorum();
    write(&verifier, 1, 5);
    read(&verifier, 2, 77);
    assert_eq!(verifier.verdict().phantoms, 1);
    // What the server refused must not be there.
    let verifier = quorum();
    let refused = verifier.write_begins(1, 1, v(5)).expect("followed");
    verifier.ends(refused, &Err(Failure::wrong("Unavailable", "no")));
    read(&verifier, 2, 5);
    let verdict = verifier.verdict();
    assert_eq!((verdict.passed, verdict.phantoms), (false, 1));
}

#[test]
fn another_records_row_is_a_phantom_and_not_an_old_read() {
    // Old reads are none of this promise's failures.
    let at_one = || Verifier::new(10, Consistency::One, Consistency::One, 3);
    let verifier = at_one();
    let other = verifier.write_begins(1, 2, version::of(2, 5)).expect("followed");
    verifier.ends(other, &DONE);
    write(&verifier, 1, 6);
    read_version(&verifier, 2, version::of(2, 5));
    let verdict = verifier.verdict();
    assert_eq!(
        (verdict.passed, verdict.phantoms, verdict.stale_reads),
        (false, 1, 0),
        "{verdict:?}"
    );
    // As it was loaded.
    let verifier = at_one();
    write(&verifier, 1, 6);
    read_version(&verifier, 2, version::loaded(2));
    assert_eq!(verifier.verdict().phantoms, 1);
    // A record that was never there has no old version, not even its own.
    let verifier = at_one();
    let ticket = verifier.read_begins(1, 99).expect("followed");
    verifier.ends(ticket, &Ok(read_of(version::loaded(99))));
    assert_eq!(verifier.verdict().phantoms, 1);
}

#[test]
fn reads_at_one_may_be_old_but_nothing_may_be_lost() {
    let verifier = Verifier::new(10, Consistency::One, Consistency::One, 3);
    write(&verifier, 1, 5);
    write(&verifier, 1, 6);
    read(&verifier, 2, 5);
    let verdict = verifier.verdict();
    assert_eq!((verdict.passed, verdict.stale_reads), (true, 1), "{verdict:?}");
    assert!(verdict.beyond_promise > 0);
    verifier.final_read(1, Some(v(5) as i64));
    assert!(!verifier.verdict().passed);
}

#[test]
fn memory_is_bounded_by_what_may_still_be_read() {
    let verifier = quorum();
    for version in 1..100_000 {
        write(&verifier, 1, version);
    }
    let state = verifier.state();
    let register = format!("{:?}", state.registers[&1].history().map(<[_]>::len));
    assert_eq!(register, "Some(2000)");
    drop(state);
    read(&verifier, 1, 99_999);
    assert!(verifier.verdict().passed);
    read(&verifier, 1, 7);
    assert!(!verifier.verdict().passed, "what was forgotten is old");
}

fn operation(began: u64, ended: u64, action: Action) -> Operation {
    Operation { began, ended, action }
}

#[test]
fn histories_that_are_cut_off_are_counted() {
    let verifier = quorum();
    // The first operation is that of loading.
    for serial in 1..MAX_HISTORY as u64 {
        write(&verifier, 1, serial);
    }
    let other = verifier.write_begins(1, 2, version::of(2, 5)).expect("followed");
    verifier.ends(other, &DONE);
    let whole = verifier.verdict();
    assert_eq!((whole.histories, whole.histories_cut_off), (2, 0), "{whole:?}");
    assert!(!summary::verdict(&whole).contains("cut off"));
    write(&verifier, 1, 5000);
    let cut_off = verifier.verdict();
    assert_eq!(
        (cut_off.histories, cut_off.histories_cut_off),
        (2, 1),
        "{cut_off:?}"
    );
    let told = summary::verdict(&cut_off);
    assert!(
        told.contains("2 histories (1 of them cut off after 2000 operations), 0 not linearizable"),
        "{told}"
    );
}

#[test]
fn linearizable_histories_have_an_order() {
    use Action::{Read, Swap, Write};
    let never = u64::MAX;
    let right = [
        vec![operation(1, 2, Write(1)), operation(3, 4, Read(Some(1)))],
        vec![
            operation(1, 2, Read(None)),
            operation(1, 9, Write(1)),
            operation(3, 4, Read(Some(1))),
        ],
        // Overlapping writes, read in the order that the search must find.
        vec![
            operation(1, 9, Write(1)),
            operation(1, 9, Write(2)),
            operation(10, 11, Read(Some(1))),
            operation(12, 13, Read(Some(1))),
        ],
        vec![
            operation(1, never, Write(1)),
            operation(5, 6, Read(None)),
            operation(7, 8, Read(Some(1))),
        ],
        vec![
            operation(
                1,
                2,
                Swap {
                    expected: None,
                    new: 1,
                    applied: Some(true),
                },
            ),
            operation(
                3,
                4,
                Swap {
                    expected: None,
                    new: 2,
                    applied: Some(false),
                },
            ),
            operation(5, 6, Read(Some(1))),
        ],
    ];
    for history in right {
        assert_eq!(check(&history), Verdict::Linearizable, "{history:?}");
    }
}

#[test]
fn histories_without_an_order_are_found() {
    use Action::{Read, Swap, Write};
    let wrong = [
        vec![operation(1, 2, Write(1)), operation(3, 4, Read(None))],
        // Two readers disagree on the order of two writes.
        vec![
            operation(1, 9, Write(1)),
            operation(1, 9, Write(2)),
            operation(10, 11, Read(Some(1))),
            operation(12, 13, Read(Some(2))),
        ],
        // New, then old, while the write is under way.
        vec![
            operation(1, 2, Write(1)),
            operation(3, 20, Write(2)),
            operation(4, 5, Read(Some(2))),
            operation(6, 7, Read(Some(1))),
        ],
        // Both conditional writes say that they won.
        vec![
            operation(
                1,
                5,
                Swap {
                    expected: None,
                    new: 1,
                    applied: Some(true),
                },
            ),
            operation(
                2,
                6,
                Swap {
                    expected: None,
                    new: 2,
                    applied: Some(true),
                },
            ),
        ],
    ];
    for history in wrong {
        assert_eq!(check(&history), Verdict::Violation, "{history:?}");
    }
}

#[test]
fn long_histories_are_decided() {
    let mut history = Vec::new();
    for round in 0..500_u64 {
        let at = round * 10 + 1;
        history.push(operation(at, at + 5, Action::Write(round as i64 * 2)));
        history.push(operation(at, at + 5, Action::Write(round as i64 * 2 + 1)));
        history.push(operation(at + 6, at + 7, Action::Read(Some(round as i64 * 2))));
    }
    assert_eq!(check(&history), Verdict::Linearizable);
    history[1400].action = Action::Read(Some(3));
    assert_eq!(check(&history), Verdict::Violation);
}

/// Whether some order of all that ended, and of any that did not, explains what every operation said: by trying them all.
fn has_an_order(history: &[Operation], ordered: u32, value: Option<i64>) -> bool {
    let left = |place: &usize| ordered & (1 << place) == 0;
    let open = (0..history.len()).filter(left);
    let deadline = open.clone().map(|place| history[place].ended).min();
    let Some(deadline) = deadline.filter(|deadline| *deadline != u64::MAX) else {
        return true;
    };
    open.filter(|place| history[*place].began <= deadline)
        .any(|place| {
            let after = match history[place].action {
                Action::Write(new) => Some(new),
                Action::Read(seen) if seen == value => value,
                Action::Read(_) => return false,
                Action::Swap {
                    expected, applied, ..
                } if applied.is_some_and(|a| a != (expected == value)) => {
                    return false;
                }
                Action::Swap { expected, new, .. } if expected == value => Some(new),
                Action::Swap { .. } => value,
            };
            has_an_order(history, ordered | 1 << place, after)
        })
}

/// Operations on a register that carries each out at some moment between its beginning and its end, so that the history is
/// linearizable; then, perhaps, one of the things that were read is changed.
fn histories() -> impl Strategy<Value = Vec<Operation>> {
    let operation = (0..3_u8, 0..30_u64, 0..6_u64, 0..6_u64, any::<bool>());
    let change = proptest::option::of((any::<prop::sample::Index>(), 0..4_i64));
    (proptest::collection::vec(operation, 1..8), change).prop_map(|(drawn, change)| {
        let mut drawn: Vec<_> = drawn.into_iter().enumerate().collect();
        drawn.sort_by_key(|(_, (_, moment, ..))| *moment);
        let mut value = None;
        let mut history: Vec<Operation> = Vec::new();
        for (number, (kind, moment, before, after, answered)) in drawn {
            let new = number as i64 + 1;
            let (action, holds) = match kind {
                0 => (Action::Write(new), Some(new)),
                1 => (Action::Read(value), value),
                _ => {
                    let expected = if before % 2 == 0 { value } else { Some(1) };
                    let applied = answered.then_some(expected == value);
                    let swap = Action::Swap {
                        expected,
                        new,
                        applied,
                    };
                    (swap, if expected == value { Some(new) } else { value })
                }
            };
            value = holds;
            let ended = if kind == 1 || answered {
                10 + moment + after
            } else {
                u64::MAX
            };
            history.push(Operation {
                began: 10 + moment - before,
                ended,
                action,
            });
        }
        if let Some((place, seen)) = change {
            let place = place.index(history.len());
            if let Action::Read(value) = &mut history[place].action {
                *value = (seen > 0).then_some(seen);
            }
        }
        history
    })
}

proptest! {
    #[test]
    fn the_search_agrees_with_trying_every_order(history in histories()) {
        let written = |value: i64| {
            history.iter().any(|operation| matches!(
                operation.action,
                Action::Write(new) | Action::Swap { new, .. } if new == value
            ))
        };
        // The search takes a version that nobody wrote for one of a write that the history lacks.
        let strange = history.iter().any(|operation| {
            matches!(operation.action, Action::Read(Some(value)) if !written(value))
        });
        prop_assume!(!strange);
        let expected = if has_an_order(&history, 0, None) { Verdict::Linearizable } else { Verdict::Violation };
        prop_assert_eq!(check(&history), expected);
    }
}

#[test]
fn conditional_writes_are_followed() {
    let applied = |applied| {
        Ok(Answer {
            rows: 1,
            version: None,
            applied: Some(applied),
        })
    };
    let swap = |verifier: &Verifier, expected: Option<u64>, version, outcome: &Result<Answer, Failure>| {
        let expected = expected.map(|serial| v(serial) as i64);
        let ticket = verifier
            .swap_begins(1, 1, expected, v(version))
            .expect("followed");
        verifier.ends(ticket, outcome);
    };
    let verifier = quorum();
    swap(&verifier, Some(0), 5, &applied(true));
    swap(&verifier, Some(0), 6, &applied(false));
    swap(&verifier, None, 7, &applied(false));
    swap(&verifier, Some(5), 8, &Err(Failure::lost("Timeout", "late")));
    read(&verifier, 2, 8);
    swap(&verifier, Some(8), 9, &applied(true));
    verifier.final_read(1, Some(v(9) as i64));
    let verdict = verifier.verdict();
    assert!(verdict.passed, "{verdict:?}");
    assert_eq!(
        (verdict.writes, verdict.unknown_writes, verdict.conditions_failed),
        (2, 1, 2)
    );
    // Two locks for one door: both say that they found it free.
    let verifier = quorum();
    swap(&verifier, Some(0), 5, &applied(true));
    swap(&verifier, Some(0), 6, &applied(true));
    verifier.final_read(1, Some(v(6) as i64));
    let verdict = verifier.verdict();
    assert_eq!(
        (verdict.passed, verdict.not_linearizable),
        (false, 1),
        "{verdict:?}"
    );
    // One that says no although its condition holds.
    let verifier = quorum();
    swap(&verifier, Some(0), 5, &applied(false));
    read(&verifier, 2, 0);
    assert_eq!(verifier.verdict().not_linearizable, 1);
}
