//! A logged batch is carried out as a whole, in the end.
//!
//! Why it is sound. Once all nodes are up, hints are delivered and nobody keeps a batch any more, each logged batch was
//! carried out by its coordinator or by those who kept it, or never began. So when a read of all replicas shows
//! one of its values, every cell that it wrote to has what it wrote there, or something greater. Reads that came too soon after
//! a batch say nothing of it; and not each read says something of each cell.

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
    // Those who kept a batch may have died for good.
    let Some(settled) = history.settled.filter(|_| history.dooms == 0) else {
        return Vec::new();
    };
    let mut last: BTreeMap<Cell, (Seen, &Read)> = BTreeMap::new();
    let at_the_end = |read: &&Read| read.invoked >= settled && read.replicas == history.replication;
    for read in history.reads.iter().filter(at_the_end) {
        last.extend(read.seen.iter().map(|(cell, seen)| (*cell, (*seen, read))));
    }
    let after = |write: &Write, cell: &Cell| {
        let found = last.get(cell).copied();
        found.filter(|(_, read)| read.invoked > write.returned + REPLAYED)
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
