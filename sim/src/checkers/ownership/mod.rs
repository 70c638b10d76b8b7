//! Every token has owners at all times, and whoever counts on them means the same ones.
//!
//! In the terms of `replication/src/topology/ALGORITHM.md`: a node's *ring* is its current members and, while it knows of a
//! change, the next ones. Its *belief* is the owners that it plans requests by: of every token of every keyspace those among the
//! current members, and those among the next. It *plans* clients' requests if it serves on its own ring. A node *would let in* a
//! request that was planned on a ring if it knows that ring, or less (then it learns it first).
//!
//! Looked at after every poll of a task in which a ring became another one, so that nothing lies between, and at every request
//! that a replica carries out:
//! 1. *No gap.* In every belief every token has as many owners as the strategy asks for and there are members for, each once, all of
//!    them members; and no token is claimed by two members (`gap`).
//! 2. *One ring, one answer.* Two nodes whose rings have one epoch have one ring and the same owners. Only two changes that began at
//!    once may have one epoch; both are pending then, and the current owners the same (`answers::differ`).
//! 3. *No two answers.* For no token two nodes plan on rings of which a quorum of the one's owners and a quorum of the other's have no
//!    node in common, while those in them would let the requests in. A quorum of a ring that changes is one of its current
//!    owners together with one of the next. The same for the quorums of each datacenter (`answers::pass_by`).
//! 4. *Barriers.* When a change settles anywhere, all who take part in it know that it is pending, and when it is done, that it settles
//!    (`steps`).
//! 5. *The fence.* A replica carries out a client's write or read only if it was planned on a ring that the replica knew at
//!    some moment since the request came (`fence`).
//! 6. *One ring in the end.* Once everything is healed all have one ring, without a change, whose owners are up ([`Watch::settled`]).
//!
//! Only living nodes count: one that is down says nothing, and comes back with what it had stored.

mod answers;
mod belief;
mod fence;
mod gap;
mod steps;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use starling_model::NodeId;
use starling_replication::{Node, PeerRequest, PeerResponse};

pub use self::fence::Ticket;
use self::{belief::Belief, fence::Rings, steps::Steps};
use super::{Promise, Violation};
use crate::{env::SimEnv, executor::Group};

/// So many violations of a run are kept: what is wrong once is wrong in every moment that follows.
const KEPT: usize = 20;

/// Looks at what the living nodes believe. Clones share it.
#[derive(Clone, Default)]
pub struct Watch {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    living: BTreeMap<Group, Living>,
    steps: Steps,
    found: Vec<Violation>,
}

/// A node from its start to its crash.
struct Living {
    node: Arc<Node<SimEnv>>,
    belief: Belief,
    /// Every ring that it knew.
    rings: Rings,
}

impl Watch {
    /// A node is up, and its tasks belong to `group`.
    pub(crate) fn begins(&self, group: Group, number: usize, id: NodeId, node: &Arc<Node<SimEnv>>) {
        let belief = Belief::of(number, id, node, None);
        let rings = Rings::beginning_with(belief.stamp);
        let living = Living {
            node: node.clone(),
            belief,
            rings,
        };
        let inner = &mut *self.inner.lock();
        inner.living.insert(group, living);
        inner.judge(group, None);
    }

    /// It is down.
    pub(crate) fn ends(&self, group: Group) {
        let ended = self.inner.lock().living.remove(&group);
        // Whatever the node's end sets off finds the lock free.
        drop(ended);
    }

    /// A node that is up.
    pub(crate) fn node(&self, id: NodeId) -> Option<Arc<Node<SimEnv>>> {
        let inner = self.inner.lock();
        let mut living = inner.living.values();
        living
            .find(|living| living.belief.id == id)
            .map(|living| living.node.clone())
    }

    /// Looks whether a node's ring is another one than the last time. Cheap if it is not.
    pub(crate) fn look(&self, group: Group) {
        self.inner.lock().look(group);
    }

    /// A request has come to a node.
    pub(crate) fn arrived(&self, group: Group, request: &PeerRequest) -> Option<Ticket> {
        let inner = &mut *self.inner.lock();
        inner.look(group);
        inner.living.get(&group)?.rings.arrived(request)
    }

    /// The node answers it.
    pub(crate) fn answered(&self, group: Group, ticket: &Ticket, answer: &PeerResponse) {
        let inner = &mut *self.inner.lock();
        inner.look(group);
        if let Some(living) = inner.living.get(&group) {
            let passed = living.rings.passed(ticket, answer);
            let found = passed.map(|text| format!("n{}: {text}", living.belief.number));
            inner.note(found);
        }
    }

    /// All is healed: every node that serves has the same ring, and its owners are up.
    pub fn settled(&self) -> Option<Violation> {
        let inner = self.inner.lock();
        let beliefs: Vec<&Belief> = inner.living.values().map(|living| &living.belief).collect();
        answers::unsettled(&beliefs).map(violation)
    }

    /// What was wrong at any moment.
    pub fn violations(&self) -> Vec<Violation> {
        self.inner.lock().found.clone()
    }
}

impl Inner {
    fn look(&mut self, group: Group) {
        let Some(living) = self.living.get(&group) else {
            return;
        };
        if Arc::ptr_eq(&living.node.ring_state(), &living.belief.state) {
            return;
        }
        // A keyspace may be new at the others too.
        let mut before = None;
        for (other, living) in &mut self.living {
            let belief = Belief::of(
                living.belief.number,
                living.belief.id,
                &living.node,
                Some(&living.belief),
            );
            living.rings.learn(belief.stamp);
            let last = std::mem::replace(&mut living.belief, belief);
            if *other == group {
                before = Some(last);
            }
        }
        self.judge(group, before.as_ref());
    }

    /// Judges what is new with one node's belief.
    fn judge(&mut self, group: Group, before: Option<&Belief>) {
        let beliefs: Vec<&Belief> = self.living.values().map(|living| &living.belief).collect();
        let Some(living) = self.living.get(&group) else {
            return;
        };
        let own = &living.belief;
        let mut found: Vec<String> = gap::find(own).into_iter().collect();
        for other in beliefs.iter().filter(|other| other.id != own.id) {
            found.extend(answers::differ(own, other));
            found.extend(answers::pass_by(own, other, &beliefs));
        }
        found.extend(self.steps.judge(before, own, &beliefs));
        self.note(found);
    }

    fn note(&mut self, found: impl IntoIterator<Item = String>) {
        for text in found {
            let found = violation(text);
            if self.found.len() < KEPT && !self.found.contains(&found) {
                self.found.push(found);
            }
        }
    }
}

fn violation(text: String) -> Violation {
    Violation {
        promise: Promise::Ownership,
        text,
    }
}
