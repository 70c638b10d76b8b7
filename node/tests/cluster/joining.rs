//! Nodes that are killed for good while data streams to them, and what operators do about it, while clients go on.

use std::fs;

use starling::{
    admin::{self, TopologyView},
    config::Settings,
};
use starling_client::{Consistency, Session};

use crate::{
    harness::{Cluster, block_on, until},
    topology::{client, make_table, read, refused, run, tokens},
};

/// The node that joins.
const JOINER: usize = 3;

/// Rows that take long to stream at the rate of [`settings`], and their size.
const BIG_ROWS: i32 = 256;
const BIG_ROW: usize = 96 << 10;

/// A newcomer fetches so slowly that it is seen at it.
fn settings() -> Settings {
    Settings {
        stream_rate: Some(1),
        ..Settings::default()
    }
}

/// Bytes that do not get smaller.
pub(crate) fn noise(id: i32) -> Vec<u8> {
    let mut state = u64::try_from(id).unwrap() + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..BIG_ROW / 8).flat_map(|_| next()).collect()
}

async fn write_big_rows(session: &Session) {
    let table = "CREATE TABLE k.big (id int PRIMARY KEY, v blob)";
    session.query(table).await.unwrap();
    let insert = session.prepare("INSERT INTO k.big (id, v) VALUES (?, ?)");
    let insert = insert.await.unwrap();
    for id in 0..BIG_ROWS {
        session.execute(&insert, (id, noise(id))).await.unwrap();
    }
}

/// Everything that was acknowledged is on all replicas, or comes from those that have it.
async fn assert_all_there(session: &Session, written: i32) {
    for id in 0..written {
        assert_eq!(read(session, id, Consistency::All).await, Some(id), "id {id}");
    }
    let select = session.prepare("SELECT v FROM k.big WHERE id = ?").await.unwrap();
    for id in 0..BIG_ROWS {
        let rows = session.execute(&select, (id,)).await.unwrap().rows().unwrap();
        let found = rows.first::<(Vec<u8>,)>().unwrap();
        assert!(found == Some((noise(id),)), "big row {id}");
    }
}

fn streams(cluster: &Cluster) -> Option<()> {
    let view: TopologyView = admin::client::get_json(cluster.nodes[JOINER].admin, "/topology").ok()?;
    let mut moves = view.nodes.iter().map(|node| &node.streams);
    moves
        .any(|streams| streams.fetching && streams.bytes_done > 0)
        .then_some(())
}

/// Starts the joiner, kills it once data streams to it, and waits until all members take it for dead.
fn kill_while_it_joins(cluster: &mut Cluster) {
    cluster.nodes[JOINER].start();
    until("data streams to the newcomer", || streams(cluster));
    cluster.nodes[JOINER].kill();
    let listen = cluster.nodes[JOINER].listen;
    for node in &mut cluster.nodes[..JOINER] {
        node.wait(|status| {
            let mut members = status.node.members.iter();
            members.any(|member| member.address == listen && !member.up)
        });
    }
    let change = run(cluster, 0, &["topology"]);
    assert!(
        change.contains("joins") && change.contains("new replicas fetch their data"),
        "it is waited for: {change}"
    );
    let why = refused(cluster, 1, &["decommission"]);
    assert!(
        why.contains("under way") && why.contains("starling remove"),
        "{why}"
    );
}

fn assert_quiet(cluster: &Cluster, members: usize) {
    until("all members know the ring", || {
        let knows = |node: usize| {
            let change = run(cluster, node, &["topology"]);
            tokens(cluster, node) == members * 16 && change.starts_with("No change of the ring is under way.")
        };
        (0..JOINER).all(knows).then_some(())
    });
}

/// The machine comes back with nothing on its disk.
fn wipe(cluster: &Cluster) {
    fs::remove_dir_all(cluster.nodes[JOINER].dir.join("data")).unwrap();
}

#[test]
fn a_joiner_that_is_killed_for_good_is_removed_under_load() {
    let mut cluster = Cluster::prepared(4, &settings());
    cluster.start_first(3);
    block_on(async {
        let session = cluster.patient_session(&[0, 1]).await;
        make_table(&session, 3).await;
        write_big_rows(&session).await;
        let (stop, work) = client(cluster.session(&[0, 1]).await);

        let joiner = cluster.nodes[JOINER].listen.to_string();
        tokio::task::block_in_place(|| kill_while_it_joins(&mut cluster));
        let said = tokio::task::block_in_place(|| run(&cluster, 0, &["remove", &joiner]));
        assert!(said.contains("Removed"), "{said}");
        tokio::task::block_in_place(|| assert_quiet(&cluster, 3));

        // As was promised, it does not come back.
        let why = tokio::task::block_in_place(|| {
            cluster.nodes[JOINER].start();
            cluster.nodes[JOINER].wait_for_end()
        });
        assert!(why.contains("empty data directory"), "{why}");
        assert_quiet(&cluster, 3);

        // But as somebody new.
        wipe(&cluster);
        tokio::task::block_in_place(|| {
            cluster.nodes[JOINER].start_with(&["--stream-rate", "64"]);
            cluster.nodes[JOINER].wait(|status| status.node.ready);
            assert_quiet(&cluster, 4);
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_all_there(&session, work.await.unwrap()).await;
    });
}

#[test]
fn a_joiner_that_is_killed_for_good_has_a_successor_under_load() {
    let mut cluster = Cluster::prepared(4, &settings());
    cluster.start_first(3);
    block_on(async {
        let session = cluster.patient_session(&[0, 1]).await;
        make_table(&session, 3).await;
        write_big_rows(&session).await;
        let (stop, work) = client(cluster.session(&[0, 1]).await);

        let joiner = cluster.nodes[JOINER].listen.to_string();
        tokio::task::block_in_place(|| kill_while_it_joins(&mut cluster));
        let before = cluster.nodes[0].status().unwrap().node.members;
        let dead = before.iter().find(|member| member.address.to_string() == joiner);
        let dead = dead.unwrap().id;
        // The same machine, anew.
        wipe(&cluster);
        tokio::task::block_in_place(|| {
            let flags = ["--replace", &joiner, "--stream-rate", "64"];
            cluster.nodes[JOINER].start_with(&flags);
            cluster.nodes[JOINER].wait(|status| status.node.ready);
            assert_quiet(&cluster, 4);
            for node in &mut cluster.nodes {
                node.wait(|status| {
                    let members = &status.node.members;
                    members.len() == 4 && members.iter().all(|member| member.up && member.id != dead)
                });
            }
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_all_there(&session, work.await.unwrap()).await;
    });
}
