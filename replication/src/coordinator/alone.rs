//! Reads that need nobody but this node: most reads of a row at ONE, and all where there is one replica.
//!
//! To plan such a read as others are planned, with lists of whom to ask and who is left, costs more than the read.

use std::{future::Future, pin::pin, sync::Arc, task::Poll};

use futures::{
    FutureExt,
    future::{Either, select},
    poll,
};
use starling_cql::Error;
use starling_model::{Page, ReadCommand, Token};

use super::{
    Coordinator, Task,
    read::{Answer, ReadPlan},
};
use crate::{
    env::Env,
    placements::Placements,
    snapshot::{Peer, Snapshot},
    topology::quorum::Requirements,
};

/// This node, if its answer about a token is all that a level needs, and no change of replicas makes others count too.
pub(super) fn suffices_alone<'a>(
    snapshot: &'a Snapshot,
    placements: &Placements,
    requirements: &Requirements,
    token: Token,
) -> Option<&'a Arc<Peer>> {
    let cluster = &snapshot.cluster;
    let is_replica = placements.next.is_none()
        && requirements.block_for() == 1
        && placements.current.replicas(token).contains(&cluster.me);
    let own = cluster.own().filter(|own| is_replica && own.alive)?;
    requirements.counts(&own.datacenter).then_some(own)
}

impl<E: Env> Coordinator<E> {
    /// This node's own page. If that fails, or takes longer than such reads do, the read is carried out as `plan` has it, too.
    pub(super) async fn read_alone(
        self: &Arc<Self>,
        own: &Arc<Peer>,
        command: &ReadCommand,
        plan: impl FnOnce() -> Result<ReadPlan, Error>,
        task: &Task,
    ) -> Result<Page, Error> {
        let began = self.env.monotonic();
        let mut own_page = pin!(self.own_page(own, command.clone(), task));
        let page = match poll!(own_page.as_mut()) {
            Poll::Ready(page) => page,
            // It waits for the disk.
            Poll::Pending => {
                let patience = own.latency.suspicious_after(task.timeout);
                match select(own_page, self.env.sleep(patience).boxed()).await {
                    Either::Left((page, _)) => page,
                    Either::Right(((), own_page)) => {
                        own.latency.record(patience);
                        let beside = self.read_beside(own_page, command, plan()?, task);
                        return Box::pin(beside).await;
                    }
                }
            }
        };
        match page {
            Some(page) => {
                let took = self.env.monotonic().saturating_sub(began);
                own.latency.record(took);
                Ok(page)
            }
            // It is asked once more, so that what it says counts, and then others.
            None => Box::pin(self.read_page(command.clone(), plan()?, task)).await,
        }
    }

    /// The page of this node, which is slow, or that of another replica: whichever is there first.
    async fn read_beside(
        self: &Arc<Self>,
        own_page: impl Future<Output = Option<Page>> + Unpin,
        command: &ReadCommand,
        mut plan: ReadPlan,
        task: &Task,
    ) -> Result<Page, Error> {
        let Some(spare) = plan.spares.pop_front() else {
            return match own_page.await {
                Some(page) => Ok(page),
                None => self.read_page(command.clone(), plan, task).await,
            };
        };
        self.counters.speculative_reads.one();
        task.tracer
            .note(|| self.env.wall(), || format!("Also asking {}", spare.address));
        plan.contacts = vec![spare];
        let others = Box::pin(self.read_page(command.clone(), plan, task));
        match select(own_page, others).await {
            Either::Left((Some(page), _)) => Ok(page),
            Either::Left((None, others)) => others.await,
            Either::Right((Ok(page), _)) => Ok(page),
            Either::Right((Err(error), own_page)) => own_page.await.ok_or(error),
        }
    }

    async fn own_page(&self, own: &Peer, command: ReadCommand, task: &Task) -> Option<Page> {
        match self.ask_for_page(own, command, false, task).await {
            Ok(Answer::Page(received)) => Some(received.page),
            Ok(Answer::Digest(_)) | Err(_) => None,
        }
    }
}
