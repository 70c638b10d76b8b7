//! A logged batch is carried out as a whole, in the end.
//!
//! Why it is sound. Once all nodes are up, hints are delivered and nobody keeps a batch any more, each logged batch was
//! carried out by its coordinator or by those who kept it, or never began. So when a read of all replicas shows
//! one of its values, every cell that it wrote to has what it wrote there, or something greater. Reads that came too soon after
//! a batch say nothing of it; and not each read says something of each cell.
//!
//! That takes hints that last and keepers that live, or else a batch that was orphaned while all others were up and whole
//! (`History::orphans`): its keepers carry it out themselves, and need no hint that is older than its coordinator's death.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Promise, Violation, registers};
use crate::history::{Cell, History, Outcome, Read, Seen, Write};

/// How long after its coordinator's death a batch has been carried out by those who kept it, all nodes being up.
const REPLAYED: Duration = Duration::from_secs(20);

/// Checks a whole history.
pub fn check(history: &History) -> Vec<Violation> {
    let mut shown: BTreeMap<Cell, Vec<(Seen, &Read)>> = BTreeMap::new();
    for read in history
        .reads
        .iter()
        .filter(|read| history.factors.is_everybody(read.reach))
    {
        for (cell, seen) in &read.seen {
            shown.entry(*cell).or_default().push((*seen, read));
        }
    }
    let after = |write: &Write, cell: &Cell| {
        let whole_from = whole_from(history, write)?;
        // The sooner it was looked, the less was written over it.
        let mut reads = shown.get(cell)?.iter().copied();
        reads.find(|(_, read)| read.invoked > whole_from)
    };
    let shows = |write: &Write| {
        write.effects.iter().any(|(cell, version)| {
            let seen = after(write, cell).map(|(seen, _)| seen);
            !version.dead && version.value > 0 && seen == Some(Seen::Value(version.value))
        })
    };
    let mut violations = BTreeSet::new();
    for batch in history.writes.iter().filter(|write| write.logged) {
        // Of what was refused nothing may show at all, which is another checker's business.
        if batch.outcome == Outcome::Refused || !shows(batch) {
            continue;
        }
        for (cell, version) in &batch.effects {
            let Some((seen, read)) = after(batch, cell) else {
                continue;
            };
            if !registers::may_show(history, read, *cell, seen, *version) {
                violations.insert(Violation {
                    promise: Promise::Atomicity,
                    text: format!(
                        "batch {} is there in part: read {} shows {seen:?} in {cell}, where it wrote {version}",
                        batch.id, read.id
                    ),
                });
            }
        }
    }
    violations.into_iter().collect()
}

/// From when on a batch is there as a whole or not at all; `None` if nothing says so.
fn whole_from(history: &History, batch: &Write) -> Option<Duration> {
    let replayed = batch.returned + REPLAYED;
    // What a disk lost may be the batch as it was kept.
    let orphaned = history.rot == 0
        && history
            .orphans
            .iter()
            .any(|(from, until)| (*from..*until).contains(&batch.invoked));
    if orphaned {
        return Some(replayed);
    }
    // Those who kept it may have died for good.
    let settled = history.settled.filter(|_| history.dooms == 0)?;
    Some(settled.max(replayed))
}
