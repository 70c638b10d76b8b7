//! After the replicas were equal once: a node misses writes for longer than hints for it are kept.
//!
//! Nobody restarts, so every digest was computed before: that the node misses something is found only if those of the
//! others are kept up. And by then tombstones of the first act may be purged.

use std::time::Duration;

use crate::{
    cluster::Cluster,
    executor::Handle,
    trace::Place,
    workload::{Client, Recorder, Space},
};

/// How many things a client does meanwhile.
const STEPS: usize = 40;

/// How many things a client reads afterwards, if it does.
const LOOKS: usize = 60;

/// By so much longer than hints are kept the node is cut off after the last write.
const LONGER: Duration = Duration::from_secs(10);

/// Cuts a node off, lets a client work, and heals the network when no hint is delivered any more. False if there are no
/// two replicas of anything, and nothing was done.
pub(super) async fn isolate(handle: &Handle, cluster: &Cluster, space: Space, recorder: &Recorder) -> bool {
    let nodes: Vec<usize> = cluster.serving().iter().map(|(number, _)| *number).collect();
    if space.replication < 2 || nodes.len() < 2 {
        return false;
    }
    let lonely = *handle.fork_random().pick(&nodes);
    let text = || format!("n{lonely} is cut off");
    handle
        .trace()
        .event(handle.now(), Place::World, "isolate", &[], text);
    let network = cluster.network();
    for other in nodes.into_iter().filter(|other| *other != lonely) {
        let (one, two) = (cluster.address(lonely), cluster.address(other));
        network.block(one, two);
        network.block(two, one);
    }
    let mut client = Client::new(handle, cluster, space, recorder, usize::MAX);
    for _ in 0..STEPS {
        client.step().await;
    }
    handle.sleep(cluster.settings().hint_age + LONGER).await;
    network.heal();
    true
}

/// In every second run clients read at once, while replicas lack something: reads must repair what they show. In the
/// others nobody does, and the background is alone.
pub(super) async fn look_around(handle: &Handle, cluster: &Cluster, space: Space, recorder: &Recorder) {
    if !handle.fork_random().chance(500) {
        return;
    }
    let mut client = Client::new(handle, cluster, space, recorder, usize::MAX);
    for _ in 0..LOOKS {
        client.look().await;
    }
}
