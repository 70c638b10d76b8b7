//! Whether all nodes have forgotten what belongs to others.

use std::time::Duration;

use starling_cql::schema::Replication;
use starling_ring::Strategy;

use super::{
    acts::Stage,
    verdict::{PAUSE, describe, ring},
    violation,
};
use crate::{
    checkers::{Promise, Violation, convergence::Dumps, forgetting},
    cluster::Cluster,
};

/// How long it may take from now on. They begin ten seconds after the ring was news last, and background work is slow in some runs.
const LIMIT: Duration = Duration::from_mins(2);

/// Waits until no node keeps anything that is not its own, in tables of users; what is there after a while is a violation.
pub(super) async fn all_forgotten(stage: Stage<'_>) -> Vec<Violation> {
    let end = stage.handle.now() + LIMIT;
    loop {
        let kept = kept(stage.cluster);
        if kept.is_empty() || stage.handle.now() >= end {
            return kept;
        }
        stage.handle.sleep(PAUSE).await;
    }
}

fn kept(cluster: &Cluster) -> Vec<Violation> {
    let unknown = |text: String| vec![violation(Promise::Recovery, text)];
    let serving = cluster.serving();
    let (Some(state), Some(ring), Some((_, node))) = (cluster.settled_ring(), ring(cluster), serving.first())
    else {
        return unknown(format!("no ring that all agree on: {}", describe(cluster)));
    };
    let schema = node.schema();
    let mut violations = Vec::new();
    for table in schema.all_tables().filter(|table| !table.is_system()) {
        let replication = schema.replication_by(&table.keyspace, state.replications());
        let Some(strategy) = replication.and_then(strategy) else {
            continue;
        };
        let placement = ring.placement(&strategy);
        let mut dumps = Dumps::new();
        for (number, node) in &serving {
            match cluster.store(*number).map(|store| store.dump(table.id)) {
                Some(Ok(pages)) => {
                    dumps.insert(node.status().id, pages);
                }
                // Damage that was just found is healed by others' data.
                other => {
                    let problem = other.map(Result::err);
                    return unknown(format!("the engine of n{number} can't be read: {problem:?}"));
                }
            }
        }
        let name = format!("{}.{}", table.keyspace, table.name);
        let found = forgetting::check(&name, &dumps, |key| placement.replicas(key.token).to_vec());
        violations.extend(found);
    }
    violations
}

/// How nodes keep replicas for each other, if they do.
fn strategy(replication: &Replication) -> Option<Strategy> {
    let strategy = Strategy::parse(&replication.class, &replication.options).ok();
    strategy.filter(|strategy| *strategy != Strategy::Local)
}
