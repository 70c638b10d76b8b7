//! When a level is met while a range changes its replicas.
//!
//! Invariant: whatever a level R+W>N promises on one set of replicas it promises across a change. A request meets
//! its level among the replicas before the change *and* among those after it, so it overlaps with requests of
//! coordinators that know only the one or the other.

use starling_model::{Consistency, NodeId};
use starling_ring::{Requirement, Shortfall, Tally};

use crate::placements::Placements;

/// A level, and the replicas that have to meet it: one list of them, or two while they change.
#[derive(Debug, Clone)]
pub(crate) struct Quorum {
    pub(crate) requirements: Requirements,
    pub(crate) sets: ReplicaSets,
}

/// What a level needs, of the replicas now and of those after the change that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirements {
    current: Requirement,
    /// Only where it is another one than the current one: of a keyspace that is altered.
    next: Option<Requirement>,
    /// The replicas that the keyspace asks for now, whether or not there are nodes for them.
    factor: usize,
}

impl Requirements {
    /// What a level means for a keyspace, seen from a coordinator in `local` datacenter.
    pub(crate) fn new(level: Consistency, placements: &Placements, local: &str) -> Self {
        let current = Requirement::new(level, placements.current.replication(), local);
        let next = placements.next.as_ref();
        let next = next.map(|next| Requirement::new(level, next.replication(), local));
        let factor = placements.current.replication().total() as usize;
        Self::of(current, next, factor)
    }

    pub(super) fn of(current: Requirement, next: Option<Requirement>, factor: usize) -> Self {
        Self {
            next: next.filter(|next| *next != current),
            current,
            factor,
        }
    }

    /// How many answers are needed, of one set of replicas or the other; what errors report as `required`.
    pub(crate) fn block_for(&self) -> u32 {
        let next = self.next.as_ref().map_or(0, Requirement::block_for);
        self.current.block_for().max(next)
    }

    /// Whether a hint on any node is as good as a replica's acknowledgement (level ANY).
    pub(crate) fn hint_suffices(&self) -> bool {
        self.current.hint_suffices()
    }

    /// Whether an answer from a replica in this datacenter counts in one set or the other.
    pub(crate) fn counts(&self, datacenter: &str) -> bool {
        let in_next = |next: &Requirement| next.counts(datacenter);
        self.current.counts(datacenter) || self.next.as_ref().is_some_and(in_next)
    }
}

/// Who holds a token, now and after the change that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplicaSets {
    pub(crate) current: Vec<NodeId>,
    /// Only where they are others than the current ones.
    pub(crate) next: Option<Vec<NodeId>>,
}

impl ReplicaSets {
    pub(crate) fn new(current: &[NodeId], next: Option<&[NodeId]>) -> Self {
        let same =
            |next: &&[NodeId]| next.len() == current.len() && next.iter().all(|node| current.contains(node));
        Self {
            current: current.to_vec(),
            next: next.filter(|next| !same(next)).map(<[NodeId]>::to_vec),
        }
    }

    /// Everybody who is a replica now or after the change: the present ones first, each once.
    pub(crate) fn all(&self) -> Vec<NodeId> {
        let mut all = self.current.clone();
        for node in self.next.iter().flatten() {
            if !all.contains(node) {
                all.push(*node);
            }
        }
        all
    }

    /// Whether a node's answer counts in all sets: such replicas have all data, and are asked first.
    pub(crate) fn stays(&self, node: NodeId) -> bool {
        self.current.contains(&node) && self.next.as_ref().is_none_or(|next| next.contains(&node))
    }

    /// The replicas that hold two neighbouring ranges, each by its sets.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let both = |a: &[NodeId], b: &[NodeId]| {
            a.iter()
                .copied()
                .filter(|node| b.contains(node))
                .collect::<Vec<_>>()
        };
        let next = (self.next.is_some() || other.next.is_some()).then(|| {
            both(
                self.next.as_ref().unwrap_or(&self.current),
                other.next.as_ref().unwrap_or(&other.current),
            )
        });
        let current = both(&self.current, &other.current);
        Self::new(&current, next.as_deref())
    }
}

impl Quorum {
    /// Whether these replicas (with their datacenters) are enough.
    pub(crate) fn check<'a>(
        &self,
        replicas: impl IntoIterator<Item = (NodeId, &'a str)>,
    ) -> Result<(), Shortfall> {
        if self.requirements.hint_suffices() {
            return Ok(());
        }
        let mut tally = self.tally();
        for (node, datacenter) in replicas {
            tally.add(node, datacenter);
        }
        tally.shortfall().map_or(Ok(()), Err)
    }

    /// Where there are not even nodes for all replicas that the keyspace asks for: that, and what to do.
    pub(crate) fn want_of_nodes(&self) -> Option<String> {
        let (asked, there) = (self.requirements.factor, self.sets.current.len());
        (there < asked).then(|| {
            format!(
                "the keyspace asks for {asked} replicas and there are nodes for {there}: let more nodes join, or lower its \
                 replication factor with ALTER KEYSPACE"
            )
        })
    }

    /// Counts answers as they come.
    pub(crate) fn tally(&self) -> JointTally {
        let Requirements { current, next, .. } = &self.requirements;
        // Also where the replicas stay the level may need more of them, or fewer.
        let is_joint = self.sets.next.is_some() || next.is_some();
        JointTally {
            sets: self.sets.clone(),
            current: current.tally(),
            next: is_joint.then(|| next.as_ref().unwrap_or(current).tally()),
        }
    }
}

/// The answers that a request has so far.
#[derive(Debug, Clone)]
pub(crate) struct JointTally {
    sets: ReplicaSets,
    current: Tally,
    next: Option<Tally>,
}

impl JointTally {
    /// Counts one replica; says whether it brought the level nearer where it was not met yet.
    pub(crate) fn add(&mut self, node: NodeId, datacenter: &str) -> bool {
        let count = |tally: &mut Tally, set: &[NodeId]| {
            let before = tally.received();
            let needed = !tally.is_met() && set.contains(&node);
            if set.contains(&node) {
                tally.add(datacenter);
            }
            needed && tally.received() > before
        };
        let current = count(&mut self.current, &self.sets.current);
        let next_set = self.sets.next.as_ref().unwrap_or(&self.sets.current);
        let next = self.next.as_mut().is_some_and(|tally| count(tally, next_set));
        current || next
    }

    /// A hint was kept where a hint is as good as an acknowledgement (level ANY).
    pub(crate) fn add_hint(&mut self, datacenter: &str) {
        self.current.add(datacenter);
        if let Some(next) = &mut self.next {
            next.add(datacenter);
        }
    }

    /// Whether the level is met.
    pub(crate) fn is_met(&self) -> bool {
        self.shortfall().is_none()
    }

    /// How many answers counted, where fewer did; what errors report as `received`.
    pub(crate) fn received(&self) -> u32 {
        let current = self.current.received();
        self.next
            .as_ref()
            .map_or(current, |next| next.received().min(current))
    }

    /// What is missing for the level; `None` once it is met.
    pub(crate) fn shortfall(&self) -> Option<Shortfall> {
        let next = || self.next.as_ref().and_then(Tally::shortfall);
        self.current.shortfall().or_else(next)
    }
}
