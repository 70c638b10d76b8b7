//! Two nodes die for good at once, and each has its successor.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::Consistency;

use super::Stage;
use crate::{checkers::Violation, cluster::Role, executor::Group, workload::Client};

/// Of so many replicas two may die at once: what a quorum has a third one has.
const REPLICAS: usize = 5;

/// How many clients write meanwhile, and the longest pause of each between two writes.
const CLIENTS: usize = 4;
const PAUSE: Duration = Duration::from_millis(300);

/// The most writes of each: half a minute's. In some runs compactions take their steps so seldom that they do not keep up with
/// them. Files pile up then, exports read them all, and the successors wait for exports.
const WRITES: usize = 200;

/// The longest time after which a successor is started.
const LATEST: Duration = Duration::from_secs(15);

/// Kills two nodes, at times while another joins, and starts one in the place of each. Both must come in, and nothing
/// that a quorum acknowledged be lost.
pub(in super::super) async fn bereave(stage: Stage<'_>) -> Result<(), Violation> {
    let cluster = stage.cluster;
    let bears_it = stage.space.factors.least() >= REPLICAS && !cluster.has_rotted();
    let spares = cluster.with_role(Role::Spare);
    if !bears_it || spares.len() < 2 || cluster.settings().bug.is_some() {
        return Ok(());
    }
    let mut random = stage.handle.fork_random();
    let mut left = stage.serving();
    let mut pairs = Vec::new();
    for spare in &spares[..2] {
        let there = |number: &&usize| cluster.datacenter(**number) == cluster.datacenter(*spare);
        let near: Vec<usize> = left.iter().filter(there).copied().collect();
        let dead = *random.pick(&near);
        left.retain(|number| *number != dead);
        pairs.push((dead, *spare));
    }
    let over = Arc::new(Mutex::new(false));
    for _ in 0..CLIENTS {
        let write = keep_writing(stage.client(), left.clone(), over.clone());
        stage.handle.spawn(Group::WORLD, write);
    }
    if let Some(joiner) = spares.get(2).filter(|_| random.chance(700)) {
        cluster.set_role(*joiner, Role::Resident);
        stage.start(*joiner).await;
        stage.handle.sleep(random.between(Duration::ZERO, PAUSE)).await;
    }
    for (dead, spare) in &pairs {
        stage.note("bereave", || format!("n{dead}, and n{spare} in its place"));
        cluster.set_role(*dead, Role::Doomed);
        cluster.crash(*dead);
        cluster.set_role(*spare, Role::Resident);
        cluster.set_replaced(*spare, *dead);
    }
    for (_, spare) in &pairs {
        stage.handle.sleep(random.between(Duration::ZERO, LATEST)).await;
        stage.start(*spare).await;
    }
    let healed = stage.heal("the death of two nodes").await;
    *over.lock() = true;
    healed?;
    let nodes = stage.serving();
    let mut client = stage.client();
    for partition in 0..stage.space.partitions {
        client.look_at(*random.pick(&nodes), partition).await;
    }
    Ok(())
}

async fn keep_writing(mut client: Client, nodes: Vec<usize>, over: Arc<Mutex<bool>>) {
    for _ in 0..WRITES {
        if *over.lock() {
            return;
        }
        let node = client.pick(&nodes, PAUSE).await;
        client.write_at(node, Consistency::Quorum).await;
    }
}
