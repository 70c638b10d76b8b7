//! A coordinator dies in the middle of logged batches.

use std::time::Duration;

use starling_model::Consistency;

use super::Stage;
use crate::{checkers::Violation, executor::Group};

/// How often a coordinator dies, and how many batches are under way then.
const DEATHS: usize = 3;
const BATCHES: usize = 6;

/// When it dies, after the batches were asked for.
const SOONEST: Duration = Duration::from_millis(2);
const LATEST: Duration = Duration::from_millis(60);

/// By so much later some nodes hear from it: never, that is.
const LATE: Duration = Duration::from_secs(3);

/// By then those who kept the batches have carried them out.
const REPLAYED: Duration = Duration::from_secs(30);

/// Lets some nodes hear late from a coordinator of logged batches, and cuts its power before they do, with all that is on the
/// way. The batches that began anywhere must be whole in the end.
pub(in super::super) async fn orphan_batches(stage: Stage<'_>) -> Result<(), Violation> {
    let nodes = stage.serving();
    if nodes.len() < 2 {
        return Ok(());
    }
    let mut random = stage.handle.fork_random();
    let network = stage.cluster.network();
    for _ in 0..DEATHS {
        let coordinator = *random.pick(&nodes);
        let from = stage.cluster.address(coordinator);
        let others = nodes.iter().filter(|other| **other != coordinator);
        let late: Vec<_> = others
            .filter(|_| random.chance(500))
            .map(|other| stage.cluster.address(*other))
            .collect();
        for _ in 0..BATCHES {
            let mut client = stage.client();
            stage.handle.spawn(Group::WORLD, async move {
                client.batch_at(coordinator, Consistency::Quorum).await;
            });
        }
        let half = random.between(SOONEST, LATEST) / 2;
        // The batches are kept by then, more often than not.
        stage.handle.sleep(half).await;
        for to in &late {
            network.slow_down(from, *to, LATE);
        }
        stage.handle.sleep(half).await;
        for to in &late {
            network.block(from, *to);
        }
        stage.note("orphans", || format!("of n{coordinator}"));
        stage.cluster.crash(coordinator);
        stage.handle.sleep(LATE).await;
        network.heal();
        stage.start(coordinator).await;
        stage.heal("the death of a batch's coordinator").await?;
    }
    stage.handle.sleep(REPLAYED).await;
    Ok(())
}
