//! The clients' shared notebook.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::Consistency;

use crate::{
    checkers::{Promise, Violation},
    history::{Cell, Cleared, ClearedDeed, Deed, History, Outcome, Read, Seen, Stamped, Version, Write},
    random::Random,
    reach::{Factors, Reach},
};

/// Collects the history of all clients. Clones share it.
#[derive(Clone, Default)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    history: History,
    next_id: u32,
    next_value: i32,
    last_timestamp: i64,
    violations: Vec<Violation>,
    /// Rows of the disputed table that were acknowledged at QUORUM: their value is their key.
    disputed: Vec<i32>,
    /// Requests that must not fail, by level.
    owed: BTreeMap<Consistency, u64>,
    overloaded: u64,
    given_up: u64,
}

impl Recorder {
    /// A value that no other write has.
    pub(crate) fn value(&self) -> i32 {
        let mut inner = self.inner.lock();
        inner.next_value += 1;
        inner.next_value
    }

    /// A timestamp around `now`: sometimes the last one again, so that ties happen, sometimes an old one.
    pub(super) fn timestamp(&self, now: i64, random: &mut Random) -> i64 {
        let mut inner = self.inner.lock();
        let timestamp = match random.below(16) {
            0 | 1 if inner.last_timestamp != 0 => inner.last_timestamp,
            2 => now - random.below(5_000_000) as i64,
            3 => now + random.below(1_000_000) as i64,
            _ => now,
        };
        inner.last_timestamp = timestamp;
        timestamp
    }

    /// From now on no write has a timestamp again that one had before: a deletion may be purged that is not older.
    pub fn forget_timestamps(&self) {
        self.inner.lock().last_timestamp = 0;
    }

    /// Notes a write.
    pub fn write(
        &self,
        (invoked, returned): (Duration, Duration),
        reach: Reach,
        outcome: Outcome,
        effects: Vec<(Cell, Version)>,
        logged: bool,
    ) -> u32 {
        let mut inner = self.inner.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        inner.history.writes.push(Write {
            id,
            invoked,
            returned,
            reach,
            outcome,
            effects,
            logged,
        });
        id
    }

    /// Notes a read.
    pub fn read(
        &self,
        (invoked, returned): (Duration, Duration),
        reach: Reach,
        seen: Vec<(Cell, Seen)>,
    ) -> u32 {
        let mut inner = self.inner.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        inner.history.reads.push(Read {
            id,
            invoked,
            returned,
            reach,
            seen,
        });
        id
    }

    /// Notes what was done to a register whose writes the nodes stamp.
    pub fn stamped(
        &self,
        (invoked, returned): (Duration, Duration),
        reach: Reach,
        register: i32,
        deed: Deed,
    ) -> u32 {
        let mut inner = self.inner.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        inner.history.stamped.push(Stamped {
            id,
            invoked,
            returned,
            reach,
            register,
            deed,
        });
        id
    }

    /// Notes what was done to the table that is truncated.
    pub fn cleared(&self, (invoked, returned): (Duration, Duration), deed: ClearedDeed) {
        let mut inner = self.inner.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        inner.history.cleared.push(Cleared {
            id,
            invoked,
            returned,
            deed,
        });
    }

    /// Notes that from now on all nodes are up and all hints delivered.
    pub fn settled(&self, now: Duration) {
        self.inner.lock().history.settled = Some(now);
    }

    /// Notes that logged batches lost their coordinators in a cluster in which nothing else was wrong.
    pub fn orphans(&self, from: Duration, until: Duration) {
        self.inner.lock().history.orphans.push((from, until));
    }

    /// Notes a row of the disputed table that was acknowledged at QUORUM.
    pub fn disputed(&self, value: i32) {
        self.inner.lock().disputed.push(value);
    }

    /// Notes that two changes of the schema that contradict each other were done both.
    pub fn contradiction(&self) {
        self.inner.lock().history.contradictions += 1;
    }

    /// The rows of the disputed table that were acknowledged at QUORUM.
    pub fn disputes(&self) -> Vec<i32> {
        self.inner.lock().disputed.clone()
    }

    /// Notes that so many disks may lose what they had stored of the same token.
    pub fn rot(&self, disks: usize) {
        let mut inner = self.inner.lock();
        inner.history.rot = inner.history.rot.max(disks);
    }

    /// Notes that so many stretches of damaged tokens were written anew.
    pub fn healed(&self, stretches: u64) {
        self.inner.lock().history.healed += stretches;
    }

    /// Notes something that is wrong by itself.
    pub(crate) fn wrong(&self, promise: Promise, text: String) {
        self.inner.lock().violations.push(Violation { promise, text });
    }

    /// Notes a request that must not fail, and its level.
    pub(super) fn owed(&self, level: Consistency) {
        *self.inner.lock().owed.entry(level).or_default() += 1;
    }

    /// How many requests must not have failed, by level.
    pub fn debts(&self) -> BTreeMap<Consistency, u64> {
        self.inner.lock().owed.clone()
    }

    /// Notes a request that a node had no room for.
    pub(super) fn overloaded(&self) {
        self.inner.lock().overloaded += 1;
    }

    /// Notes a request whose client went away early.
    pub(super) fn given_up(&self) {
        self.inner.lock().given_up += 1;
    }

    /// Requests that nodes had no room for, and those whose clients went away early.
    pub fn strains(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.overloaded, inner.given_up)
    }

    /// The history until now.
    pub fn history(&self, factors: Factors, dooms: usize) -> History {
        let mut history = self.inner.lock().history.clone();
        history.factors = factors;
        // What rots is lost as with a node that dies for good.
        history.dooms = dooms + history.rot;
        history
    }

    /// What was wrong by itself.
    pub fn violations(&self) -> Vec<Violation> {
        self.inner.lock().violations.clone()
    }
}
