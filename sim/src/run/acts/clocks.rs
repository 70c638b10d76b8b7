//! Clocks that were ahead are set back while the nodes are down.

use starling_model::Consistency;

use super::Stage;
use crate::checkers::Violation;

/// The most that a clock is ahead, in microseconds.
const MOST_AHEAD: i64 = 300_000_000;

/// Writes through a node whose clock is ahead, cuts everyone's power, sets the clock right, and writes the same through
/// others: the later writes must prevail.
pub(in super::super) async fn turn_back(stage: Stage<'_>) -> Result<(), Violation> {
    let nodes = stage.serving();
    let mut random = stage.handle.fork_random();
    let early = *random.pick(&nodes);
    let most = stage.cluster.settings().clock_skew.as_micros() as i64 / 2;
    let ahead = most.min(MOST_AHEAD);
    stage.note("early", || format!("n{early} is ahead by {ahead} us"));
    for node in &nodes {
        stage.cluster.set_skew(*node, 0);
    }
    stage.cluster.set_skew(early, ahead);
    let mut client = stage.client();
    let registers = stage.space.partitions.max(2);
    for register in 0..registers {
        client.write_stamped(early, register, Consistency::Quorum).await;
    }
    for node in &nodes {
        stage.cluster.crash(*node);
    }
    stage.cluster.set_skew(early, 0);
    for node in &nodes {
        stage.start(*node).await;
    }
    stage.heal("clocks were set back").await?;
    for register in 0..registers {
        let late = *random.pick(&nodes);
        client.write_stamped(late, register, Consistency::Quorum).await;
        let reader = *random.pick(&nodes);
        client.read_stamped(reader, register, Consistency::Quorum).await;
    }
    Ok(())
}
