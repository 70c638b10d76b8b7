//! Read repair by chance: after a read, with the probability that its table names (`read_repair_chance`), all live
//! replicas of the partition are compared, not only as many as the level needs.
//!
//! It happens beside the answer and holds nobody up. So many at a time are under way at most; more are left out. Only reads of
//! one partition do it: what a scan would have to compare is anti-entropy's business.

use std::sync::Arc;

use futures::future::join_all;
use starling_model::{Consistency, Page, ReadCommand};

use super::{Coordinator, reconcile::reconcile};
use crate::{budget::Claim, env::Env, snapshot::Peer, topology::quorum::Quorum, tracing::Tracer};

/// How many comparisons are under way at a time.
pub(crate) const AT_ONCE: usize = 32;

/// A chance is drawn in parts of so many.
const PARTS: f64 = (1_u64 << 32) as f64;

impl<E: Env> Coordinator<E> {
    /// Begins to compare all live replicas of what was read, with that probability, if there is room.
    pub(super) fn compare_by_chance(
        self: &Arc<Self>,
        chance: f64,
        command: &ReadCommand,
        quorum: &Quorum,
        claim: Claim,
    ) {
        let drawn = (self.env.random() >> 32) as f64 / PARTS;
        if drawn >= chance {
            return;
        }
        let Some(permit) = self.comparisons.enter() else {
            return;
        };
        let replicas = self.views.load().peers_of(&quorum.sets.all());
        let alive: Vec<Arc<Peer>> = replicas.into_iter().filter(|peer| peer.alive).collect();
        if alive.len() < 2 {
            return;
        }
        self.counters.chance_repairs.one();
        let (coordinator, command) = (Arc::clone(self), command.clone());
        self.env.spawn(async move {
            coordinator.compare(&alive, &command, claim).await;
            drop(permit);
        });
    }

    /// Brings those replicas up to date, of those that answer, that lack something. Digests first.
    async fn compare(&self, replicas: &[Arc<Peer>], command: &ReadCommand, claim: Claim) {
        let mut task = self.task(Consistency::All, self.timeouts.read, &Tracer::OFF);
        task.claim = claim;
        task.planned = self.views.load().cluster.stamp;
        let digests = replicas
            .iter()
            .map(|peer| self.fetch_digest(peer, command.clone(), &task));
        let digests: Vec<u128> = join_all(digests).await.into_iter().flatten().collect();
        if digests.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        let fetched = replicas
            .iter()
            .map(|peer| self.fetch_data(peer, command.clone(), &task));
        let mut compared = Vec::new();
        for (peer, page) in replicas.iter().zip(join_all(fetched).await) {
            compared.extend(page.map(|page| (peer, page)));
        }
        let (peers, pages): (Vec<&Arc<Peer>>, Vec<Page>) = compared.into_iter().unzip();
        let missing = reconcile(command, pages, self.replica.purgeable.before(command)).missing;
        let repairs = peers
            .iter()
            .zip(missing)
            .map(|(peer, missing)| self.repair_one(peer, missing, &task));
        join_all(repairs).await;
    }
}
