//! Every disk is full, and then the power fails: what was acknowledged meanwhile must have found room.

use std::time::Duration;

use starling_model::Consistency;

use super::Stage;
use crate::checkers::Violation;

/// Writes that are tried. The log has room for some of them in its file.
const WRITES: usize = 60;

/// The longest pause of the client between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Leaves no room on any disk while a client writes, cuts the power of all nodes, and lets a client read what is there when
/// they are back and have room again.
pub(in super::super) async fn fill_up(stage: Stage<'_>) -> Result<(), Violation> {
    let nodes = stage.serving();
    stage.note("full", || "everywhere".to_owned());
    for node in &nodes {
        let disk = stage.cluster.disk(*node);
        disk.set_capacity(Some(disk.used()));
    }
    let mut client = stage.client();
    for _ in 0..WRITES {
        let node = client.pick(&nodes, PAUSE).await;
        client.write_at(node, Consistency::Quorum).await;
    }
    for node in &nodes {
        stage.cluster.crash(*node);
    }
    for node in &nodes {
        stage.cluster.disk(*node).set_capacity(None);
    }
    stage.note("room", || "everywhere".to_owned());
    for node in &nodes {
        stage.start(*node).await;
    }
    stage.heal("full disks").await?;
    for partition in 0..stage.space.partitions {
        let node = client.pick(&nodes, PAUSE).await;
        client.look_at(node, partition).await;
    }
    Ok(())
}
