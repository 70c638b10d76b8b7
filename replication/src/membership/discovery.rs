//! When a node that started knows enough of the others to serve.
//!
//! A node that comes back knows who was in the ring, and of nobody whether it is alive. Were it to serve at once,
//! it would refuse statements whose replicas are all there. So it hears from the others first: live ones answer
//! gossip, and of the rest each is asked once. A connection that is refused proves that nobody is there, which is
//! news as good as an answer.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use starling_model::NodeId;

use super::Membership;
use crate::{
    env::{CallError, Env},
    message::Request,
};

/// For how long others are waited for, from the node's first gossip round on.
///
/// A live one answers within a few round trips: two to connect, one to gossip. That is milliseconds in a datacenter and
/// most of a second around the globe. Waiting longer would help nobody: statements that need a member that is silent
/// for a second are refused by all other nodes before long, and those that don't need it would wait for nothing.
pub(super) const DISCOVERY: Duration = Duration::from_secs(1);

/// How many members are asked in a round: a node of a large cluster does not connect to all at once.
const ASKED_A_ROUND: usize = 64;

/// What the node found out since it started.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    /// When the first gossip round began.
    began: OnceLock<Duration>,
    /// Members that were asked for a sign of life.
    asked: Mutex<BTreeSet<NodeId>>,
    /// Those of them where nobody is.
    gone: Mutex<BTreeSet<NodeId>>,
    /// The node has known enough once: what others do does not take that back.
    settled: AtomicBool,
}

impl<E: Env> Membership<E> {
    /// Asks members that it has not heard from, until the node is settled. Called in every gossip round.
    pub(super) fn discover(self: &Arc<Self>) {
        self.discovery.began.get_or_init(|| self.env.monotonic());
        if self.is_settled() {
            return;
        }
        let snapshot = self.views.load();
        let silent = snapshot.cluster.joined().filter(|peer| !peer.alive);
        let new = silent.filter(|peer| self.discovery.asked.lock().insert(peer.id));
        for peer in new.take(ASKED_A_ROUND) {
            let request = self.envelope(Request::Ping, DISCOVERY);
            let answer = self.env.call(peer.address, request, DISCOVERY);
            let id = peer.id;
            let membership = Arc::clone(self);
            self.env.spawn(async move {
                // An answer needs no note: who answers gossips too, and that shows in the ring.
                if let Err(CallError::NotSent(_)) = answer.await {
                    membership.discovery.gone.lock().insert(id);
                }
            });
        }
    }

    /// Whether the node is in the ring and knows who is alive, so that it refuses no statement only because
    /// it has not heard from live replicas yet: of every member that it knows of, from before its restart or
    /// from its seeds, it has heard, or that nobody is there; or it has waited [`DISCOVERY`]. A node that hears of
    /// nobody waits as well: the others may be starting too. Once it is so it stays so.
    pub(crate) fn is_settled(&self) -> bool {
        let discovery = &self.discovery;
        if discovery.settled.load(Ordering::Acquire) {
            return true;
        }
        let snapshot = self.views.load();
        let cluster = &snapshot.cluster;
        let in_ring = cluster.own().is_some_and(|own| own.joined);
        let alone = cluster.live_others().next().is_none() && self.expects_others();
        let knows_all = || {
            let gone = discovery.gone.lock();
            cluster.joined().all(|peer| peer.alive || gone.contains(&peer.id))
        };
        let waited = || {
            let began = discovery.began.get();
            began.is_some_and(|began| self.env.monotonic() >= *began + DISCOVERY)
        };
        let settled = in_ring && ((!alone && knows_all()) || waited());
        discovery.settled.store(settled, Ordering::Release);
        settled
    }
}
