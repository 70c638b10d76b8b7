//! Who is in the ring, and what is about to change: the state that all nodes come to agree on.
//!
//! Contract:
//! 1. Every part of it has a version that only grows. Merging takes each part's greater version: commutative,
//!    associative and idempotent, as long as two states of one part never have one version. Changes see to that,
//!    for only the coordinator of the one change that is under way writes (`grants.rs`); founders write only
//!    their own entry. Should two changes begin all the same (a promise was forgotten while its proposer stood still),
//!    both are given up by whoever sees both. So no node ever confirms the one and then the other, and at most one of
//!    them is confirmed by all.
//!    States of one change are joined: the later phase, and all who are lost.
//!    What altered keyspaces are replicated by becomes another only at the end of a change, and has its version.
//! 2. The epoch is the sum of the versions. So a state that knows strictly more has a strictly greater epoch.
//!    A later release may have another log order the states; the epoch keeps this meaning.
//! 3. States travel whole. Nobody ever holds a part of one together with a part of an older one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_cql::schema::Replications;
use starling_model::{NodeId, Timestamp, Token};
use starling_ring::Member;

use super::{Change, Phase};
use crate::message::decode_value;

/// How many steps the end of a change is from the state that it was proposed on: more than all that lie between.
const DECIDED: u64 = 1 << 16;

/// The ring, and the change that is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingState {
    /// Everybody who is or was in the ring.
    entries: BTreeMap<NodeId, Entry>,
    change: Option<Change>,
    /// Counts the steps of all changes.
    change_version: u64,
    /// What altered keyspaces are replicated by. A release that does not know of it reads states without.
    #[serde(default, skip_serializing_if = "Replications::is_empty")]
    replications: Replications,
}

/// What the state says of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    version: u64,
    place: Place,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the ring.
    Serving {
        /// Its datacenter.
        datacenter: String,
        /// Its rack.
        rack: String,
        /// Its tokens.
        tokens: Vec<Token>,
        /// Where peers reached it when it came in; gossip knows better where it is now.
        address: SocketAddr,
        /// When it founded a cluster, if that is how it came in.
        founded: Option<Timestamp>,
        /// An operator has said that it is dead for good, while a change of this time waited for it. It is to be removed or
        /// replaced, and refused should it come back.
        #[serde(default)]
        lost: Option<Timestamp>,
    },
    /// Not any more, and never again under this id.
    Gone {
        /// When that was proposed.
        at: Timestamp,
        /// It left by itself; it was removed or replaced otherwise.
        left: bool,
    },
}

/// What two nodes compare to find out whether they see the same ring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Digest of the members and of those after the change, and of what altered keyspaces are replicated by then and then; 0 of
    /// a node that knows no ring.
    pub digest: u64,
    /// How much the node knows of the ring's history: see the contract of [`RingState`].
    pub epoch: u64,
}

impl RingState {
    /// The members that serve.
    pub fn members(&self) -> Vec<Member> {
        let serving = self.entries.iter().filter_map(|(id, entry)| match &entry.place {
            Place::Serving {
                datacenter,
                rack,
                tokens,
                ..
            } => Some(Member {
                id: *id,
                datacenter: datacenter.clone(),
                rack: rack.clone(),
                tokens: tokens.clone(),
            }),
            Place::Gone { .. } => None,
        });
        serving.collect()
    }

    /// The members after the change that is under way.
    pub fn next_members(&self) -> Option<Vec<Member>> {
        self.change.as_ref().map(|change| change.next(&self.members()))
    }

    /// What altered keyspaces are replicated by; all others by what they were created with.
    pub fn replications(&self) -> &Replications {
        &self.replications
    }

    /// The change that is under way.
    pub fn change(&self) -> Option<&Change> {
        self.change.as_ref()
    }

    /// Where a node is; `None` if it was never in the ring.
    pub fn place(&self, id: NodeId) -> Option<&Place> {
        self.entries.get(&id).map(|entry| &entry.place)
    }

    /// Whether a node is in the ring.
    pub fn serves(&self, id: NodeId) -> bool {
        matches!(self.place(id), Some(Place::Serving { .. }))
    }

    /// Who was removed or replaced, or is about to be and must not come back; those who left by themselves are not
    /// among them.
    pub fn removed(&self) -> impl Iterator<Item = NodeId> {
        let gone = self.entries.iter();
        let refused = |place: &Place| {
            matches!(
                place,
                Place::Gone { left: false, .. } | Place::Serving { lost: Some(_), .. }
            )
        };
        gone.filter(move |(_, entry)| refused(&entry.place))
            .map(|(id, _)| *id)
    }

    /// Since when a node must not come back, if that is so.
    pub fn refused_since(&self, id: NodeId) -> Option<Timestamp> {
        // One that was dead before the change began is needed again if it is given up.
        let settling = self
            .change
            .as_ref()
            .filter(|change| change.phase == Phase::Settling);
        if let Some(change) = settling.filter(|change| change.lost.contains(&id)) {
            return Some(change.since);
        }
        match self.place(id)? {
            Place::Gone { at, left: false } => Some(*at),
            Place::Serving { lost, .. } => *lost,
            Place::Gone { left: true, .. } => None,
        }
    }

    /// Whether a change is under way that this node has to confirm.
    pub(super) fn awaits(&self, id: NodeId) -> bool {
        let change = self.change.as_ref();
        change.is_some_and(|change| change.participants(&self.members()).contains(&id))
    }

    /// Whether what this node says of the ring is to be learnt: while a change goes on without nodes that are dead for good
    /// only its participants are heard, for another may repeat what such a node decided alone.
    pub(super) fn hears(&self, id: NodeId) -> bool {
        let bereaved = self.change.as_ref().is_some_and(|change| !change.lost.is_empty());
        !bereaved || self.awaits(id)
    }

    /// Where a node that serves or comes in was reached when it came.
    pub fn address(&self, id: NodeId) -> Option<SocketAddr> {
        match self.place(id) {
            Some(Place::Serving { address, .. }) => return Some(*address),
            Some(Place::Gone { .. }) => return None,
            None => {}
        }
        let (member, address) = self.change.as_ref()?.kind.incoming()?;
        (member.id == id).then_some(address)
    }

    /// How much this state knows.
    pub fn epoch(&self) -> u64 {
        let entries: u64 = self.entries.values().map(|entry| entry.version).sum();
        entries + self.change_version
    }

    /// How many changes have come to their end, in whichever way.
    pub fn decided(&self) -> u64 {
        self.change_version / DECIDED
    }

    /// What two nodes compare.
    pub fn stamp(&self) -> Stamp {
        let members = self.members();
        if members.is_empty() {
            return Stamp::default();
        }
        let next = self.change.as_ref().map(|change| change.next(&members));
        let kind = self.change.as_ref().map(|change| &change.kind);
        let altered = kind.map(|kind| kind.next_replications(&self.replications));
        let never_altered =
            self.replications.is_empty() && altered.as_ref().is_none_or(Replications::is_empty);
        let bytes = if never_altered {
            rmp_serde::to_vec(&(members, next))
        } else {
            rmp_serde::to_vec(&(members, next, &self.replications, altered))
        };
        // Writing to memory can't fail, and nothing has a part of unknown length.
        let bytes = bytes.expect("members can be encoded");
        Stamp {
            digest: xxhash_rust::xxh3::xxh3_64(&bytes),
            epoch: self.epoch(),
        }
    }

    /// Learns what another state knows. Founders of whom `accepts_founder` is false (by the time that they
    /// founded) and that are new here are left out. True if something is new.
    pub fn merge(&mut self, other: &Self, accepts_founder: impl Fn(Timestamp) -> bool) -> bool {
        let mut new = false;
        for (id, theirs) in &other.entries {
            let ours = self.entries.get(id).map_or(0, |entry| entry.version);
            if let Place::Serving {
                founded: Some(at), ..
            } = &theirs.place
                && ours == 0
                && !accepts_founder(*at)
            {
                continue;
            }
            if theirs.version > ours {
                self.entries.insert(*id, theirs.clone());
                new = true;
            }
        }
        if let Some(joined) = self.joined(other) {
            new |= joined != *self;
            *self = joined;
        } else if other.change_version > self.change_version {
            self.change_version = other.change_version;
            self.change.clone_from(&other.change);
            self.replications.clone_from(&other.replications);
            new = true;
        } else if other.change_version == self.change_version && self.contests(other) {
            *self = self.aborted();
            new = true;
        }
        new
    }

    /// The state with all that the two know of one and the same change, if that is what is under way in both.
    fn joined(&self, other: &Self) -> Option<Self> {
        let (ours, theirs) = self.change.as_ref().zip(other.change.as_ref())?;
        if ours.id != theirs.id {
            return None;
        }
        let mut joined = ours.clone();
        joined.phase = ours.phase.max(theirs.phase);
        joined.lost.extend(&theirs.lost);
        Some(self.with(joined))
    }

    fn contests(&self, other: &Self) -> bool {
        matches!((&self.change, &other.change), (Some(ours), Some(theirs)) if theirs.id != ours.id)
    }

    /// A node founds a cluster, or is known from a time before this state was kept.
    pub fn found(&mut self, member: &Member, address: SocketAddr, at: Option<Timestamp>) {
        self.set(member.id, serving(member, address, at));
    }

    /// The change begins, or goes into another phase.
    pub fn with_change(&self, change: &Change, phase: Phase) -> Self {
        self.with(Change {
            phase,
            ..change.clone()
        })
    }

    /// The change goes on without these nodes, which are dead for good. Only for a state in which it is settling.
    pub(super) fn without(&self, lost: &BTreeSet<NodeId>) -> Self {
        let Some(mut change) = self.change.clone() else {
            return self.clone();
        };
        debug_assert_eq!(change.phase, Phase::Settling);
        change.lost.extend(lost);
        self.with(change)
    }

    fn with(&self, change: Change) -> Self {
        let mut state = self.clone();
        state.change_version = self.version_before(change.id) + change.steps();
        state.change = Some(change);
        state
    }

    /// The version of the state that the change of this id was proposed on.
    fn version_before(&self, id: u128) -> u64 {
        let under_way = self.change.as_ref().filter(|change| change.id == id);
        self.change_version
            .saturating_sub(under_way.map_or(0, Change::steps))
    }

    /// The change is done: next is the ring. Whoever does this comes to the same state.
    pub fn completed(&self) -> Self {
        let mut state = self.clone();
        let Some(change) = state.change.take() else {
            return state;
        };
        state.change_version = self.version_before(change.id) + DECIDED + change.lost.len() as u64;
        state.replications = change.kind.next_replications(&self.replications);
        let next = change.next(&self.members());
        for member in next {
            match self.place(member.id) {
                Some(Place::Serving { rack, address, .. }) if *rack != member.rack => {
                    state.set(member.id, serving(&member, *address, None));
                }
                Some(_) => {}
                None => {
                    let address = self.address(member.id);
                    let address = address.expect("who comes in has an address");
                    state.set(member.id, serving(&member, address, None));
                }
            }
        }
        let left = matches!(change.kind, super::ChangeKind::Leave(_));
        for gone in change.kind.outgoing() {
            let at = change.since;
            state.set(gone, Place::Gone { at, left });
        }
        for id in &change.lost {
            state.mark_lost(*id, change.since);
        }
        state
    }

    /// The change is given up: the ring is what it was. Only for a state in which it is pending: it outranks the
    /// settling that its coordinator may have begun meanwhile.
    pub fn aborted(&self) -> Self {
        let mut state = self.clone();
        if let Some(change) = state.change.take() {
            state.change_version = self.version_before(change.id) + DECIDED;
        }
        state
    }

    fn mark_lost(&mut self, id: NodeId, at: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&id)
            && let Place::Serving { lost, .. } = &mut entry.place
        {
            *lost = Some(at);
            entry.version += 1;
        }
    }

    fn set(&mut self, id: NodeId, place: Place) {
        let version = self.entries.get(&id).map_or(0, |entry| entry.version) + 1;
        self.entries.insert(id, Entry { version, place });
    }

    /// The state as it travels and is stored.
    pub fn encode(&self) -> Bytes {
        // Writing to memory can't fail, and no entry has a part of unknown length.
        rmp_serde::to_vec(self)
            .expect("a ring state can be encoded")
            .into()
    }

    /// Reads what [`encode`](Self::encode) wrote; arbitrary bytes are an error, never a panic.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode_value(bytes)
    }
}

fn serving(member: &Member, address: SocketAddr, founded: Option<Timestamp>) -> Place {
    Place::Serving {
        datacenter: member.datacenter.clone(),
        rack: member.rack.clone(),
        tokens: member.tokens.clone(),
        address,
        founded,
        lost: None,
    }
}
