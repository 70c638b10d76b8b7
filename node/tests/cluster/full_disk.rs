//! A node whose disk takes no more: writes are refused, reads go on, and it recovers by itself.
//!
//! The disk is made full by a limit on the size of the node's files, which the test lowers and raises while the node
//! runs. To the node that is what a full disk is: space can't be set aside, and writes fail.

use std::time::Duration;

use starling_client::{Prepared, Session};

use crate::harness::{Cluster, block_on, until};

/// Smaller than a log segment, and than what of one was written before.
const FULL: u64 = 4 << 10;

async fn prepared(cluster: &Cluster) -> (Session, Prepared) {
    let session = cluster.session(&[0]).await;
    let insert = session
        .prepare("INSERT INTO k.t (id, v) VALUES (?, ?)")
        .await
        .unwrap();
    (session, insert.with_timeout(Duration::from_secs(10)))
}

async fn ids(session: &Session) -> Vec<i32> {
    let rows = session.query("SELECT id FROM k.t").await.unwrap().rows().unwrap();
    let mut ids: Vec<i32> = rows.typed::<(i32,)>().map(|row| row.unwrap().0).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_without_a_restart() {
    let mut cluster = Cluster::start(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (session, insert) = runtime.block_on(async {
        let session = cluster.session(&[0]).await;
        for statement in [
            "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            "CREATE TABLE k.t (id int PRIMARY KEY, v int)",
        ] {
            session.query(statement).await.unwrap();
        }
        prepared(&cluster).await
    });
    let write = |id: i32| runtime.block_on(session.execute(&insert, (id, id)));
    for id in 0..200 {
        write(id).unwrap();
    }
    cluster.nodes[0].limit_files(Some(FULL));
    for id in 1000..1040 {
        let refused = write(id).expect_err("the disk is full").to_string();
        assert!(
            !refused.to_lowercase().contains("timed out"),
            "an answer, and no silence: {refused}"
        );
    }
    let during = runtime.block_on(ids(&session));
    assert!((0..200).all(|id| during.contains(&id)), "reads go on: {during:?}");
    cluster.nodes[0].limit_files(None);
    // Each shard finds out by itself.
    until("writes are taken again", || {
        (2000..2100).all(|id| write(id).is_ok()).then_some(())
    });
    // Nothing that was acknowledged is lost by a crash right after.
    cluster.nodes[0].kill();
    cluster.start_all();
    let after = block_on(async { ids(&cluster.session(&[0]).await).await });
    assert!(
        (0..200).chain(2000..2100).all(|id| after.contains(&id)),
        "{after:?}"
    );
}
