//! Acknowledged writes are not lost, reads are monotonic, nothing is invented.
//!
//! Why it is sound. A write that was acknowledged at a level of `w` replicas is on `w` of them for good.
//! A read at a level of `r` replicas with blocking repair leaves what it showed on `r` of them. So both
//! are **bounds**: from the moment they returned, some `s` replicas of the cell hold that version or a
//! greater one. A read of `r` replicas that is invoked later, with `s + r` greater than the number of
//! replicas, asks one of them, and must show the bound or something greater. The same holds within a datacenter, for levels that
//! say in which their replicas stand ([`crate::reach`]).
//!
//! What a value's version is, is known: values are unique and clients give the timestamps. That nothing
//! is shown means that some deletion won, and it is not known which; so it must be possible that one is
//! as great as the bound, and the least such deletion is the bound that the read itself sets.
//!
//! Nodes that die for good take copies along: `History::lasting`.
//!
//! Writes whose outcome is unknown may show or not, at any time, and set no bound.
//!
//! A write acknowledged at ANY may be nowhere but in a hint. It is on all replicas once the hints are delivered,
//! unless a node died for good, or a disk lost what it stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Promise, Violation};
use crate::{
    history::{Cell, History, Outcome, Read, Seen, Version, Write},
    reach::Reach,
};

/// Some replicas have a version, or a greater one, from a moment on.
#[derive(Debug, Clone, Copy)]
struct Bound {
    from: Duration,
    reach: Reach,
    version: Version,
    set_by: SetBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetBy {
    Write(u32),
    Read(u32),
}

/// A write's part in one cell.
#[derive(Debug, Clone, Copy)]
struct Effect<'a> {
    write: &'a Write,
    version: Version,
}

/// Checks a whole history.
pub fn check(history: &History) -> Vec<Violation> {
    let mut effects: BTreeMap<Cell, Vec<Effect<'_>>> = BTreeMap::new();
    let mut bounds: BTreeMap<Cell, Vec<Bound>> = BTreeMap::new();
    for write in &history.writes {
        for (cell, version) in &write.effects {
            let version = *version;
            effects.entry(*cell).or_default().push(Effect { write, version });
            if write.outcome == Outcome::Acknowledged
                && let Some((from, reach)) = held(history, write.returned, write.reach)
            {
                bounds.entry(*cell).or_default().push(Bound {
                    from,
                    reach,
                    version,
                    set_by: SetBy::Write(write.id),
                });
            }
        }
    }
    // In order of return, so that all reads that ended before one began have set their bounds.
    let mut reads: Vec<&Read> = history.reads.iter().collect();
    reads.sort_by_key(|read| read.returned);
    let mut violations = BTreeSet::new();
    for read in reads {
        for (cell, seen) in &read.seen {
            let effects = effects.get(cell).map_or(&[][..], Vec::as_slice);
            let known = bounds.entry(*cell).or_default();
            let least = strongest(known, read, history);
            match judge(read, *cell, *seen, effects, least) {
                Ok(Some(version)) => {
                    if let Some((from, reach)) = held(history, read.returned, read.reach) {
                        known.push(Bound {
                            from,
                            reach,
                            version,
                            set_by: SetBy::Read(read.id),
                        });
                    }
                }
                Ok(None) => {}
                Err(violation) => {
                    violations.insert(violation);
                }
            }
        }
    }
    violations.into_iter().collect()
}

/// From when on, and on which replicas, there is what was acknowledged or shown by these.
fn held(history: &History, returned: Duration, reach: Reach) -> Option<(Duration, Reach)> {
    if reach == Reach::NOBODY {
        let settled = history.settled.filter(|_| history.dooms == 0)?;
        return Some((settled.max(returned), history.factors.everybody()));
    }
    Some((returned, reach))
}

/// Whether a read may show this of a cell that has `least`, or something greater, on all replicas.
pub(super) fn may_show(history: &History, read: &Read, cell: Cell, seen: Seen, least: Version) -> bool {
    let effects: Vec<Effect<'_>> = history
        .writes
        .iter()
        .flat_map(|write| {
            let own = write.effects.iter().filter(|(other, _)| *other == cell);
            own.map(|(_, version)| Effect {
                write,
                version: *version,
            })
        })
        .collect();
    let bound = Bound {
        from: read.invoked,
        reach: history.factors.everybody(),
        version: least,
        set_by: SetBy::Read(read.id),
    };
    judge(read, cell, seen, &effects, Some(bound)).is_ok()
}

/// The greatest bound that a read must respect.
fn strongest(bounds: &[Bound], read: &Read, history: &History) -> Option<Bound> {
    bounds
        .iter()
        .filter(|bound| bound.from < read.invoked && history.meets(bound.reach, read.reach))
        .max_by_key(|bound| bound.version)
        .copied()
}

/// Checks what a read showed of a cell; returns the version that it is now known to have, at least.
fn judge(
    read: &Read,
    cell: Cell,
    seen: Seen,
    effects: &[Effect<'_>],
    least: Option<Bound>,
) -> Result<Option<Version>, Violation> {
    let possible = |effect: &&Effect<'_>| effect.write.invoked <= read.returned;
    match seen {
        Seen::Value(value) => {
            let effect = effects
                .iter()
                .filter(possible)
                .find(|effect| !effect.version.dead && effect.version.value == value)
                .ok_or_else(|| invention(read, cell, value, "nobody had written it there"))?;
            if effect.write.outcome == Outcome::Refused {
                let why = format!("write {} was refused", effect.write.id);
                return Err(invention(read, cell, value, &why));
            }
            match least {
                Some(least) if effect.version < least.version => Err(stale(
                    read,
                    cell,
                    &format!("{} of write {}", effect.version, effect.write.id),
                    least,
                )),
                _ => Ok(Some(effect.version)),
            }
        }
        Seen::Nothing => {
            let Some(least) = least else { return Ok(None) };
            effects
                .iter()
                .filter(possible)
                .filter(|effect| effect.write.outcome != Outcome::Refused)
                .map(|effect| effect.version)
                .filter(|version| version.dead && *version >= least.version)
                .min()
                .map(Some)
                .ok_or_else(|| stale(read, cell, "nothing", least))
        }
    }
}

fn invention(read: &Read, cell: Cell, value: i32, why: &str) -> Violation {
    Violation {
        promise: Promise::NoInvention,
        text: format!("read {} shows {value} in {cell}, but {why}", read.id),
    }
}

fn stale(read: &Read, cell: Cell, shown: &str, least: Bound) -> Violation {
    let (promise, before) = match least.set_by {
        SetBy::Write(id) => (
            Promise::NoLostWrite,
            format!("write {id} of {}, acknowledged", least.version),
        ),
        SetBy::Read(id) => (
            Promise::MonotonicReads,
            format!("read {id} of {}, ended", least.version),
        ),
    };
    Violation {
        promise,
        text: format!(
            "read {} ({:?}, invoked at {:?}) shows {shown} in {cell}, after {before} at {:?} ({:?})",
            read.id, read.reach, read.invoked, least.from, least.reach
        ),
    }
}
