//! `kill -9` of everything, in the middle of writing.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, AtomicUsize, Ordering},
    },
};

use futures::future::join_all;
use starling::admin::{self, RingEntry};
use starling_client::{Prepared, Session};
use starling_model::NodeId;

use crate::harness::{Cluster, Node, block_on, create_table, until};

const ROUNDS: usize = 3;
const WRITERS: usize = 16;
/// Writes of a round that must be acknowledged before the nodes are killed.
const BEFORE_THE_KILL: usize = 300;

#[derive(Default)]
struct Acknowledged {
    next: AtomicI32,
    ids: Mutex<BTreeSet<i32>>,
    count: AtomicUsize,
}

/// Writes one row after the other until an error shows that the cluster is gone.
async fn writer(session: Session, insert: Prepared, acknowledged: Arc<Acknowledged>) {
    loop {
        let id = acknowledged.next.fetch_add(1, Ordering::Relaxed);
        if session.execute(&insert, (id, id)).await.is_err() {
            return;
        }
        acknowledged.ids.lock().unwrap().insert(id);
        acknowledged.count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_acknowledged_write_outlives_the_death_of_all_nodes() {
    let mut cluster = Cluster::start(3);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { create_table(&cluster.session(&[0, 1, 2]).await).await });
    let acknowledged = Arc::<Acknowledged>::default();
    for round in 1..=ROUNDS {
        let writers: Vec<_> = runtime.block_on(async {
            let session = cluster.session(&[0, 1, 2]).await;
            let insert = session
                .prepare("INSERT INTO k.t (id, v) VALUES (?, ?)")
                .await
                .unwrap()
                .with_timeout(std::time::Duration::from_secs(3));
            (0..WRITERS)
                .map(|_| tokio::spawn(writer(session.clone(), insert.clone(), Arc::clone(&acknowledged))))
                .collect()
        });
        until("enough is written", || {
            (acknowledged.count.load(Ordering::Relaxed) >= round * BEFORE_THE_KILL).then_some(())
        });
        for node in &mut cluster.nodes {
            node.kill();
        }
        runtime.block_on(join_all(writers));
        cluster.start_all();
        runtime.block_on(check(&cluster, &acknowledged.ids.lock().unwrap()));
    }
}

async fn check(cluster: &Cluster, ids: &BTreeSet<i32>) {
    let session = cluster.session(&[0, 1, 2]).await;
    let select = session.prepare("SELECT v FROM k.t WHERE id = ?").await.unwrap();
    let ids: Vec<i32> = ids.iter().copied().collect();
    for some in ids.chunks(64) {
        let reads = some.iter().map(|id| {
            let (session, select) = (session.clone(), select.clone());
            async move {
                (
                    *id,
                    session.execute(&select, (*id,)).await.unwrap().rows().unwrap(),
                )
            }
        });
        for (id, rows) in join_all(reads).await {
            let value = rows.first::<(i32,)>().unwrap();
            assert_eq!(value, Some((id,)), "the write of {id} was acknowledged");
        }
    }
}

/// The ring, as each node shows it, and each node's host id.
fn places(cluster: &Cluster) -> Vec<(Vec<RingEntry>, NodeId)> {
    let place = |node: &Node| {
        let ring = admin::client::get_json(node.admin, "/ring").unwrap();
        (ring, node.status().unwrap().node.id)
    };
    cluster.nodes.iter().map(place).collect()
}

#[test]
fn a_cold_restart_leaves_every_node_its_tokens_and_its_host_id() {
    let mut cluster = Cluster::start(3);
    block_on(async { create_table(&cluster.session(&[0]).await).await });
    let before = places(&cluster);
    assert_eq!(before[0].0.len(), 3 * 16);
    assert!(before.iter().all(|(ring, _)| *ring == before[0].0));
    // The seed comes last: whoever was in the ring comes back without being let in.
    for node in &mut cluster.nodes {
        node.kill();
    }
    cluster.nodes[2].start();
    cluster.nodes[1].start();
    for node in &mut cluster.nodes[1..] {
        node.wait(|status| status.node.ready);
    }
    cluster.start_all();
    assert_eq!(places(&cluster), before);
    for node in &mut cluster.nodes {
        node.stop();
    }
    cluster.start_all();
    assert_eq!(places(&cluster), before);
}

#[test]
fn a_node_that_is_told_to_stop_has_everything_when_it_starts_again() {
    let mut cluster = Cluster::start(1);
    block_on(async {
        let session = cluster.session(&[0]).await;
        create_table_alone(&session).await;
        for id in 0..50 {
            session
                .query(format!("INSERT INTO k.t (id, v) VALUES ({id}, {id})").as_str())
                .await
                .unwrap();
        }
    });
    cluster.nodes[0].stop();
    cluster.start_all();
    block_on(async {
        let session = cluster.session(&[0]).await;
        let rows = session.query("SELECT id FROM k.t").await.unwrap().rows().unwrap();
        assert_eq!(rows.len(), 50);
    });
}

async fn create_table_alone(session: &Session) {
    for statement in [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE k.t (id int PRIMARY KEY, v int)",
    ] {
        session.query(statement).await.unwrap();
    }
}
