//! New replicas get their data before anybody relies on them.

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt,
    channel::oneshot,
    future::{BoxFuture, Shared, join_all},
};

use super::{Topology, TopologyResponse};
use crate::{deadline::Deadline, env::Env};

/// How long a member has to tell its schema.
const SCHEMA: Duration = Duration::from_secs(2);

/// The data of one change on its way to this node.
pub(super) struct Fetching {
    change: u128,
    outcome: Shared<BoxFuture<'static, Result<(), String>>>,
}

impl<E: Env> Topology<E> {
    /// Fetches what this node gains by a change, unless that is under way, and waits for it until shortly before the
    /// deadline.
    pub(super) async fn fetch_answer(self: &Arc<Self>, id: u128, deadline: Deadline) -> TopologyResponse {
        if self.book.load().change().is_none_or(|change| change.id != id) {
            return TopologyResponse::NotYet("this node does not know the change".to_owned());
        }
        let outcome = self.begin_fetch(id);
        let patience = deadline.remaining(&self.env) / 2;
        let soon = Deadline::after(&self.env, patience);
        match soon.within(&self.env, outcome).await {
            None => TopologyResponse::Fetching(None),
            Some(Ok(())) => TopologyResponse::Fetched,
            Some(Err(problem)) => {
                // The next question begins anew.
                self.fetching.lock().take();
                TopologyResponse::Fetching(Some(problem))
            }
        }
    }

    fn begin_fetch(self: &Arc<Self>, id: u128) -> Shared<BoxFuture<'static, Result<(), String>>> {
        let mut fetching = self.fetching.lock();
        if let Some(under_way) = fetching.as_ref().filter(|fetching| fetching.change == id) {
            return under_way.outcome.clone();
        }
        let (done, outcome) = oneshot::channel();
        let topology = Arc::clone(self);
        self.env.spawn(async move {
            // Nobody may be left to hear of it.
            let _ = done.send(topology.fetch(id).await);
        });
        let outcome = outcome
            .map(|outcome| outcome.unwrap_or_else(|_| Err("the node is stopping".to_owned())))
            .boxed()
            .shared();
        *fetching = Some(Fetching {
            change: id,
            outcome: outcome.clone(),
        });
        outcome
    }

    /// Fetches all that this node gains. All members have confirmed the change, so every write that is not on the
    /// old replicas by now comes here by itself.
    async fn fetch(self: &Arc<Self>, id: u128) -> Result<(), String> {
        let stopping = || "the node is stopping".to_owned();
        // A table that this node has not heard of may have data, whoever knows of it.
        let agreement = self.agreement().ok_or_else(stopping)?;
        let change = self.under_way().filter(|change| change.id == id);
        let change = change.ok_or_else(|| "the change is over".to_owned())?;
        let dead = change.dead();
        let snapshot = self.views.load();
        let others = snapshot.cluster.joined();
        let pulls = others
            .filter(|peer| peer.id != self.me && !dead.contains(&peer.id))
            .map(|peer| agreement.pull(peer, SCHEMA));
        for pulled in join_all(pulls).await {
            pulled?;
        }
        let streaming = self.streaming().ok_or_else(stopping)?;
        streaming.fetch(&change).await
    }
}
