//! Truncations beside what is under way: what was on its way to a table before it was truncated is not in it after.
//!
//! TRUNCATE goes to all members, in three rounds ([`truncate`](crate::coordinator)), and what it has to keep out comes by
//! four ways:
//!
//! - a write's message that is late. It carries its sender's *era* of when the write began. The first round begins a new
//!   era at each node, and the second one tells every replica all of these: who has removed its data refuses what its
//!   sender began in an earlier era;
//! - a hint for such a write. It is kept for no write of an earlier era any more, and those that were kept are forgotten
//!   ([`Hints::forget_table`](crate::hints::Hints::forget_table)); nor is one passed on meanwhile;
//! - a read that repairs replicas with a page of one that was not truncated yet. From the first round to the third one no
//!   node repairs by what it read, and after the third one not by what it began to read before;
//! - a session of anti-entropy, for the same reason. Its node writes nothing for it, and replicas refuse what it writes, if a
//!   TRUNCATE may have been under way since it began.
//!
//! Why it is exact. An era is compared with others of the same node alone, so neither clocks nor the time that a
//! message takes matter. A write that was acknowledged before TRUNCATE was asked for began before its coordinator's first
//! round, in an earlier era; a page from before a truncation was asked for before that replica's second round, and so before
//! anybody's third one. Eras grow from start to start of a node ([`Truncations::new`]).
//!
//! A node that restarts has forgotten what it refuses. So it confirms no second and third round of a truncation whose first
//! one it does not know, and TRUNCATE fails; and after it, the messages of before have died with their connections. So it is with
//! one that no longer waits for a truncation, since its time is over or its coordinator is gone, or has started anew.
//!
//! One way is left: a node that was removed from the ring while it lived on, cut off, is no member any more when TRUNCATE asks for eras. What
//! it hinted before, and brings before it hears of its removal, is taken in, for it may be all that there is of a write at ANY.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use starling_model::{NodeId, TableId};

/// Bits of an era that count within one run of a node; the others are its generation.
const COUNTER_BITS: u32 = 24;

/// How many truncations of a table that are over are remembered, so that copies of their messages do nothing.
const REMEMBERED: usize = 16;

type Tables = BTreeMap<TableId, Table>;

/// The truncations that this node has heard of since it started.
#[derive(Debug)]
pub(crate) struct Truncations {
    era: AtomicU64,
    /// Read by each write, for as long as it takes to hand it on; written by truncations. Its readers share nothing with one
    /// another, so that threads that write do not wait for each other's caches.
    tables: ShardedLock<Tables>,
}

/// Who began a write, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) sender: NodeId,
    /// The sender's era in which the write began, or the read that it comes from.
    pub(crate) era: u64,
}

#[derive(Debug, Default)]
struct Table {
    /// When its data was removed here last, by the monotonic clock.
    removed: Option<Duration>,
    /// What these nodes began in earlier eras is refused.
    closed: BTreeMap<NodeId, u64>,
    /// The truncations whose first round came, and not their last one.
    under_way: BTreeMap<u128, UnderWay>,
    /// The latest of those that are over, and whether this node knew of each.
    over: VecDeque<(u128, bool)>,
    /// Reads that this node began in an earlier era repair nothing.
    repairs_since: u64,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    coordinator: NodeId,
    /// In which of its runs the coordinator began it.
    run: u64,
    /// Until when it may still succeed, by the monotonic clock.
    until: Duration,
}

impl Table {
    fn is_under_way(&self, now: Duration) -> bool {
        self.under_way.values().any(|truncation| now < truncation.until)
    }
}

impl Truncations {
    /// `generation` counts the starts of this node: each is greater than the last one.
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            era: AtomicU64::new(Self::first_era(generation)),
            tables: ShardedLock::default(),
        }
    }

    // What a panic left is whole: nothing panics between two changes that belong together.
    fn read(&self) -> ShardedLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> ShardedLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present era.
    pub(crate) fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    /// Begins a new era; returns it.
    pub(crate) fn next_era(&self) -> u64 {
        self.era.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The first era of this run.
    pub(crate) fn first_era(generation: u64) -> u64 {
        generation << COUNTER_BITS
    }

    /// Notes the first round of a truncation, which may succeed until `until`. False if it is over already.
    pub(crate) fn begin(&self, table: TableId, id: u128, coordinator: Origin, until: Duration) -> bool {
        let mut tables = self.write();
        let table = tables.entry(table).or_default();
        let is_new = table.over.iter().all(|(over, _)| *over != id);
        if is_new {
            let truncation = UnderWay {
                coordinator: coordinator.sender,
                run: coordinator.era >> COUNTER_BITS,
                until,
            };
            table.under_way.insert(id, truncation);
        }
        is_new
    }

    /// A node tells of one of its eras: what it began in an earlier run is over.
    pub(crate) fn note_run(&self, node: NodeId, era: u64) {
        let run = era >> COUNTER_BITS;
        let is_over = |truncation: &UnderWay| truncation.coordinator == node && truncation.run < run;
        let is_idle = |table: &Table| !table.under_way.values().any(is_over);
        if self.read().values().all(is_idle) {
            return;
        }
        for table in self.write().values_mut() {
            table.under_way.retain(|_, truncation| !is_over(truncation));
        }
    }

    /// Forgets the truncations whose time is over, or whose coordinator is gone, so that nothing waits for their ends. Should
    /// one of them go on all the same, it fails: this node does not confirm its further rounds.
    pub(crate) fn give_up(&self, now: Duration, is_gone: impl Fn(NodeId) -> bool) {
        let is_idle = |table: &Table| table.under_way.is_empty();
        if self.read().values().all(is_idle) {
            return;
        }
        for table in self.write().values_mut() {
            table
                .under_way
                .retain(|_, truncation| now < truncation.until && !is_gone(truncation.coordinator));
        }
    }

    /// From now on refuses what each of these nodes began in an era before that one. False, and nothing changes, if this node
    /// does not know the truncation: it has restarted, or it is over.
    pub(crate) fn refuse_earlier(&self, table: TableId, id: u128, eras: &[(NodeId, u64)]) -> bool {
        let mut tables = self.write();
        let known = tables.get_mut(&table);
        let Some(table) = known.filter(|table| table.under_way.contains_key(&id)) else {
            return false;
        };
        for (node, era) in eras {
            let closed = table.closed.entry(*node).or_default();
            *closed = (*era).max(*closed);
        }
        true
    }

    /// Notes that data is removed now; `hand_on` gives that to the storage, before or after any write as a whole. `None`, and
    /// nothing changes, if the truncation is over: what was written since then is not to be removed.
    pub(crate) fn remove<T>(
        &self,
        table: TableId,
        id: u128,
        now: Duration,
        hand_on: impl FnOnce() -> T,
    ) -> Option<T> {
        let mut tables = self.write();
        let known = tables.get_mut(&table)?;
        let truncation = known.under_way.get(&id)?;
        if now >= truncation.until {
            return None;
        }
        known.removed = Some(now);
        Some(hand_on())
    }

    /// Notes that a truncation is over, done or given up. False if this node does not know it: it has restarted since.
    pub(crate) fn end(&self, table: TableId, id: u128) -> bool {
        let mut tables = self.write();
        let table = tables.entry(table).or_default();
        let was_known = table.under_way.remove(&id).is_some();
        if !was_known && let Some((_, was_known)) = table.over.iter().find(|(over, _)| *over == id) {
            return *was_known;
        }
        // Also one that is not known: its first round may be on its way still.
        table.over.push_back((id, was_known));
        if table.over.len() > REMEMBERED {
            table.over.pop_front();
        }
        if was_known {
            table.repairs_since = self.next_era();
        }
        was_known
    }

    /// Whether the table is being truncated, as far as this node knows.
    pub(crate) fn is_under_way(&self, table: TableId, now: Duration) -> bool {
        let tables = self.read();
        tables.get(&table).is_some_and(|table| table.is_under_way(now))
    }

    /// Whether what this node began to read in some era is good for repairs: no replica can have been truncated since.
    pub(crate) fn lets_repair(&self, table: TableId, era: u64, now: Duration) -> bool {
        let tables = self.read();
        let table = tables.get(&table);
        table.is_none_or(|table| era >= table.repairs_since && !table.is_under_way(now))
    }

    /// Whether a write is to be refused, since the table was truncated after it began.
    pub(crate) fn refuses(&self, table: TableId, origin: Origin) -> bool {
        self.unless_refused(table, origin, || ()).is_none()
    }

    /// Gives a write to the storage, unless the table was truncated after it began: then `None`.
    pub(crate) fn unless_refused<T>(
        &self,
        table: TableId,
        origin: Origin,
        hand_on: impl FnOnce() -> T,
    ) -> Option<T> {
        let tables = self.read();
        let closed = tables
            .get(&table)
            .and_then(|table| table.closed.get(&origin.sender));
        closed.is_none_or(|era| origin.era >= *era).then(hand_on)
    }

    /// Gives the storage what a session that began at `began` writes, unless the table may have been truncated on
    /// some replica since: then `None`. `limit` is how long a truncation may take.
    pub(crate) fn unless_truncated<T>(
        &self,
        table: TableId,
        began: Duration,
        limit: Duration,
        hand_on: impl FnOnce() -> T,
    ) -> Option<T> {
        let tables = self.read();
        let removed = tables.get(&table).and_then(|table| table.removed);
        removed.is_none_or(|at| began >= at + limit).then(hand_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: TableId = TableId(1);
    const ME: NodeId = NodeId(3);
    /// Coordinates, in its first run.
    const COORDINATOR: Origin = Origin {
        sender: ME,
        era: 1 << COUNTER_BITS,
    };
    const NOW: Duration = Duration::from_secs(100);
    const UNTIL: Duration = Duration::from_secs(160);

    fn of(sender: u128, era: u64) -> Origin {
        Origin {
            sender: NodeId(sender),
            era,
        }
    }

    #[test]
    fn what_a_node_began_in_an_earlier_era_is_refused() {
        let truncations = Truncations::new(1);
        assert!(!truncations.refuses(TABLE, of(7, 0)), "nothing was truncated");
        assert!(
            !truncations.refuse_earlier(TABLE, 5, &[(NodeId(7), 3)]),
            "its first round did not come"
        );
        assert!(truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        assert!(truncations.refuse_earlier(TABLE, 5, &[(NodeId(7), 3)]));
        let refused = [of(7, 2), of(7, 3), of(8, 0)].map(|origin| truncations.refuses(TABLE, origin));
        assert_eq!(refused, [true, false, false], "of each node by its own eras");
        assert!(!truncations.refuses(TableId(2), of(7, 2)), "another table");
        // An older one that comes late changes nothing.
        assert!(truncations.begin(TABLE, 6, COORDINATOR, UNTIL));
        assert!(truncations.refuse_earlier(TABLE, 6, &[(NodeId(7), 1)]));
        assert!(truncations.refuses(TABLE, of(7, 2)));
    }

    #[test]
    fn reads_repair_neither_during_a_truncation_nor_if_they_began_before_its_end() {
        let truncations = Truncations::new(1);
        let before = truncations.era();
        assert!(truncations.lets_repair(TABLE, before, NOW));
        assert!(truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        assert!(truncations.begin(TABLE, 6, COORDINATOR, UNTIL));
        assert!(!truncations.lets_repair(TABLE, truncations.era(), NOW));
        assert!(truncations.end(TABLE, 5));
        let between = truncations.era();
        assert!(!truncations.lets_repair(TABLE, between, NOW), "of another one");
        assert!(truncations.end(TABLE, 6));
        assert!(!truncations.lets_repair(TABLE, before, NOW));
        assert!(!truncations.lets_repair(TABLE, between, NOW));
        assert!(truncations.lets_repair(TABLE, truncations.era(), NOW));
    }

    #[test]
    fn a_truncation_whose_time_is_over_holds_nobody_up() {
        let truncations = Truncations::new(1);
        assert!(truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        assert!(truncations.is_under_way(TABLE, NOW));
        assert!(!truncations.is_under_way(TABLE, UNTIL));
        assert!(truncations.lets_repair(TABLE, truncations.era(), UNTIL));
        truncations.give_up(UNTIL, |_| false);
        assert!(!truncations.end(TABLE, 5), "it can't succeed any more");
    }

    #[test]
    fn a_truncation_whose_coordinator_is_gone_is_given_up() {
        let truncations = Truncations::new(1);
        assert!(truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        truncations.give_up(NOW, |node| node != ME);
        assert!(truncations.is_under_way(TABLE, NOW));
        truncations.give_up(NOW, |node| node == ME);
        assert!(!truncations.is_under_way(TABLE, NOW));
        assert!(!truncations.refuse_earlier(TABLE, 5, &[(NodeId(7), 3)]));
        assert!(!truncations.end(TABLE, 5));
    }

    #[test]
    fn copies_of_old_messages_do_nothing() {
        let truncations = Truncations::new(1);
        assert!(truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        assert!(truncations.end(TABLE, 5));
        assert!(truncations.end(TABLE, 5), "it is over, as it was told");
        assert!(!truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        assert!(!truncations.refuse_earlier(TABLE, 5, &[(NodeId(7), 3)]));
        assert!(!truncations.end(TABLE, 6), "never heard of");
    }

    #[test]
    fn eras_grow_from_start_to_start() {
        let first = Truncations::new(1);
        let (begun, next) = (first.era(), first.next_era());
        assert!(begun < next && next < Truncations::new(2).era());
    }

    #[test]
    fn a_truncation_whose_coordinator_has_started_anew_is_over() {
        let truncations = Truncations::new(1);
        assert!(truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        truncations.note_run(NodeId(7), Truncations::first_era(9));
        truncations.note_run(ME, COORDINATOR.era + 1);
        assert!(truncations.is_under_way(TABLE, NOW));
        truncations.note_run(ME, Truncations::first_era(2));
        assert!(!truncations.is_under_way(TABLE, NOW));
        assert!(!truncations.refuse_earlier(TABLE, 5, &[]));
    }

    #[test]
    fn the_first_round_of_what_is_over_begins_nothing() {
        let truncations = Truncations::new(1);
        assert!(!truncations.end(TABLE, 5), "its first round did not come");
        assert!(!truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        assert!(!truncations.end(TABLE, 5), "nor is it known afterwards");
        assert!(!truncations.is_under_way(TABLE, NOW));
    }

    #[test]
    fn nothing_is_removed_for_a_truncation_that_is_over() {
        let truncations = Truncations::new(1);
        assert_eq!(truncations.remove(TABLE, 5, NOW, || ()), None);
        assert!(truncations.begin(TABLE, 5, COORDINATOR, UNTIL));
        assert_eq!(truncations.remove(TABLE, 5, UNTIL, || ()), None);
        assert_eq!(truncations.remove(TABLE, 5, NOW, || ()), Some(()));
        assert!(truncations.end(TABLE, 5));
        assert_eq!(truncations.remove(TABLE, 5, NOW, || ()), None);
    }
}
