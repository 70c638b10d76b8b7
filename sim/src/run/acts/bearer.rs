//! A node that holds hints restarts before it can deliver them.

use std::time::Duration;

use starling_model::Consistency;

use super::Stage;
use crate::checkers::Violation;

/// How many writes the others miss.
const WRITES: usize = 10;

/// How long it takes until every write that is under way has ended one way or the other.
const QUIET: Duration = Duration::from_secs(20);

/// Cuts a node off, writes through it at ANY, kills its process, and heals the network: what it holds for the others
/// must still come to them.
pub(in super::super) async fn restart_bearer(stage: Stage<'_>) -> Result<(), Violation> {
    let nodes = stage.serving();
    if nodes.len() < 2 {
        return Ok(());
    }
    let bearer = *stage.handle.fork_random().pick(&nodes);
    stage.note("bearer", || format!("n{bearer} holds hints"));
    stage.cut_off(bearer);
    let mut client = stage.client();
    for _ in 0..WRITES {
        client.write_at(bearer, Consistency::Any).await;
    }
    stage.handle.sleep(QUIET).await;
    stage.cluster.kill(bearer);
    stage.start(bearer).await;
    stage.cluster.network().heal();
    stage.heal("a restart of who holds hints").await
}
