//! After the torment: everything is healed, and must be whole and equal.

use std::time::Duration;

use starling_cql::{QueryParameters, QueryResult};
use starling_model::{Consistency, DecoratedKey, NodeId, Seconds, TableId};
use starling_ring::{Partitioner, Ring};

use super::{
    LASTING_HINTS, PATIENCE,
    acts::{
        Stage, await_mended, bereave, decay, empty, fail_at_once, fill_up, isolate, look_around,
        orphan_batches, orphan_parts, quarrel, restart_bearer, turn_back,
    },
    forgetting::all_forgotten,
    schema::{disputed_tables, one_schema},
    violation,
};
use crate::{
    checkers::{Promise, Violation, convergence},
    cluster::{Cluster, NoAnswer, Request},
    executor::Handle,
    workload::{Client, KEYSPACE, Question, Space},
};

/// How often a read that must succeed is tried, and the pause between: what rotted is fetched from others meanwhile.
pub(super) const ATTEMPTS: usize = 8;
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// The tables that are compared.
pub(super) const TABLES: [&str; 4] = ["registers", "bags", "stamped", "cleared"];

/// Those that hints alone make equal. What is written to the other while it is truncated may be left on some replicas.
const HINTED: [&str; 3] = ["registers", "bags", "stamped"];

/// Beside a few rounds: how long it may take until replicas are equal. A session waits as long for a replica that
/// does not answer.
const REPAIRS: Duration = Duration::from_mins(1);

/// How long it takes until tombstones are purged, with the longest grace and age of hints, and clocks that are right to
/// some seconds.
const PURGES: Duration = Duration::from_mins(5);

/// By so many seconds earlier than the grace ends tombstones do not count, as in the replicas' digests, beside what
/// clocks are wrong.
const SLACK: Duration = Duration::from_secs(70);

/// Which acts are played beside those that always are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acts {
    /// Hints alone make the replicas equal.
    pub(super) only_hints: bool,
    /// What several nodes store rots.
    pub(super) decays: bool,
    /// Power fails.
    pub(super) outages: bool,
    /// Disks are full.
    pub(super) full_disks: bool,
    /// Clocks are set back.
    pub(super) clocks: bool,
}

/// Waits until the cluster is whole and the hints are delivered, reads everything at ALL, and compares
/// the replicas' engines; then once more after each of some acts.
pub(super) async fn heal_and_compare(stage: Stage<'_>, acts: Acts) -> Vec<Violation> {
    let mut violations = Vec::new();
    if let Err(violation) = play(stage, acts, &mut violations).await {
        violations.push(violation);
    }
    violations.dedup();
    violations
}

/// All acts; an error is what keeps the rest from making sense.
async fn play(stage: Stage<'_>, acts: Acts, violations: &mut Vec<Violation>) -> Result<(), Violation> {
    let cluster = stage.cluster;
    if !cluster.await_whole(PATIENCE).await {
        return Err(not_whole(cluster, "the healed cluster does not become whole"));
    }
    if acts.only_hints {
        restart_bearer(stage).await?;
    }
    deliver_hints(stage, acts, violations).await;
    if stage.space.disputed {
        quarrel(stage).await?;
    }
    violations.extend(cluster.watch().settled());
    violations.extend(one_schema(cluster));
    violations.extend(disputed_tables(stage).await);
    judge(stage, violations).await;
    violations.extend(all_forgotten(stage).await);
    if acts.decays {
        decay(stage).await?;
    }
    if acts.outages {
        fail_at_once(stage).await?;
        orphan_parts(stage).await?;
        // Before anything is written over them.
        violations.extend(read_all(stage).await);
        orphan_batches(stage).await?;
    }
    if acts.outages && acts.full_disks {
        fill_up(stage).await?;
    }
    if acts.outages && acts.clocks {
        turn_back(stage).await?;
    }
    bereave(stage).await?;
    empty(stage).await?;
    // It takes as long as hints are kept.
    if cluster.settings().hint_age < LASTING_HINTS && isolate(stage).await {
        if !cluster.await_whole(PATIENCE).await {
            return Err(not_whole(cluster, "a node that was cut off does not come back"));
        }
        look_around(stage).await;
    }
    judge(stage, violations).await;
    if is_repaired(cluster) && cluster.settings().clock_skew < PURGES {
        // By then what was deleted may be purged, and must stay deleted.
        stage.handle.sleep(PURGES).await;
        judge(stage, violations).await;
    }
    if cluster.has_rotted() {
        await_mended(stage).await?;
    }
    violations.extend(all_forgotten(stage).await);
    Ok(())
}

/// Waits until all hints are delivered; those that none is too old for have brought what they should.
async fn deliver_hints(stage: Stage<'_>, acts: Acts, violations: &mut Vec<Violation>) {
    if !await_hints(stage.handle, stage.cluster).await {
        violations.push(violation(
            Promise::Recovery,
            format!("hints are not delivered: {}", describe(stage.cluster)),
        ));
    }
    // A hint that grew too old was dropped, and with it, perhaps, all there was of a write at ANY.
    if stage.cluster.settings().hint_age >= LASTING_HINTS {
        stage.recorder.settled(stage.handle.now());
    }
    if acts.only_hints {
        let differences = compare_all(stage, &HINTED).await.into_iter();
        violations.extend(differences.map(|found| violation(Promise::Handoff, found.text)));
    }
}

/// The background, where there is one, makes the replicas equal while nobody reads; reads at ALL do so anyway.
async fn judge(stage: Stage<'_>, violations: &mut Vec<Violation>) {
    if is_repaired(stage.cluster) {
        await_repairs(stage.handle, stage.cluster).await;
        violations.extend(compare_all(stage, &TABLES).await);
    }
    violations.extend(read_all(stage).await);
    violations.extend(compare_all(stage, &TABLES).await);
}

fn is_repaired(cluster: &Cluster) -> bool {
    cluster.settings().repair_interval.is_some()
}

/// Waits for some rounds of anti-entropy.
async fn await_repairs(handle: &Handle, cluster: &Cluster) {
    let rounds = cluster.settings().repair_interval.unwrap_or_default() * 4;
    handle.sleep(rounds + REPAIRS).await;
}

async fn compare_all(stage: Stage<'_>, tables: &[&str]) -> Vec<Violation> {
    let Stage {
        handle,
        cluster,
        space,
        ..
    } = stage;
    let now = crate::env::true_time(handle.now()).seconds();
    // Tombstones that one replica may have purged are no difference.
    let slack = (SLACK + cluster.settings().clock_skew).as_secs() as u32;
    let counts_from = Seconds((now.0 + slack).saturating_sub(space.grace));
    let mut violations = Vec::new();
    for table in tables {
        violations.extend(compare((handle, cluster), space, table, (now, counts_from)).await);
    }
    violations
}

/// What keeps a cluster from being whole: the schema alone, or anything else.
pub(super) fn not_whole(cluster: &Cluster, what: &str) -> Violation {
    if cluster.settled_ring().is_some()
        && let Some(violation) = one_schema(cluster)
    {
        return violation;
    }
    violation(Promise::Recovery, format!("{what}: {}", describe(cluster)))
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
                let damage = status.damage.stretches;
                let waits = status.streams.waits_for;
                format!(
                    "n{number} ready={} agreed={} schema={} {failure:?} epoch {epoch:?} {change:?} {members:?} damage {damage:?} fetch {waits:?}; ",
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
            .map(|(_, node)| node.status().hint_bytes)
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
async fn read_all(stage: Stage<'_>) -> Vec<Violation> {
    let Stage {
        handle,
        cluster,
        space,
        recorder,
    } = stage;
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
            handle.sleep(PAUSE).await;
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
            handle.sleep(PAUSE).await;
        }
        if !answered {
            let text = format!("stamped register {register} at ALL fails after healing");
            violations.push(violation(Promise::Recovery, text));
        }
    }
    let mut answered = false;
    for attempt in 0..ATTEMPTS {
        answered = client
            .read_cleared(nodes[attempt % nodes.len()], Consistency::All)
            .await;
        if answered {
            break;
        }
        handle.sleep(PAUSE).await;
    }
    if !answered {
        let text = "the truncated table at ALL fails after healing".to_owned();
        violations.push(violation(Promise::Recovery, text));
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
        handle.sleep(PAUSE).await;
    }
    if let Some(error) = last {
        let text = format!("bags at ALL fail after healing: {error:?}");
        violations.push(violation(Promise::Recovery, text));
    }
    violations
}

pub(super) async fn query(
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

/// Compares all replicas of a table, as their engines have them.
async fn compare(
    (handle, cluster): (&Handle, &Cluster),
    space: Space,
    table: &str,
    (now, counts_from): (Seconds, Seconds),
) -> Vec<Violation> {
    let wrong = |text: String| vec![violation(Promise::Convergence, text)];
    let id = match table_id(cluster, table).await {
        Ok(id) => id,
        Err(text) => return wrong(text),
    };
    let Some(placement) = ring(cluster).map(|ring| ring.placement(&space.factors.strategy())) else {
        return wrong("there is no node to ask for the ring".to_owned());
    };
    let mut dumps = convergence::Dumps::new();
    for (number, _) in cluster.serving() {
        let (Some(store), Some(status)) = (cluster.store(number), cluster.status(number)) else {
            return wrong(format!("n{number} is down"));
        };
        let mut dump = store.dump(id);
        for _ in 0..ATTEMPTS {
            if dump.is_ok() {
                break;
            }
            // Damage that was just found is healed by others' data.
            handle.sleep(PAUSE).await;
            dump = store.dump(id);
        }
        match dump {
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

/// The ring that all agree on.
pub(super) fn ring(cluster: &Cluster) -> Option<Ring> {
    let state = cluster.settled_ring()?;
    Some(Ring::new(Partitioner::Murmur3, state.members()))
}

/// A table's id, as the schema tables tell it.
pub(super) async fn table_id(cluster: &Cluster, table: &str) -> Result<TableId, String> {
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
