//! More at once than a node's budget has room for.

use starling::config::Settings;
use starling_client::{Prepared, Session};

use crate::harness::{Cluster, PATIENCE, block_on, create_table_of, until};

/// The smallest budget there is, in MiB: its largest pools are 4 MiB.
const BUDGET_MIB: usize = 16;
const VALUE_BYTES: usize = 1 << 20;
const VALUES: i32 = 48;

/// How far the smallest pools may be exceeded: by what one statement that is let in without room reads.
const SLACK_BYTES: usize = 3 * VALUE_BYTES;

#[test]
fn a_flood_takes_turns_and_small_requests_go_past_it() {
    let settings = Settings {
        in_flight_mib: Some(BUDGET_MIB),
        ..Settings::default()
    };
    let cluster = Cluster::start_with(3, &settings);
    block_on(async {
        let session = cluster.patient_session(&[0, 1, 2]).await;
        create_table_of(&session, "id int PRIMARY KEY, v text").await;
        session
            .query("CREATE TABLE k.small (id int PRIMARY KEY, v int)")
            .await
            .unwrap();
        let insert = session
            .prepare("INSERT INTO k.t (id, v) VALUES (?, ?)")
            .await
            .unwrap()
            .with_timeout(PATIENCE);
        let select = session
            .prepare("SELECT v FROM k.t WHERE id = ?")
            .await
            .unwrap()
            .with_timeout(PATIENCE);
        let beside = small_requests(&session);
        let writes = (0..VALUES).map(|id| write(&session, &insert, id));
        let reads = (0..VALUES).map(|id| read(&session, &select, id));
        let flood = async {
            futures::future::join_all(writes).await;
            futures::future::join_all(reads).await;
        };
        // The flood ends; the small requests go on until then.
        tokio::select! {
            ended = tokio::time::timeout(PATIENCE, flood) => ended.expect("the flood ends"),
            () = beside => unreachable!("they have no end"),
        }
    });
    let mut waits = 0;
    for node in &cluster.nodes {
        let pools = until("everything is given back", || {
            let budget = node.status()?.budget;
            budget
                .iter()
                .all(|pool| pool.held == 0 && pool.waiting == 0)
                .then_some(budget)
        });
        for pool in &pools {
            assert!(pool.peak <= pool.limit + SLACK_BYTES, "{pool:?}");
        }
        waits += pools.iter().map(|pool| pool.waits).sum::<u64>();
        let peak: usize = pools.iter().map(|pool| pool.peak).sum();
        assert!(peak <= (BUDGET_MIB << 20) + SLACK_BYTES, "{pools:?}");
    }
    assert!(waits > 0, "it was a flood");
}

async fn write(session: &Session, insert: &Prepared, id: i32) {
    let value: String = std::iter::repeat_n(letter(id), VALUE_BYTES).collect();
    session.execute(insert, (id, value)).await.unwrap();
}

async fn read(session: &Session, select: &Prepared, id: i32) {
    let rows = session.execute(select, (id,)).await.unwrap().rows().unwrap();
    let (value,) = rows.first::<(String,)>().unwrap().unwrap();
    assert_eq!(value.len(), VALUE_BYTES);
    assert!(value.chars().all(|found| found == letter(id)));
}

fn letter(id: i32) -> char {
    char::from(b'a' + (id % 26) as u8)
}

/// Without end, and none fails.
async fn small_requests(session: &Session) {
    let insert = session
        .prepare("INSERT INTO k.small (id, v) VALUES (?, ?)")
        .await
        .unwrap()
        .with_timeout(PATIENCE);
    for id in (0..100).cycle() {
        session.execute(&insert, (id, id)).await.unwrap();
    }
}
