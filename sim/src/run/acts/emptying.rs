//! A table is truncated when nothing is in its way: it must be empty, and stay so.

use std::time::Duration;

use starling_model::Consistency;

use super::Stage;
use crate::{
    checkers::{Promise, Violation, truncation::MARGIN},
    run::violation,
};

/// How many rows are added.
const ROWS: usize = 8;

/// How often it is tried, and the pause between.
const ATTEMPTS: usize = 8;
const PAUSE: Duration = Duration::from_secs(2);

/// Adds rows, waits until nothing of them is on its way, truncates the table and reads it.
pub(in super::super) async fn empty(stage: Stage<'_>) -> Result<(), Violation> {
    let nodes = stage.serving();
    let mut random = stage.handle.fork_random();
    let mut client = stage.client();
    for _ in 0..ROWS {
        client.add(*random.pick(&nodes), Consistency::Quorum).await;
    }
    stage.handle.sleep(MARGIN + PAUSE).await;
    for attempt in 0..ATTEMPTS {
        let node = nodes[attempt % nodes.len()];
        if client.truncate(node).await {
            client.read_cleared(node, Consistency::All).await;
            return Ok(());
        }
        stage.handle.sleep(PAUSE).await;
    }
    let text = "a table can't be truncated after healing".to_owned();
    Err(violation(Promise::Recovery, text))
}
