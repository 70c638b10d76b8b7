//! When a level is met while a range changes its replicas.
//!
//! Invariant: whatever a level R+W>N promises on one set of replicas it promises across a change. A request meets
//! its level among the replicas before the change *and* among those after it, so it overlaps with requests of
//! coordinators that know only the one or the other.

use starling_model::NodeId;
use starling_ring::{Requirement, Shortfall, Tally};

/// A level, and the replicas that have to meet it: one list of them, or two while they change.
#[derive(Debug, Clone)]
pub(crate) struct Quorum {
    pub(crate) requirement: Requirement,
    pub(crate) sets: ReplicaSets,
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
        if self.requirement.hint_suffices() {
            return Ok(());
        }
        let mut tally = self.tally();
        for (node, datacenter) in replicas {
            tally.add(node, datacenter);
        }
        tally.shortfall().map_or(Ok(()), Err)
    }

    /// Counts answers as they come.
    pub(crate) fn tally(&self) -> JointTally {
        JointTally {
            sets: self.sets.clone(),
            current: self.requirement.tally(),
            next: self.sets.next.as_ref().map(|_| self.requirement.tally()),
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
        let next = match (&mut self.next, &self.sets.next) {
            (Some(tally), Some(set)) => count(tally, set),
            _ => false,
        };
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
