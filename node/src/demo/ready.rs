//! Waiting until every node serves QUORUM.

use std::time::{Duration, Instant};

use super::{children::Children, plan::Plan};
use crate::{
    admin::{self, StatusView},
    failure::Failure,
};

/// How long a cluster may take: logs may have to be replayed.
const TIMEOUT: Duration = Duration::from_mins(2);

/// How often nodes are asked.
const POLL: Duration = Duration::from_millis(20);

/// Ends when every node is ready and sees every other, or with the reason why that can't be.
pub(super) async fn wait(plan: &Plan, children: &mut Children) -> Result<(), Failure> {
    let deadline = Instant::now() + TIMEOUT;
    for node in &plan.nodes {
        loop {
            if let Some(ended) = children.take_ended().first() {
                return Err(Failure::work(ended.describe()));
            }
            let address = node.admin;
            let asked = tokio::task::spawn_blocking(move || {
                admin::client::get_json::<StatusView>(address, "/status")
            });
            if let Ok(Ok(status)) = asked.await
                && serves(&status, plan.nodes.len())
            {
                break;
            }
            if Instant::now() > deadline {
                return Err(Failure::work(format!(
                    "{} is not ready after {} s; its log is {}",
                    node.name,
                    TIMEOUT.as_secs(),
                    node.log.display()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

fn serves(status: &StatusView, nodes: usize) -> bool {
    status.node.ready
        && status.node.schema_agreed
        && status.node.members.len() == nodes
        && status
            .node
            .members
            .iter()
            .all(|member| member.up && member.joined && member.cql_address.is_some())
}
