//! Everyone's power fails just when clients are being answered.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::Consistency;

use super::Stage;
use crate::{checkers::Violation, executor::Group, workload::Client};

/// How often the power fails.
const OUTAGES: usize = 4;

/// How many clients there are, half of whom write.
const CLIENTS: usize = 8;

/// The latest moment after they have begun.
const LATEST: Duration = Duration::from_millis(40);

/// The longest pause of a client between two requests.
const PAUSE: Duration = Duration::from_millis(2);

/// Cuts the power of all nodes while clients write and read the same few keys, and lets them read on when it is back.
pub(in super::super) async fn fail_at_once(stage: Stage<'_>) -> Result<(), Violation> {
    let nodes = stage.serving();
    let mut random = stage.handle.fork_random();
    for _ in 0..OUTAGES {
        let outage = Arc::new(Mutex::new(false));
        for number in 0..CLIENTS {
            let client = stage.client();
            stage.handle.spawn(
                Group::WORLD,
                hurry(client, nodes.clone(), number % 2 == 0, outage.clone()),
            );
        }
        stage.handle.sleep(random.between(Duration::ZERO, LATEST)).await;
        *outage.lock() = true;
        stage.note("outage", String::new);
        for node in &nodes {
            stage.cluster.crash(*node);
        }
        for node in &nodes {
            stage.start(*node).await;
        }
        stage.heal("an outage").await?;
        let mut client = stage.client();
        for partition in 0..stage.space.partitions {
            client.look_at(*random.pick(&nodes), partition).await;
        }
    }
    Ok(())
}

/// Writes or reads one thing after the other until the power fails.
async fn hurry(mut client: Client, nodes: Vec<usize>, writes: bool, outage: Arc<Mutex<bool>>) {
    while !*outage.lock() {
        let node = client.pick(&nodes, PAUSE).await;
        if writes {
            client.write_at(node, Consistency::Quorum).await;
        } else {
            client.look_somewhere(node).await;
        }
    }
}
