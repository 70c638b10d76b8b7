//! Who is gone for good, and how it stays gone.
//!
//! A member that says LEFT, or that was removed, is kept as it is for the quarantine, so that everybody hears of
//! it. Then it is forgotten, and for as long again its old generations are refused, so that a node that was away
//! can't bring them back.
//!
//! Who says LEFT is alive for as long as its process is: whoever has not learnt yet that the ring goes without it
//! still asks it, and is told. Who was removed is dead.

use std::time::Duration;

use starling_model::NodeId;

use super::Gossip;
use crate::{
    event::Event,
    message::Delta,
    state::{StateKey, status},
};

/// The generation of a member that others removed. None is later, so nothing that the member says counts any more;
/// and whoever removes it says the same, so it does not matter who did, or how many.
pub const REMOVED_GENERATION: u64 = u64::MAX;

/// A departed member that is forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tombstone {
    /// Up to this one its generations are refused.
    generation: u64,
    until: Duration,
}

/// The member can't be removed. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// Nobody has this id.
    #[error("no member has the id {0}; see the list of members")]
    Unknown(NodeId),
    /// It is this node.
    #[error("a node can't remove itself; decommission it")]
    Itself,
    /// It is alive: it must leave by itself, which moves its data.
    #[error("node {0} is alive; decommission it, or stop it first")]
    Alive(NodeId),
}

impl Gossip {
    /// Takes a dead member out for good: it becomes [`status::REMOVED`], with no other state, everywhere. Should
    /// it come back it hears of that ([`Event::Expelled`]) and is refused. A second removal changes nothing.
    pub fn remove(&mut self, id: NodeId, now: Duration) -> Result<(), RemoveError> {
        if id == self.id {
            return Err(RemoveError::Itself);
        }
        let member = self.member(id).ok_or(RemoveError::Unknown(id))?;
        if member.is_removed() {
            return Ok(());
        }
        if member.alive {
            return Err(RemoveError::Alive(id));
        }
        let update = crate::message::Update {
            key: StateKey::Status,
            version: 1,
            value: status::REMOVED.to_owned(),
        };
        let removed = Delta {
            id,
            generation: REMOVED_GENERATION,
            address: Some(member.address),
            after: 0,
            upto: 1,
            updates: vec![update],
        };
        self.apply(now, vec![removed]);
        Ok(())
    }

    /// Whether this generation of a node is refused, because the node departed.
    pub(super) fn is_quarantined(&self, id: NodeId, generation: u64) -> bool {
        self.tombstones
            .get(&id)
            .is_some_and(|tombstone| generation <= tombstone.generation)
    }

    /// Whether the node was removed by others, as far as is remembered.
    pub(super) fn was_removed(&self, id: NodeId) -> bool {
        let tombstone = self.tombstones.get(&id).map(|tombstone| tombstone.generation);
        let known = self.members.get(&id).map(|record| record.member.generation);
        tombstone.max(known) == Some(REMOVED_GENERATION)
    }

    /// Takes note if a member just departed.
    pub(super) fn part(&mut self, id: NodeId, now: Duration) {
        let Some(record) = self.members.get_mut(&id) else {
            return;
        };
        if record.member.is_departed() {
            record.departed_at.get_or_insert(now);
        }
        if record.member.is_removed() {
            record.suspected = None;
            self.set_alive(id, false);
        }
    }

    /// Forgets those whose time is over.
    pub(super) fn sweep(&mut self, now: Duration) {
        let quarantine = self.config.quarantine;
        self.fresh.retain(|(_, until)| now < *until);
        self.tombstones.retain(|_, tombstone| now < tombstone.until);
        let over: Vec<NodeId> = self
            .members
            .values()
            .filter(|record| record.departed_at.is_some_and(|at| now >= at + quarantine))
            .map(|record| record.member.id)
            .collect();
        for id in over {
            let Some(record) = self.members.remove(&id) else {
                continue;
            };
            let tombstone = Tombstone {
                generation: record.member.generation,
                until: now + quarantine,
            };
            self.tombstones.insert(id, tombstone);
            self.fresh.retain(|(fresh, _)| *fresh != id);
            self.event(Event::Forgotten(id));
        }
    }

    /// What others say of this node: they removed it, or they know a later state than it has itself.
    pub(super) fn hear_of_itself(&mut self, delta: &Delta) {
        if delta.generation == REMOVED_GENERATION && self.own().generation != REMOVED_GENERATION {
            self.expel();
        } else {
            self.outlive(delta.generation, delta.upto);
        }
    }

    /// This node is no part of the cluster any more.
    pub(super) fn expel(&mut self) {
        if !self.expelled {
            self.expelled = true;
            self.event(Event::Expelled);
        }
    }

    /// Whether the others removed this node.
    pub fn is_expelled(&self) -> bool {
        self.expelled
    }
}
