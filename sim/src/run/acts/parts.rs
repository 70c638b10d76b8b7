//! A coordinator of logged batches dies when one part of them is written, and of the other nothing is anywhere.

use std::{sync::Arc, time::Duration};

use starling_model::{Mutation, Token};
use starling_replication::{PeerRequest, message::Request};
use starling_ring::{Partitioner, Placement};

use super::Stage;
use crate::{checkers::Violation, executor::Group, network::Sieve, run::verdict};

/// How often a coordinator dies, and how many batches are under way then.
const DEATHS: usize = 3;
const BATCHES: usize = 5;

/// When it dies, after the batches were asked for: its own part is durable, and it has not noticed that the rest is lost.
const SOONEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_millis(200);

/// How long it is away.
const AWAY: Duration = Duration::from_secs(3);

/// By then those who kept the batches have carried them out.
const REPLAYED: Duration = Duration::from_secs(30);

/// Asks nodes that are replicas of some partitions and not of others for batches over one of each kind, loses what they send of the
/// latter, and cuts their power. All of those batches, or nothing of them, must be there in the end.
pub(in super::super) async fn orphan_parts(stage: Stage<'_>) -> Result<(), Violation> {
    let Some(parts) = Parts::of(stage) else {
        return Ok(());
    };
    let mut random = stage.handle.fork_random();
    let begun = stage.handle.now();
    for _ in 0..DEATHS {
        let (coordinator, own, foreign) = random.pick(&parts.coordinators);
        stage
            .cluster
            .network()
            .lose(parts.foreign_writes(stage, *coordinator));
        for _ in 0..BATCHES {
            let pair = [*random.pick(own), *random.pick(foreign)];
            let (mut client, node) = (stage.client(), *coordinator);
            stage.handle.spawn(Group::WORLD, async move {
                client.batch_over(node, pair).await;
            });
        }
        stage.handle.sleep(random.between(SOONEST, LATEST)).await;
        stage.note("parts", || format!("of batches of n{coordinator}"));
        stage.cluster.crash(*coordinator);
        stage.handle.sleep(AWAY).await;
        stage.cluster.network().heal();
        stage.start(*coordinator).await;
        stage.heal("the death of a batch's coordinator").await?;
    }
    stage.recorder.orphans(begun, stage.handle.now());
    stage.handle.sleep(REPLAYED).await;
    Ok(())
}

/// Who is a replica of some partitions and not of others.
struct Parts {
    placement: Placement,
    /// The machines that are, with the partitions of both kinds.
    coordinators: Vec<(usize, Vec<i32>, Vec<i32>)>,
}

impl Parts {
    /// `None` if there is nobody.
    fn of(stage: Stage<'_>) -> Option<Self> {
        let placement = verdict::ring(stage.cluster)?.placement(&stage.space.factors.strategy());
        let token = |partition: i32| -> Token { Partitioner::Murmur3.token(&partition.to_be_bytes()) };
        let split = |number: usize| {
            let id = stage.cluster.id(number)?;
            let (own, foreign): (Vec<i32>, Vec<i32>) = (0..stage.space.partitions)
                .partition(|partition| placement.replicas(token(*partition)).contains(&id));
            (!own.is_empty() && !foreign.is_empty()).then_some((number, own, foreign))
        };
        let coordinators: Vec<_> = stage.serving().into_iter().filter_map(split).collect();
        (!coordinators.is_empty()).then_some(Self {
            placement,
            coordinators,
        })
    }

    /// Picks a coordinator's writes to partitions of which it is no replica itself.
    fn foreign_writes(&self, stage: Stage<'_>, coordinator: usize) -> Sieve {
        let placement = self.placement.clone();
        let (me, address) = (stage.cluster.id(coordinator), stage.cluster.address(coordinator));
        Arc::new(move |from, _, bytes| {
            if from != address {
                return false;
            }
            let request = PeerRequest::decode(bytes.clone()).expect("a node's request can be decoded");
            let (Request::Write { mutations, .. } | Request::WriteStamped { mutations, .. }) = request.body
            else {
                return false;
            };
            mutations.into_iter().any(|mutation| {
                let mutation = Mutation::decode(mutation).expect("a node's mutation can be decoded");
                let replicas = placement.replicas(mutation.key.token);
                me.is_some_and(|me| !replicas.contains(&me))
            })
        })
    }
}
