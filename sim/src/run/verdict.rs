//! After the torment: everything is healed, and must be whole and equal.

use std::time::Duration;

use starling_cql::{QueryParameters, QueryResult};
use starling_model::{Consistency, DecoratedKey, NodeId, Seconds, TableId};
use starling_ring::{Partitioner, Ring, Strategy};

use super::{
    PATIENCE,
    isolation::{isolate, look_around},
    violation,
};
use crate::{
    checkers::{Promise, Violation, convergence},
    cluster::{Cluster, NoAnswer, Request},
    executor::Handle,
    workload::{Client, KEYSPACE, Question, Recorder, Space},
};

/// How often a read that must succeed is tried.
const ATTEMPTS: usize = 5;

/// Beside a few rounds: how long it may take until replicas are equal. A session waits as long for a replica that
/// does not answer.
const REPAIRS: Duration = Duration::from_mins(1);

/// How long it takes until tombstones are purged, with the longest grace and age of hints, and clocks that are right to
/// some seconds.
const PURGES: Duration = Duration::from_mins(5);

/// By so many seconds earlier than the grace ends tombstones do not count, as in the replicas' digests, beside what
/// clocks are wrong.
const SLACK: Duration = Duration::from_secs(70);

/// Waits until the cluster is whole and the hints are delivered, reads everything at ALL, and compares
/// the replicas' engines.
pub(super) async fn heal_and_compare(
    handle: &Handle,
    cluster: &Cluster,
    space: Space,
    recorder: &Recorder,
) -> Vec<Violation> {
    if !cluster.await_whole(PATIENCE).await {
        let whole = describe(cluster);
        return vec![violation(
            Promise::Recovery,
            format!("the healed cluster does not become whole: {whole}"),
        )];
    }
    let mut violations = Vec::new();
    if !await_hints(handle, cluster).await {
        violations.push(violation(
            Promise::Recovery,
            format!("hints are not delivered: {}", describe(cluster)),
        ));
    }
    violations.extend(same_schema(cluster));
    // Nobody reads meanwhile: the background makes the replicas equal by itself.
    await_repairs(handle, cluster).await;
    violations.extend(compare_all(handle, cluster, space).await);
    violations.extend(read_all(handle, cluster, space, recorder).await);
    violations.extend(compare_all(handle, cluster, space).await);
    if isolate(handle, cluster, space, recorder).await {
        if !cluster.await_whole(PATIENCE).await {
            let text = format!(
                "a node that was cut off does not come back: {}",
                describe(cluster)
            );
            violations.push(violation(Promise::Recovery, text));
            return violations;
        }
        look_around(handle, cluster, space, recorder).await;
        await_repairs(handle, cluster).await;
        violations.extend(compare_all(handle, cluster, space).await);
        violations.extend(read_all(handle, cluster, space, recorder).await);
    }
    if cluster.settings().clock_skew < PURGES {
        // By then what was deleted may be purged, and must stay deleted.
        handle.sleep(PURGES).await;
        violations.extend(read_all(handle, cluster, space, recorder).await);
        violations.extend(compare_all(handle, cluster, space).await);
    }
    violations.dedup();
    violations
}

/// Waits for some rounds of anti-entropy.
async fn await_repairs(handle: &Handle, cluster: &Cluster) {
    let rounds = cluster.settings().repair_interval * 4;
    handle.sleep(rounds + REPAIRS).await;
}

async fn compare_all(handle: &Handle, cluster: &Cluster, space: Space) -> Vec<Violation> {
    let now = crate::env::true_time(handle.now()).seconds();
    // Tombstones that one replica may have purged are no difference.
    let slack = (SLACK + cluster.settings().clock_skew).as_secs() as u32;
    let counts_from = Seconds((now.0 + slack).saturating_sub(space.grace));
    let mut violations = Vec::new();
    for table in ["registers", "bags", "stamped"] {
        violations.extend(compare(cluster, space, table, (now, counts_from)).await);
    }
    violations
}

/// What each node believes, in one line.
pub(super) fn describe(cluster: &Cluster) -> String {
    let roles = (0..cluster.len()).map(|number| format!("n{number} {:?}; ", cluster.role(number)));
    let nodes = cluster
        .residents()
        .into_iter()
        .map(|number| match cluster.status(number) {
            None => format!("n{number} is down; "),
            Some(status) => {
                let members: Vec<String> = status
                    .members
                    .iter()
                    .map(|member| {
                        format!(
                            "{}{}{}",
                            member.address.ip(),
                            if member.up { "" } else { " down" },
                            if member.joined { "" } else { " not joined" }
                        )
                    })
                    .collect();
                let node = cluster.node(number);
                let (failure, state) = match &node {
                    Some(node) => (node.failure(), Some(node.ring_state())),
                    None => (None, None),
                };
                let change = state.as_ref().and_then(|state| state.change());
                let epoch = state.as_ref().map(|state| state.epoch());
                format!(
                    "n{number} ready={} agreed={} schema={} {failure:?} epoch {epoch:?} {change:?} {members:?}; ",
                    status.ready, status.schema_agreed, status.schema_version
                )
            }
        });
    roles.chain(nodes).collect()
}

async fn await_hints(handle: &Handle, cluster: &Cluster) -> bool {
    let end = handle.now() + PATIENCE;
    loop {
        let waiting: u64 = cluster
            .serving()
            .iter()
            .map(|(_, node)| node.status())
            .flat_map(|status| status.members)
            .map(|member| member.hint_bytes)
            .sum();
        if waiting == 0 {
            // What was sent last may be under way still.
            handle.sleep(Duration::from_secs(15)).await;
            return true;
        }
        if handle.now() > end {
            return false;
        }
        handle.sleep(Duration::from_millis(500)).await;
    }
}

/// Reads the whole key space at ALL, which repairs what hints did not, and notes what was seen.
async fn read_all(handle: &Handle, cluster: &Cluster, space: Space, recorder: &Recorder) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut client = Client::new(handle, cluster, space, recorder, usize::MAX);
    let nodes: Vec<usize> = cluster.serving().iter().map(|(number, _)| *number).collect();
    let mut questions = vec![Question::Scan];
    questions.extend((0..space.partitions).map(|p| Question::Partition(p, false)));
    for (at, question) in questions.iter().enumerate() {
        let mut answered = false;
        for attempt in 0..ATTEMPTS {
            answered = client
                .ask(
                    nodes[(at + attempt) % nodes.len()],
                    question,
                    Consistency::All,
                    None,
                )
                .await;
            if answered {
                break;
            }
        }
        if !answered {
            let text = format!("{question:?} at ALL fails after healing: {}", describe(cluster));
            violations.push(violation(Promise::Recovery, text));
        }
    }
    for register in 0..space.partitions.max(2) {
        let mut answered = false;
        for attempt in 0..ATTEMPTS {
            let node = nodes[(register as usize + attempt) % nodes.len()];
            answered = client.read_stamped(node, register, Consistency::All).await;
            if answered {
                break;
            }
        }
        if !answered {
            let text = format!("stamped register {register} at ALL fails after healing");
            violations.push(violation(Promise::Recovery, text));
        }
    }
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        last = query(
            cluster,
            nodes[attempt % nodes.len()],
            "SELECT * FROM sim.bags",
            Consistency::All,
        )
        .await
        .err();
        if last.is_none() {
            break;
        }
    }
    if let Some(error) = last {
        let text = format!("bags at ALL fail after healing: {error:?}");
        violations.push(violation(Promise::Recovery, text));
    }
    violations
}

async fn query(
    cluster: &Cluster,
    node: usize,
    text: &str,
    level: Consistency,
) -> Result<QueryResult, NoAnswer> {
    let parameters = QueryParameters::with_consistency(level);
    let request = Request::Query(text.to_owned(), parameters);
    let executed = cluster.request(node, request, Duration::from_secs(90)).await?;
    Ok(executed.result)
}

fn same_schema(cluster: &Cluster) -> Option<Violation> {
    let versions: Vec<String> = cluster
        .serving()
        .iter()
        .map(|(_, node)| node.status().schema_version)
        .collect();
    let same = versions.windows(2).all(|pair| pair[0] == pair[1]);
    (!same).then(|| {
        violation(
            Promise::SchemaAgreement,
            format!("the nodes have the schemas {versions:?}"),
        )
    })
}

/// Compares all replicas of a table, as their engines have them.
async fn compare(
    cluster: &Cluster,
    space: Space,
    table: &str,
    (now, counts_from): (Seconds, Seconds),
) -> Vec<Violation> {
    let wrong = |text: String| vec![violation(Promise::Convergence, text)];
    let id = match table_id(cluster, table).await {
        Ok(id) => id,
        Err(text) => return wrong(text),
    };
    let Some(placement) = ring(cluster).map(|ring| {
        ring.placement(&Strategy::Simple {
            factor: space.replication as u32,
        })
    }) else {
        return wrong("there is no node to ask for the ring".to_owned());
    };
    let mut dumps = convergence::Dumps::new();
    for (number, _) in cluster.serving() {
        let (Some(store), Some(status)) = (cluster.store(number), cluster.status(number)) else {
            return wrong(format!("n{number} is down"));
        };
        match store.dump(id) {
            Ok(mut pages) => {
                for page in &mut pages {
                    page.partition.purge(now, counts_from);
                }
                pages.retain(|page| !page.partition.is_empty());
                dumps.insert(status.id, pages);
            }
            Err(error) => return wrong(format!("the engine of n{number} can't be read: {error}")),
        }
    }
    convergence::check(table, &dumps, |key: &DecoratedKey| -> Vec<NodeId> {
        placement.replicas(key.token).to_vec()
    })
}

fn ring(cluster: &Cluster) -> Option<Ring> {
    let state = cluster.settled_ring()?;
    Some(Ring::new(Partitioner::Murmur3, state.members()))
}

/// A table's id, as the schema tables tell it.
async fn table_id(cluster: &Cluster, table: &str) -> Result<TableId, String> {
    let text = format!(
        "SELECT id FROM system_schema.tables WHERE keyspace_name = '{KEYSPACE}' AND table_name = '{table}'"
    );
    let Some((number, _)) = cluster.serving().first().cloned() else {
        return Err("no node is up".to_owned());
    };
    match query(cluster, number, &text, Consistency::One).await {
        Ok(QueryResult::Rows(rows)) => rows
            .rows
            .first()
            .and_then(|row| row.first()?.as_deref()?.try_into().ok())
            .map(|bytes| TableId(u128::from_be_bytes(bytes)))
            .ok_or_else(|| format!("{table} has no id in system_schema.tables")),
        other => Err(format!("system_schema.tables can't be read: {other:?}")),
    }
}
