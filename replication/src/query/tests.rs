//! Statements, end to end over three nodes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use starling_cql::{
    BatchEntry, BatchKind, BatchRequest, Error, ErrorKind, QueryParameters, QueryResult, Rows, SchemaTarget,
    Statement, Values, request::Bound,
};
use starling_model::{Consistency, Timestamp};

use super::prepared::{Cache, plan_text};
use crate::{
    clock::MAX_CLIENT_DRIFT_MICROS,
    env::Env,
    node::Executed,
    testing::{Link, TestCluster, key},
};

fn cluster() -> TestCluster {
    let cluster = TestCluster::new(3);
    cluster.make_table(3);
    cluster
}

fn run(
    cluster: &TestCluster,
    number: usize,
    statement: Statement,
    change: impl FnOnce(&mut QueryParameters),
) -> Result<Executed, Error> {
    let node = Arc::clone(cluster.node(number));
    let mut parameters = QueryParameters::with_consistency(Consistency::Quorum);
    change(&mut parameters);
    cluster
        .world
        .executor
        .run(async move { node.execute(statement, parameters, false).await })
}

fn rows(result: Result<Executed, Error>) -> Rows {
    match result.expect("the statement succeeds").result {
        QueryResult::Rows(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn text(cell: Option<&Bytes>) -> String {
    cell.map_or_else(
        || "null".to_owned(),
        |bytes| String::from_utf8_lossy(bytes).into_owned(),
    )
}

/// Rows of text columns, one line each.
fn lines(rows: &Rows) -> Vec<String> {
    let line = |row: &Vec<Option<Bytes>>| row.iter().map(|v| text(v.as_ref())).collect::<Vec<_>>().join(" ");
    rows.rows.iter().map(line).collect()
}

fn bound(values: &[&[u8]]) -> Values {
    let values = values
        .iter()
        .map(|value| Bound::Value(Some(Bytes::copy_from_slice(value))));
    Values::Positional(values.collect())
}

#[test]
fn what_is_written_on_one_node_is_read_on_another() {
    let cluster = cluster();
    cluster
        .cql(1, "INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'one')")
        .expect("it is written");
    cluster
        .cql(2, "UPDATE ks.t SET v = 'two' WHERE k = 'a' AND c = 2")
        .expect("it is written");
    let read = |number| lines(&rows(cluster.cql(number, "SELECT v FROM ks.t WHERE k = 'a'")));
    assert_eq!(read(3), ["one", "two"]);
    cluster
        .cql(3, "DELETE FROM ks.t WHERE k = 'a' AND c = 1")
        .expect("it is deleted");
    assert_eq!(read(1), ["two"]);
}

#[test]
fn pages_of_a_scan_go_on_at_any_node() {
    let cluster = cluster();
    for number in 0..25 {
        let query = format!("INSERT INTO ks.t (k, c, v) VALUES ('k{number}', 1, 'v{number}')");
        cluster.cql(1, &query).expect("it is written");
    }
    let mut seen = Vec::new();
    let mut state = None;
    let mut number = 0;
    loop {
        number = number % 3 + 1;
        let page = rows(run(
            &cluster,
            number,
            Statement::Text("SELECT k FROM ks.t".to_owned()),
            |parameters| {
                parameters.page_size = Some(4);
                parameters.paging_state = state.take();
            },
        ));
        assert!(page.rows.len() <= 4);
        seen.extend(lines(&page));
        state = page.paging_state;
        if state.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}

#[test]
fn a_prepared_statement_has_the_same_id_everywhere_and_follows_the_schema() {
    let cluster = cluster();
    let query = "SELECT * FROM t WHERE k = ?";
    let first = cluster
        .node(1)
        .prepare(query, Some("ks"))
        .expect("it is prepared");
    let second = cluster
        .node(2)
        .prepare(query, Some("ks"))
        .expect("it is prepared");
    assert_eq!(first, second);
    assert_eq!(first.partition_key, [0]);
    assert_eq!(first.columns.len(), 3);

    let statement = Statement::Prepared(first.id.clone());
    let error = run(&cluster, 3, statement.clone(), |_| {}).expect_err("n3 was not asked");
    assert_eq!(error.kind, ErrorKind::Unprepared { id: first.id.clone() });

    cluster
        .cql(1, "INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'one')")
        .expect("it is written");
    cluster
        .cql(2, "ALTER TABLE ks.t ADD extra text")
        .expect("the table is altered");
    let result = rows(run(&cluster, 1, statement.clone(), |p| p.values = bound(&[b"a"])));
    assert_eq!(result.columns.len(), 4, "the new column is there");
    let again = cluster
        .node(1)
        .prepare(query, Some("ks"))
        .expect("it is prepared");
    assert_eq!(again.id, first.id);
    assert_ne!(again.result_id, first.result_id);

    cluster.cql(1, "DROP TABLE ks.t").expect("the table is dropped");
    let error = run(&cluster, 1, statement, |p| p.values = bound(&[b"a"])).expect_err("it is gone");
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[test]
fn the_cache_of_statements_is_bounded_and_keeps_what_is_used() {
    let schema = starling_cql::schema::Schema::default();
    let cache = Cache::new(32, 100_000);
    let planned = plan_text("SELECT * FROM system.local", None, &schema).expect("it is planned");
    for id in 0..1000 {
        cache.put(id, Arc::clone(&planned));
        assert!(cache.get(0).is_some(), "0 is used all the time");
        assert!(cache.len() <= 32);
    }
    assert!(cache.get(1).is_none());
    let small = Cache::new(1000, 10 * planned.query.len());
    for id in 0..100 {
        small.put(id, Arc::clone(&planned));
    }
    assert!(small.len() <= 10);
}

#[test]
fn batches_apply_all_their_statements() {
    let cluster = cluster();
    let node = Arc::clone(cluster.node(1));
    let insert = node
        .prepare("INSERT INTO ks.t (k, c, v) VALUES (?, ?, ?)", None)
        .expect("it is prepared");
    for kind in [BatchKind::Logged, BatchKind::Unlogged] {
        let entries = (0..20)
            .map(|n| BatchEntry {
                statement: Statement::Prepared(insert.id.clone()),
                values: bound(&[format!("{kind:?}{n}").as_bytes(), &[0, 0, 0, 1], b"x"]),
            })
            .collect();
        let request = BatchRequest {
            kind,
            entries,
            parameters: QueryParameters::with_consistency(Consistency::Quorum),
        };
        let node = Arc::clone(&node);
        let executed = cluster
            .world
            .executor
            .run(async move { node.batch(request, false).await });
        let warnings = executed.expect("the batch is applied").warnings;
        assert_eq!(
            warnings.len(),
            usize::from(kind == BatchKind::Unlogged),
            "{warnings:?}"
        );
    }
    assert_eq!(rows(cluster.cql(2, "SELECT k FROM ks.t")).rows.len(), 40);
    cluster
        .cql(
            3,
            "BEGIN BATCH INSERT INTO ks.t (k, c) VALUES ('b', 1); DELETE FROM ks.t WHERE k = 'Logged1'; APPLY BATCH",
        )
        .expect("the batch is applied");
    assert_eq!(rows(cluster.cql(2, "SELECT k FROM ks.t")).rows.len(), 40);
}

#[test]
fn drivers_see_all_nodes() {
    let cluster = cluster();
    let local = rows(cluster.cql(
        2,
        "SELECT rpc_address, data_center, rack, partitioner FROM system.local",
    ));
    assert_eq!(local.rows.len(), 1);
    assert_eq!(local.rows[0][0], Some(Bytes::from_static(&[10, 0, 0, 2])));
    assert_eq!(text(local.rows[0][1].as_ref()), "datacenter1");
    for table in ["peers", "peers_v2"] {
        let peers = rows(cluster.cql(
            2,
            &format!("SELECT peer, schema_version, tokens FROM system.{table}"),
        ));
        let mut addresses: Vec<u8> = peers
            .rows
            .iter()
            .map(|row| row[0].as_ref().expect("an address")[3])
            .collect();
        addresses.sort_unstable();
        assert_eq!(addresses, [1, 3], "{table}");
        let version = rows(cluster.cql(2, "SELECT schema_version FROM system.local")).rows[0][0].clone();
        assert!(peers.rows.iter().all(|row| row[1] == version), "{table} agree");
    }
    let tables = rows(cluster.cql(
        1,
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'ks'",
    ));
    assert_eq!(lines(&tables), ["t"]);
    let topology = cluster.node(1).topology();
    assert_eq!(topology.nodes.len(), 3);
    assert!(
        topology
            .nodes
            .iter()
            .all(|node| node.up && node.tokens.len() == 16)
    );
    assert!(topology.keyspaces.iter().any(|(name, _)| name == "ks"));
}

#[test]
fn a_trace_tells_what_the_replicas_did_and_any_node_shows_it() {
    let cluster = cluster();
    let node = Arc::clone(cluster.node(1));
    let parameters = QueryParameters::with_consistency(Consistency::All);
    let statement = Statement::Text("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x')".to_owned());
    let traced = cluster
        .world
        .executor
        .run(async move { node.execute(statement, parameters, true).await });
    let session = traced.expect("it is written").trace.expect("it was traced");
    let id = starling_model::NodeId(session);
    for number in 1..=3 {
        let query = format!("SELECT activity, source FROM system_traces.events WHERE session_id = {id}");
        let events = rows(cluster.cql(number, &query));
        let sources: std::collections::BTreeSet<u8> = events
            .rows
            .iter()
            .map(|row| row[1].as_ref().expect("an address")[3])
            .collect();
        assert_eq!(
            sources.into_iter().collect::<Vec<_>>(),
            [1, 2, 3],
            "read on n{number}"
        );
        let query = format!("SELECT request FROM system_traces.sessions WHERE session_id = {id}");
        assert_eq!(lines(&rows(cluster.cql(number, &query))), ["Execute CQL3 query"]);
    }
}

#[test]
fn timestamps_from_the_far_future_are_refused() {
    let cluster = cluster();
    let now = cluster.envs[0].wall().0;
    let write = |timestamp: i64| {
        let query = format!("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x') USING TIMESTAMP {timestamp}");
        let by_text = cluster.cql(1, &query).map(drop);
        let plain = Statement::Text("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x')".to_owned());
        let by_parameter = run(&cluster, 1, plain, |p| p.timestamp = Some(Timestamp(timestamp))).map(drop);
        assert_eq!(by_text.is_ok(), by_parameter.is_ok());
        by_text
    };
    for fine in [1, -5, 1_700_000_000_000, now, now + MAX_CLIENT_DRIFT_MICROS / 2] {
        write(fine).expect("it is accepted");
    }
    let error = write(now * 1000).expect_err("nanoseconds");
    assert_eq!(error.kind, ErrorKind::Invalid);
}

#[test]
fn statements_of_other_kinds() {
    let cluster = cluster();
    let used = cluster.cql(1, "USE ks").expect("it exists").result;
    assert_eq!(used, QueryResult::SetKeyspace("ks".to_owned()));
    let described = rows(cluster.cql(1, "DESCRIBE CLUSTER"));
    assert_eq!(text(described.rows[0][0].as_ref()), "test");
    let change = cluster
        .cql(1, "CREATE TABLE ks.u (k int PRIMARY KEY)")
        .expect("it is made")
        .result;
    let QueryResult::SchemaChange(change) = change else {
        panic!("{change:?}")
    };
    assert_eq!(change.target, SchemaTarget::Table("u".to_owned()));
    let again = cluster.cql(2, "CREATE TABLE IF NOT EXISTS ks.u (k int PRIMARY KEY)");
    assert!(!matches!(
        again.expect("nothing to do").result,
        QueryResult::Rows(_)
    ));
    let wide = cluster
        .cql(
            3,
            "CREATE KEYSPACE wide WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 9}",
        )
        .expect("it is made");
    assert_eq!(wide.warnings.len(), 1, "more replicas than nodes");
    for refused in [
        "INSERT INTO system.local (key) VALUES ('x')",
        "TRUNCATE system.peers",
        "SELEC",
    ] {
        assert!(cluster.cql(1, refused).is_err(), "{refused}");
    }
}

#[test]
fn too_many_requests_are_refused() {
    let mut cluster = TestCluster::prepared(2);
    let mut config = TestCluster::config(1);
    config.bounds.coordinated = 3;
    cluster.start_with(1, config).expect("a node starts");
    cluster.start(2).expect("a node starts");
    cluster.run_for(Duration::from_secs(3));
    cluster.make_table(2);
    cluster.partition(&[1], &[2], Link::Silent);
    for _ in 0..3 {
        let node = Arc::clone(cluster.node(1));
        let parameters = QueryParameters::with_consistency(Consistency::All);
        let statement = Statement::Text("INSERT INTO ks.t (k, c) VALUES ('a', 1)".to_owned());
        cluster.world.executor.spawn(async move {
            // They wait for a node that does not answer.
            let _ = node.execute(statement, parameters, false).await;
        });
    }
    cluster.run_for(Duration::from_millis(10));
    let refused = cluster
        .cql(1, "SELECT * FROM ks.t")
        .expect_err("three are under way");
    assert_eq!(refused.kind, ErrorKind::Overloaded);
    cluster.run_for(Duration::from_secs(5));
    cluster.partition(&[1], &[2], Link::Good);
    cluster.run_for(Duration::from_secs(30));
    cluster
        .cql(1, "SELECT * FROM ks.t")
        .expect("the others have ended");
}

#[test]
fn a_list_is_read_before_its_elements_are_changed() {
    let cluster = cluster();
    let run_ok = |number, query: &str| drop(cluster.cql(number, query).expect("it is written"));
    run_ok(1, "CREATE TABLE ks.lists (k text PRIMARY KEY, l list<text>)");
    run_ok(
        1,
        "INSERT INTO ks.lists (k, l) VALUES ('a', ['x', 'y', 'z', 'y'])",
    );
    run_ok(2, "UPDATE ks.lists SET l[0] = 'w' WHERE k = 'a'");
    run_ok(3, "UPDATE ks.lists SET l = l - ['y'] WHERE k = 'a'");
    run_ok(
        1,
        "BEGIN BATCH DELETE l[1] FROM ks.lists WHERE k = 'a'; UPDATE ks.lists SET l = ['v'] + l WHERE k = 'a'; APPLY BATCH",
    );
    let kept = rows(cluster.cql(2, "SELECT l FROM ks.lists WHERE k = 'a'"));
    let kept = starling_cql::value::elements(kept.rows[0][0].as_ref().expect("a list"));
    assert_eq!(
        kept,
        Some(vec![Bytes::from_static(b"v"), Bytes::from_static(b"w")])
    );
    let beyond = cluster.cql(3, "UPDATE ks.lists SET l[2] = 'u' WHERE k = 'a'");
    assert_eq!(beyond.map(drop).map_err(|e| e.kind), Err(ErrorKind::Invalid));
    let statement = Statement::Text("DELETE l[0] FROM ks.lists WHERE k = 'a'".to_owned());
    let unread = run(&cluster, 1, statement, |parameters| {
        parameters.consistency = Consistency::Any;
    });
    assert_eq!(unread.map(drop).map_err(|e| e.kind), Err(ErrorKind::Invalid));
}

#[test]
fn a_read_ends_with_its_client_and_a_write_goes_on() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(3);
    let execute = |text: &str| {
        let node = Arc::clone(cluster.node(1));
        let statement = Statement::Text(text.to_owned());
        let parameters = QueryParameters::with_consistency(Consistency::Quorum);
        async move { node.execute(statement, parameters, false).await }.boxed()
    };
    // Both are begun: their messages are on the way.
    let mut write = execute("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x')");
    let mut read = execute("SELECT * FROM ks.t WHERE k = 'a'");
    let in_flight = || cluster.node(1).status().in_flight;
    assert!((&mut write).now_or_never().is_none());
    assert!((&mut read).now_or_never().is_none());
    assert_eq!(in_flight(), 2);

    drop(read);
    assert_eq!(in_flight(), 1, "nobody waits for what was to be read");
    drop(write);
    assert_eq!(in_flight(), 1, "what was to be written is");
    cluster.run_for(Duration::from_secs(1));
    assert_eq!(in_flight(), 0);
    for number in 1..=3 {
        assert!(!cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
    }
}

/// What is purged by its second must not be said to be older than the last repair, which others trusted.
#[test]
fn a_deletion_is_as_young_as_the_cluster_knows_whatever_its_client_says() {
    let cluster = cluster();
    let table = cluster.table(1);
    let long_ago = |parameters: &mut QueryParameters| parameters.now_in_seconds = Some(1);
    let write = "INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'v') USING TTL 100";
    run(&cluster, 1, Statement::Text(write.to_owned()), long_ago).expect("it is written");
    let delete = "DELETE FROM ks.t WHERE k = 'b'";
    run(&cluster, 1, Statement::Text(delete.to_owned()), long_ago).expect("it is deleted");
    cluster.run_for(Duration::from_secs(1));
    let skew = u32::try_from(TestCluster::config(1).repair.clock_skew.as_secs()).expect("small");
    let oldest = cluster.now().0 - skew - 2;
    let deletion = cluster
        .stored(1, table, &key("b"))
        .deletion
        .expect("it is stored");
    assert!(deletion.at.0 >= oldest, "{deletion:?}");
    let written = cluster.stored(1, table, &key("a")).rows;
    let mut ends = written.values().filter_map(|row| row.marker?.expiry);
    assert!(
        ends.next().is_some_and(|end| end.at.0 >= oldest + 100),
        "{written:?}"
    );
    // A client may look at any second.
    let read = Statement::Text("SELECT v FROM ks.t WHERE k = 'a'".to_owned());
    assert_eq!(lines(&rows(run(&cluster, 2, read, long_ago))), ["v"]);
}
