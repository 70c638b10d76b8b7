//! After the replicas were equal once: a node misses writes for longer than hints for it are kept.
//!
//! Nobody restarts, so every digest was computed before: that the node misses something is found only if those of the
//! others are kept up. And by then tombstones of the first act may be purged.

use std::time::Duration;

use super::Stage;

/// How many things a client does meanwhile.
const STEPS: usize = 40;

/// How many things a client reads afterwards, if it does.
const LOOKS: usize = 60;

/// By so much longer than hints are kept the node is cut off after the last write.
const LONGER: Duration = Duration::from_secs(10);

/// Tables with tombstones that are purged soon.
const COMPACTED: [&str; 2] = ["registers", "bags"];

/// Cuts a node off, lets a client work, and heals the network when no hint is delivered any more. False if there are no
/// two replicas of anything, and nothing was done.
pub(in super::super) async fn isolate(stage: Stage<'_>) -> bool {
    let nodes = stage.serving();
    if stage.space.factors.total() < 2 || nodes.len() < 2 {
        return false;
    }
    let mut random = stage.handle.fork_random();
    let lonely = *random.pick(&nodes);
    stage.note("isolate", || format!("n{lonely} is cut off"));
    stage.cut_off(lonely);
    let mut client = stage.client();
    for _ in 0..STEPS {
        client.step().await;
    }
    let hints = stage.cluster.settings().hint_age;
    stage.handle.sleep(hints + LONGER).await;
    if random.chance(500) {
        stage.compact(&COMPACTED).await;
    }
    stage.cluster.network().heal();
    true
}

/// In every second run clients read at once, while replicas lack something: reads must repair what they show. In the
/// others nobody does, and the background is alone.
pub(in super::super) async fn look_around(stage: Stage<'_>) {
    if !stage.handle.fork_random().chance(500) {
        return;
    }
    let mut client = stage.client();
    for _ in 0..LOOKS {
        client.look().await;
    }
}
