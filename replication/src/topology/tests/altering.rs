//! Keyspaces that are altered while they are written and read, whoever dies.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_cql::{Error, ErrorKind};
use starling_model::{Consistency, NodeId, TableId};

use super::{
    super::Phase,
    scene::{
        STEP, abort, assert_done, assert_readable, hold, id, name, phase, release, remove, until, write,
    },
};
use crate::testing::{Link, TestCluster, address, insert, key, rows_of, whole_partition};

const ROWS: u32 = 40;

/// Longer than a node waits before it forgets.
const QUIET: Duration = Duration::from_secs(30);

/// So many nodes with a table of so many replicas, all of which have all rows.
fn cluster(nodes: usize, factor: usize) -> (TestCluster, TableId) {
    let cluster = TestCluster::new(nodes);
    let table = cluster.make_table(factor);
    for row in 0..ROWS {
        let mutation = insert(table, &name(row), row, "v", 1_000);
        let written = cluster.write(1 + row as usize % nodes, mutation, Consistency::All);
        written.expect("all are alive");
    }
    (cluster, table)
}

fn statement(factor: usize) -> String {
    format!(
        "ALTER KEYSPACE ks WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
    )
}

fn alter(cluster: &TestCluster, through: usize, factor: usize) -> Vec<String> {
    let altered = cluster.cql(through, &statement(factor));
    altered.expect("it is altered").warnings
}

/// Begins to alter it, and waits for nothing. What its client is told comes later.
fn begin(cluster: &TestCluster, through: usize, factor: usize) -> Arc<Mutex<Option<Result<(), Error>>>> {
    let node = Arc::clone(cluster.node(through));
    let text = starling_cql::Statement::Text(statement(factor));
    let parameters = starling_cql::QueryParameters::with_consistency(Consistency::Quorum);
    let told = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&told);
    cluster.world.executor.spawn(async move {
        let executed = node.execute(text, parameters, false).await;
        *slot.lock() = Some(executed.map(drop));
    });
    told
}

/// What a node shows that the keyspace is replicated by.
fn factor(cluster: &TestCluster, node: usize) -> String {
    let snapshot = cluster.node(node).views.load();
    let keyspace = snapshot.schema.keyspace("ks").expect("it exists");
    keyspace.replication.options["replication_factor"].clone()
}

/// On how many of these nodes each row is.
fn copies(cluster: &TestCluster, table: TableId, nodes: &[usize], row: u32) -> usize {
    let key = key(&name(row));
    let has = |node: &&usize| !cluster.stored(**node, table, &key).is_empty();
    nodes.iter().filter(has).count()
}

/// The numbers of a row's replicas.
fn replicas(cluster: &TestCluster, row: u32) -> Vec<usize> {
    let snapshot = cluster.node(1).views.load();
    let placement = snapshot.placement("ks").expect("it exists");
    let replicas = placement.replicas(key(&name(row)).token);
    let all: Vec<NodeId> = (1..=cluster.envs.len()).map(|node| id(cluster, node)).collect();
    let number = |id: &NodeId| 1 + all.iter().position(|other| other == id).expect("a node");
    replicas.iter().map(number).collect()
}

fn is_over(cluster: &TestCluster, nodes: &[usize], wanted: &str) -> bool {
    let is_there =
        |node: &usize| cluster.node(*node).ring_change().is_none() && factor(cluster, *node) == wanted;
    nodes.iter().all(is_there)
}

#[test]
fn new_replicas_have_all_data_before_they_count() {
    let (cluster, table) = cluster(3, 1);
    assert!((0..ROWS).all(|row| copies(&cluster, table, &[1, 2, 3], row) == 1));
    let version = cluster.node(2).status().schema_version;
    let warnings = alter(&cluster, 2, 3);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(is_over(&cluster, &[1, 2, 3], "3"));
    assert!((0..ROWS).all(|row| copies(&cluster, table, &[1, 2, 3], row) == 3));
    assert_ne!(cluster.node(2).status().schema_version, version, "drivers see it");
    assert!((1..=3).all(|node| cluster.node(node).status().schema_agreed));
    // A quorum without the one that had it.
    for row in 0..ROWS {
        let (old, reader) = (replicas(&cluster, row)[0], replicas(&cluster, row)[1]);
        let others: Vec<usize> = (1..=3).filter(|node| *node != old).collect();
        cluster.partition(&others, &[old], Link::Refused);
        let command = whole_partition(table, &name(row), cluster.now());
        let page = cluster
            .read(reader, command, Consistency::Quorum)
            .expect("two are there");
        assert_eq!(rows_of(&page, cluster.now()).len(), 1, "row {row}");
        cluster.partition(&others, &[old], Link::Good);
        cluster.run_for(Duration::from_secs(5));
    }
}

#[test]
fn what_a_quorum_had_the_last_replica_has() {
    for left in [1, 2] {
        let (cluster, table) = cluster(3, 3);
        // Each row misses one replica: in a third of the ranges the one that stays.
        for row in ROWS..2 * ROWS {
            let absent = 1 + row as usize % 3;
            let others: Vec<usize> = (1..=3).filter(|node| *node != absent).collect();
            let mutation = insert(table, &name(row), row, "v", 1_000);
            for node in others {
                cluster.store(node).apply_now(mutation.clone());
            }
        }
        alter(&cluster, 1, left);
        assert_readable(&cluster, table, &[1, 2, 3], 2 * ROWS);
        cluster.run_for(QUIET);
        assert!((0..2 * ROWS).all(|row| copies(&cluster, table, &[1, 2, 3], row) == left));
        assert_readable(&cluster, table, &[1, 2, 3], 2 * ROWS);
    }
}

#[test]
fn a_former_replica_brings_nothing_back() {
    for waits in [Duration::ZERO, QUIET] {
        let (cluster, table) = cluster(3, 3);
        alter(&cluster, 1, 1);
        // Deleted where it is now, and purged: nobody else is to know of it.
        for row in 0..ROWS {
            let holder = replicas(&cluster, row)[0];
            cluster.store(holder).forget_partition(table, &key(&name(row)));
        }
        cluster.run_for(waits);
        alter(&cluster, 3, 3);
        for row in 0..ROWS {
            assert_eq!(copies(&cluster, table, &[1, 2, 3], row), 0, "row {row}");
        }
    }
}

#[test]
fn it_is_written_and_read_meanwhile() {
    for (from, to) in [(1, 3), (3, 1), (3, 2)] {
        let (cluster, table) = cluster(4, from);
        cluster.envs[1].set_disk_delay(Duration::from_millis(200));
        begin(&cluster, 1, to);
        let mut rows = ROWS;
        let mut phases = Vec::new();
        for _ in 0..2_000 {
            cluster.run_for(STEP);
            phases.extend(phase(&cluster, 1).filter(|phase| phases.last() != Some(phase)));
            if is_over(&cluster, &[1, 2, 3, 4], &to.to_string()) {
                break;
            }
            write(&cluster, table, 1 + rows as usize % 4, rows);
            rows += 1;
        }
        assert!(rows > ROWS + 10 && is_over(&cluster, &[1, 2, 3, 4], &to.to_string()));
        assert_eq!(phases, [Phase::Pending, Phase::Settling]);
        release(&cluster, 2);
        cluster.run_for(QUIET);
        assert_readable(&cluster, table, &[1, 2, 3, 4], rows);
    }
}

#[test]
fn who_dies_meanwhile_is_waited_for_and_it_goes_on() {
    for at in [Phase::Pending, Phase::Settling] {
        // The one that carries it through, and another one.
        for dies in [1, 3] {
            let (mut cluster, table) = cluster(3, 1);
            cluster.envs[1].set_disk_delay(Duration::from_secs(2));
            begin(&cluster, 1, 3);
            until(&cluster, "it begins", || phase(&cluster, 1) == Some(at));
            cluster.run_for(STEP * 5);
            cluster.kill(dies);
            release(&cluster, 2);
            cluster.run_for(Duration::from_secs(20));
            // Who has confirmed the last step before it died is not.
            if at == Phase::Pending || dies == 1 {
                assert_eq!(factor(&cluster, 2), "1", "{at:?}: n{dies} is waited for");
            }
            cluster.restart(dies);
            until(&cluster, "it is done", || is_over(&cluster, &[1, 2, 3], "3"));
            assert_readable(&cluster, table, &[1, 2, 3], ROWS);
            assert!((0..ROWS).all(|row| copies(&cluster, table, &[1, 2, 3], row) == 3));
        }
    }
}

#[test]
fn a_node_that_is_dead_for_good_ends_it_when_it_is_removed() {
    let (mut cluster, table) = cluster(4, 3);
    cluster.envs[1].set_disk_delay(Duration::from_secs(2));
    begin(&cluster, 1, 2);
    until(&cluster, "it begins", || {
        phase(&cluster, 1) == Some(Phase::Pending)
    });
    let dead = id(&cluster, 4);
    cluster.kill(4);
    release(&cluster, 2);
    cluster.run_for(Duration::from_secs(20));
    let removed = remove(&cluster, 1, vec![dead]);
    until(&cluster, "it is removed", || removed.lock().is_some());
    assert_eq!(removed.lock().take(), Some(Ok(())));
    assert!(is_over(&cluster, &[1, 2, 3], "3"), "it was given up");
    assert_readable(&cluster, table, &[1, 2, 3], ROWS);
}

#[test]
fn it_can_be_given_up() {
    let (cluster, table) = cluster(3, 1);
    hold(&cluster, 2);
    begin(&cluster, 1, 3);
    until(&cluster, "it begins", || {
        phase(&cluster, 1) == Some(Phase::Pending)
    });
    cluster.run_for(STEP * 5);
    let aborted = abort(&cluster, 3);
    assert_done(&cluster, &aborted);
    release(&cluster, 2);
    until(&cluster, "all know", || is_over(&cluster, &[1, 2, 3], "1"));
    cluster.run_for(QUIET);
    assert!((0..ROWS).all(|row| copies(&cluster, table, &[1, 2, 3], row) == 1));
    assert_readable(&cluster, table, &[1, 2, 3], ROWS);
}

#[test]
fn the_statement_is_answered_though_data_is_still_on_its_way() {
    let (cluster, _) = cluster(3, 1);
    cluster.envs[1].set_disk_delay(Duration::from_secs(4));
    let began = cluster.world.executor.now();
    let warnings = alter(&cluster, 1, 3);
    let took = cluster.world.executor.now().saturating_sub(began);
    assert!(
        warnings.iter().any(|it| it.contains("on its way")),
        "{warnings:?}"
    );
    assert!(took < TestCluster::config(1).timeouts.schema, "{took:?}");
    assert_eq!(factor(&cluster, 1), "1", "the schema says what holds");
    until(&cluster, "it is done", || is_over(&cluster, &[1, 2, 3], "3"));
}

#[test]
fn who_altered_it_is_told_so_though_it_was_altered_again_meanwhile() {
    let (cluster, _) = cluster(3, 1);
    cluster.envs[1].set_disk_delay(Duration::from_millis(100));
    let told = begin(&cluster, 1, 3);
    until(&cluster, "all data is there", || {
        phase(&cluster, 1) == Some(Phase::Settling)
    });
    // It stores the end for a while before it tells the others of it, and one hears of it late.
    cluster.envs[0].set_disk_delay(Duration::from_millis(200));
    until(&cluster, "it is done", || phase(&cluster, 1).is_none());
    release(&cluster, 2);
    let late = Link::Slow(Duration::from_secs(1));
    cluster.world.set_link(address(1), address(3), late);
    until(&cluster, "it is stored", || {
        cluster.node(1).ring_changes.is_stored()
    });
    cluster.run_for(STEP);
    assert!(is_over(&cluster, &[2], "3"), "n2 is told");
    release(&cluster, 1);
    cluster.world.set_link(address(1), address(3), Link::Good);
    let other = "ALTER KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}";
    let altered = cluster.cql(2, other).expect("it has its turn");
    assert!(altered.warnings.is_empty(), "{:?}", altered.warnings);
    assert!(told.lock().is_none(), "n1 still tells n3");
    until(&cluster, "its client is told", || told.lock().is_some());
    assert_eq!(told.lock().take(), Some(Ok(())));
}

#[test]
fn two_keyspaces_are_altered_one_after_the_other() {
    let (cluster, table) = cluster(3, 1);
    let other =
        "CREATE KEYSPACE other WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    cluster.cql(2, other).expect("it is made");
    begin(&cluster, 1, 3);
    let other =
        "ALTER KEYSPACE other WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 2}";
    cluster.cql(2, other).expect("it has its turn");
    until(&cluster, "both are done", || is_over(&cluster, &[1, 2, 3], "3"));
    for node in 1..=3 {
        let snapshot = cluster.node(node).views.load();
        let other = snapshot.schema.keyspace("other").expect("it exists");
        assert_eq!(other.replication.short_class(), "NetworkTopologyStrategy");
    }
    assert_readable(&cluster, table, &[1, 2, 3], ROWS);
}

#[test]
fn a_keyspace_that_is_made_anew_has_what_it_is_made_with() {
    let (cluster, _) = cluster(3, 1);
    alter(&cluster, 1, 3);
    cluster.cql(2, "DROP KEYSPACE ks").expect("it is dropped");
    cluster.make_table(2);
    assert!(is_over(&cluster, &[1, 2, 3], "2"));
    // Nor is the new one altered by what began for the old one.
    hold(&cluster, 2);
    begin(&cluster, 1, 3);
    until(&cluster, "it begins", || {
        phase(&cluster, 3) == Some(Phase::Pending)
    });
    cluster.cql(3, "DROP KEYSPACE ks").expect("it is dropped");
    release(&cluster, 2);
    cluster.run_for(QUIET);
    cluster.make_table(1);
    assert!(is_over(&cluster, &[1, 2, 3], "1"));
    // What was dropped is forgotten with the next one that is altered.
    for text in [
        "CREATE KEYSPACE other WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "ALTER KEYSPACE other WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}",
        "DROP KEYSPACE other",
    ] {
        cluster.cql(1, text).expect("nothing is in its way");
    }
    alter(&cluster, 3, 2);
    let state = cluster.node(2).ring_state();
    let known: Vec<&str> = state.replications().keyspaces().map(|(name, _)| name).collect();
    assert_eq!(known, ["ks"]);
}

#[test]
fn another_option_changes_no_replicas_and_other_replicas_no_option() {
    let (cluster, table) = cluster(3, 1);
    alter(&cluster, 1, 3);
    cluster
        .cql(2, "ALTER KEYSPACE ks WITH durable_writes = false")
        .expect("it is altered");
    assert!(is_over(&cluster, &[1, 2, 3], "3"));
    alter(&cluster, 3, 2);
    for node in 1..=3 {
        let snapshot = cluster.node(node).views.load();
        let keyspace = snapshot.schema.keyspace("ks").expect("it exists");
        assert!(!keyspace.durable_writes);
    }
    assert_readable(&cluster, table, &[1, 2, 3], ROWS);
}

#[test]
fn a_node_that_was_restarted_knows_it_still() {
    let (mut cluster, table) = cluster(3, 1);
    alter(&cluster, 1, 3);
    for node in 1..=3 {
        cluster.kill(node);
    }
    for node in 1..=3 {
        cluster.restart(node);
    }
    cluster.run_for(Duration::from_secs(5));
    assert!(is_over(&cluster, &[1, 2, 3], "3"));
    assert_readable(&cluster, table, &[1, 2, 3], ROWS);
}

#[test]
fn with_a_node_down_nothing_is_altered() {
    let (mut cluster, _) = cluster(3, 1);
    cluster.kill(3);
    cluster.run_for(Duration::from_secs(20));
    let refused = cluster.cql(1, &statement(3)).expect_err("one is down");
    assert!(refused.message.contains("nothing was changed"), "{refused}");
    assert!(is_over(&cluster, &[1, 2], "1"));
}

#[test]
fn a_plan_tells_what_an_alteration_moves() {
    let (cluster, _) = cluster(3, 1);
    let plan_of = |factor| {
        let node = Arc::clone(cluster.node(1));
        let kind = node.plan_alteration(&statement(factor)).expect("it is one");
        cluster
            .world
            .executor
            .run(async move { node.plan_change(&kind).await })
    };
    let plan = plan_of(3);
    let held: u64 = plan.nodes.iter().map(|node| node.bytes_before).sum();
    assert_eq!(plan.moves.len(), 6, "everybody fetches from everybody");
    assert_eq!(plan.bytes, 2 * held);
    assert!(plan.nodes.iter().all(|node| node.bytes_after == held), "{plan:?}");
    assert!(
        plan.change.contains("SimpleStrategy (replication_factor 3)"),
        "{}",
        plan.change
    );
    for text in [
        statement(1),
        "SELECT * FROM ks.t".to_owned(),
        "DROP KEYSPACE ks".to_owned(),
    ] {
        cluster
            .node(1)
            .plan_alteration(&text)
            .expect_err("it moves nothing");
    }
    alter(&cluster, 1, 3);
    let plan = plan_of(2);
    assert!(plan.nodes.iter().all(|node| node.bytes_after < held), "{plan:?}");
}

#[test]
fn a_keyspace_moves_to_another_datacenter_and_back() {
    let mut cluster = TestCluster::prepared(4);
    for number in 1..=4 {
        let mut config = TestCluster::config(number);
        config.datacenter = if number <= 2 { "east" } else { "west" }.to_owned();
        cluster.start_with(number, config).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let table = cluster.make_table(2);
    let mut rows = 0;
    for (options, there) in [
        ("'east': 2", vec![1, 2]),
        ("'east': 1, 'west': 2", vec![3, 4]),
        ("'west': 1", vec![3, 4]),
        ("'east': 2", vec![1, 2]),
    ] {
        for _ in 0..ROWS {
            write(&cluster, table, 1 + rows as usize % 4, rows);
            rows += 1;
        }
        let text =
            format!("ALTER KEYSPACE ks WITH replication = {{'class': 'NetworkTopologyStrategy', {options}}}");
        let altered = cluster.cql(1 + rows as usize % 4, &text).expect("it is altered");
        assert!(altered.warnings.is_empty(), "{:?}", altered.warnings);
        assert_readable(&cluster, table, &[1, 3], rows);
        for row in 0..rows {
            let command = whole_partition(table, &name(row), cluster.now());
            let page = cluster.read(there[0], command, Consistency::LocalQuorum);
            let page = page.unwrap_or_else(|error| panic!("row {row} with {options}: {error}"));
            assert_eq!(rows_of(&page, cluster.now()).len(), 1, "row {row} with {options}");
        }
        cluster.run_for(QUIET);
        let elsewhere: Vec<usize> = (1..=4).filter(|node| !there.contains(node)).collect();
        if !options.contains(',') {
            assert!((0..rows).all(|row| copies(&cluster, table, &elsewhere, row) == 0));
        }
    }
}

#[test]
fn tables_of_other_keyspaces_can_be_truncated_meanwhile() {
    let (cluster, _) = cluster(3, 1);
    for text in [
        "CREATE KEYSPACE other WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}",
        "CREATE TABLE other.t (k int PRIMARY KEY)",
    ] {
        cluster.cql(2, text).expect("nothing is in its way");
    }
    hold(&cluster, 2);
    begin(&cluster, 1, 3);
    until(&cluster, "it begins", || {
        phase(&cluster, 3) == Some(Phase::Pending)
    });
    cluster.cql(3, "TRUNCATE ks.t").expect_err("its data moves");
    release(&cluster, 2);
    cluster.cql(1, "TRUNCATE other.t").expect("its data stays");
}

#[test]
fn a_single_node_is_altered_at_once() {
    let cluster = TestCluster::new(1);
    cluster.make_table(1);
    let began = cluster.world.executor.now();
    let warnings = alter(&cluster, 1, 3);
    let took = cluster.world.executor.now().saturating_sub(began);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert!(
        warnings[0].contains("higher than the number of nodes"),
        "{warnings:?}"
    );
    assert!(is_over(&cluster, &[1], "3"));
    let listed = cluster
        .cql(
            1,
            "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'ks'",
        )
        .expect("it is listed");
    assert!(format!("{:?}", listed.result).contains("replication_factor"));
}

#[test]
fn a_datacenter_that_is_not_there_is_refused_and_nothing_is_forgotten() {
    let (cluster, table) = cluster(1, 1);
    write(&cluster, table, 1, 0);
    let wrong = "ALTER KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'DC1': 1}";
    let error = cluster.cql(1, wrong).expect_err("nobody would have the data");
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.message.contains("no datacenter 'DC1'"), "{error:?}");
    cluster.run_for(QUIET * 3);
    assert_readable(&cluster, table, &[1], 1);
}

/// Each change comes before what was given away by the one before it is forgotten, so nodes may hold data by several rings, and a look at all of
/// them takes longer than who asks for a promise waits.
#[test]
fn a_change_waits_for_slow_cleanups_and_begins() {
    let (cluster, _) = cluster(3, 3);
    for factor in [1, 2, 1, 2] {
        alter(&cluster, 1, factor);
    }
    for node in 1..=3 {
        let store = cluster.store(node);
        store.slow_discards(&cluster.world.executor, Duration::from_secs(4));
    }
    let told = (0..20).find_map(|_| {
        let told = begin(&cluster, 1, 3);
        until(&cluster, "it is told", || told.lock().is_some());
        let told = told.lock().take().expect("it is told");
        told.is_ok().then_some(told)
    });
    assert_eq!(told, Some(Ok(())));
}
