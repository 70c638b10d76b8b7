//! Nodes that leave, are replaced and are removed, by an operator's commands, while clients go on.

use std::{
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use starling::config::Settings;
use starling_client::{Consistency, Session};
use tokio::task::JoinHandle;

use crate::harness::{Cluster, STARLING, block_on, until};

/// Rows that are there before anything changes.
pub(crate) const ROWS: i32 = 300;

/// Makes keyspace `k` with table `k.t` of so many replicas, and the first rows.
pub(crate) async fn make_table(session: &Session, factor: u32) {
    let replication = format!("{{'class': 'SimpleStrategy', 'replication_factor': {factor}}}");
    make_table_of(session, &replication).await;
}

/// The same with any replication, as CQL says it.
pub(crate) async fn make_table_of(session: &Session, replication: &str) {
    let keyspace = format!("CREATE KEYSPACE k WITH replication = {replication}");
    for statement in [&keyspace, "CREATE TABLE k.t (id int PRIMARY KEY, v int)"] {
        session.query(statement).await.unwrap();
    }
    for id in 0..ROWS {
        write(session, id).await.unwrap();
    }
}

async fn write(session: &Session, id: i32) -> Result<(), starling_client::Error> {
    let text = format!("INSERT INTO k.t (id, v) VALUES ({id}, {id})");
    let statement = session.statement(text).with_consistency(Consistency::Quorum);
    session.query(statement.with_idempotent(true)).await.map(drop)
}

/// What a row has.
pub(crate) async fn read(session: &Session, id: i32, level: Consistency) -> Option<i32> {
    let text = format!("SELECT v FROM k.t WHERE id = {id}");
    let statement = session.statement(text).with_consistency(level);
    let rows = session.query(statement).await.unwrap().rows().unwrap();
    rows.first::<(i32,)>().unwrap().map(|(v,)| v)
}

/// A client that writes a row and reads it and an older one, again and again, at QUORUM. None may fail.
pub(crate) fn client(session: Session) -> (Arc<AtomicBool>, JoinHandle<i32>) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let work = tokio::spawn(async move {
        let mut next = ROWS;
        while !stopped.load(Ordering::Relaxed) {
            write(&session, next).await.unwrap();
            for id in [next, next % ROWS] {
                assert_eq!(read(&session, id, Consistency::Quorum).await, Some(id), "id {id}");
            }
            next += 1;
        }
        next
    });
    (stop, work)
}

/// Runs a command against a node; its output.
pub(crate) fn run(cluster: &Cluster, node: usize, arguments: &[&str]) -> String {
    let output = output(cluster, node, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must not work; what it says.
pub(crate) fn refused(cluster: &Cluster, node: usize, arguments: &[&str]) -> String {
    let output = output(cluster, node, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Runs a command that may work or not.
pub(crate) fn output(cluster: &Cluster, node: usize, arguments: &[&str]) -> Output {
    let admin = cluster.nodes[node].admin.to_string();
    Command::new(STARLING)
        .args(arguments)
        .args(["--admin", &admin])
        .output()
        .unwrap()
}

/// How many tokens a node sees in the ring.
pub(crate) fn tokens(cluster: &Cluster, node: usize) -> usize {
    run(cluster, node, &["ring"]).lines().count() - 1
}

#[test]
fn a_node_leaves_under_load() {
    let mut cluster = Cluster::start(3);
    block_on(async {
        let session = cluster.session(&[0, 1]).await;
        make_table(&session, 2).await;
        let (stop, work) = client(cluster.session(&[0, 1]).await);

        let plan = run(&cluster, 2, &["decommission", "--dry-run"]);
        assert!(
            plan.contains("leaves") && plan.contains("Nothing was changed"),
            "{plan}"
        );
        assert!(plan.contains(&cluster.nodes[2].listen.to_string()), "{plan}");
        // No rate is set.
        assert!(
            plan.contains("(at 120 MiB/s for each node that fetches)"),
            "{plan}"
        );
        assert_eq!(tokens(&cluster, 0), 3 * 16);

        let said = tokio::task::block_in_place(|| run(&cluster, 2, &["decommission"]));
        assert!(said.contains("has left the ring"), "{said}");
        until("the others know", || {
            (0..2).all(|node| tokens(&cluster, node) == 2 * 16).then_some(())
        });
        cluster.nodes[2].stop();
        stop.store(true, Ordering::Relaxed);
        let written = work.await.unwrap();
        assert!(written > ROWS);
        for id in 0..written {
            assert_eq!(read(&session, id, Consistency::All).await, Some(id), "id {id}");
        }
        let quiet = run(&cluster, 0, &["topology"]);
        assert!(
            quiet.starts_with("No change of the ring is under way."),
            "{quiet}"
        );
        let moved: u64 = (0..2)
            .map(|node| {
                cluster.nodes[node]
                    .status()
                    .unwrap()
                    .node
                    .counters
                    .streamed_in_bytes
            })
            .sum();
        assert!(moved > 0);
        let why = refused(&cluster, 0, &["topology", "abort"]);
        assert!(why.contains("no change of the ring is under way"), "{why}");
    });
}

#[test]
fn a_dead_node_is_replaced_and_another_removed_under_load() {
    let mut cluster = Cluster::prepared(4, &Settings::default());
    cluster.start_first(3);
    block_on(async {
        let session = cluster.session(&[0, 1]).await;
        make_table(&session, 3).await;
        let (stop, work) = client(cluster.session(&[0, 1]).await);
        let dead = cluster.nodes[2].listen.to_string();
        let why = refused(&cluster, 0, &["remove", &dead]);
        assert!(why.contains("is alive") && why.contains("decommission"), "{why}");

        cluster.nodes[2].kill();
        cluster.nodes[0].wait(|status| status.node.members.iter().any(|member| !member.up));
        let plan = run(&cluster, 0, &["remove", &dead, "--dry-run"]);
        assert!(
            plan.contains("removed") && plan.contains("Nothing was changed"),
            "{plan}"
        );
        cluster.nodes[3].start_with(&["--replace", &dead]);
        cluster.nodes[3].wait(|status| status.node.ready);
        assert_eq!(tokens(&cluster, 3), 3 * 16);

        // Who was replaced stays out.
        cluster.nodes[2].start();
        let why = cluster.nodes[2].wait_for_end();
        assert!(why.contains("empty data directory"), "{why}");

        let other = cluster.nodes[3].listen.to_string();
        cluster.nodes[3].kill();
        let listen: std::net::SocketAddr = other.parse().unwrap();
        // A member that has not noticed yet would refuse.
        for node in &mut cluster.nodes[..2] {
            node.wait(|status| {
                let mut members = status.node.members.iter();
                members.any(|member| member.address == listen && !member.up)
            });
        }
        let why = refused(&cluster, 0, &["remove", &other]);
        assert!(
            why.contains("asks for 3 replicas") && why.contains("--force"),
            "{why}"
        );
        let said = tokio::task::block_in_place(|| run(&cluster, 0, &["remove", &other, "--force"]));
        assert!(said.contains("Removed"), "{said}");
        until("the others know", || {
            (0..2).all(|node| tokens(&cluster, node) == 2 * 16).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        for id in 0..work.await.unwrap() {
            assert_eq!(read(&session, id, Consistency::Quorum).await, Some(id), "id {id}");
        }
    });
}
