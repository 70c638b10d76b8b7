//! Bytes that go bad on one node's disk: the cluster finds them, whether they are read or not, and mends them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use starling_cql::{QueryParameters, QueryResult};
use starling_model::{Consistency, PartitionPage, TableId};
use starling_replication::Store;
use starling_sim::{
    cluster::{Cluster, ClusterSettings, Request},
    executor::{Executor, Handle},
    network::Network,
    random::Random,
    reach::Factors,
    store::StoreSettings,
    trace::Trace,
};

const NODES: usize = 3;
const ROWS: i32 = 300;
const PATIENCE: Duration = Duration::from_mins(10);

/// The node whose disk rots. The others have all data, so none is lost.
const VICTIM: usize = 2;

async fn query(cluster: &Cluster, node: usize, text: String, level: Consistency) -> Option<QueryResult> {
    let parameters = QueryParameters::with_consistency(level);
    let executed = cluster
        .request(node, Request::Query(text, parameters), PATIENCE)
        .await;
    executed.ok().map(|executed| executed.result)
}

async fn insert(cluster: &Cluster, handle: &Handle, row: i32) {
    let text = format!("INSERT INTO k.t (id, v) VALUES ({row}, 'the value of row {row}, some bytes long')");
    // A node that begins again is not asked.
    while query(cluster, 0, text.clone(), Consistency::Quorum)
        .await
        .is_none()
    {
        handle.sleep(Duration::from_millis(200)).await;
    }
}

async fn table(cluster: &Cluster) -> TableId {
    let text = "SELECT id FROM system_schema.tables WHERE keyspace_name = 'k' AND table_name = 't'";
    let Some(QueryResult::Rows(rows)) = query(cluster, 0, text.to_owned(), Consistency::One).await else {
        panic!("there is no schema table");
    };
    let id = rows.rows[0][0].as_deref().unwrap();
    TableId(u128::from_be_bytes(id.try_into().unwrap()))
}

/// Turns a bit in each of the victim's tables, anywhere in the file; how many those are.
fn rot(cluster: &Cluster, random: &mut Random) -> usize {
    let disk = cluster.disk(VICTIM);
    let tables: Vec<PathBuf> = disk
        .paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "table"))
        .collect();
    for table in &tables {
        let length = disk.fs().read(table).unwrap().len() as u64;
        disk.corrupt(table, random.below(length), 1 << random.below(8))
            .unwrap();
    }
    tables.len()
}

fn dump(cluster: &Cluster, node: usize, table: TableId) -> Option<Vec<PartitionPage>> {
    cluster.store(node)?.dump(table).ok()
}

/// Waits until nothing is damaged that anybody knows of, and everything can be read.
async fn await_mended(cluster: &Cluster, handle: &Handle, table: TableId) {
    let end = handle.now() + PATIENCE;
    loop {
        let damaged = match cluster.store(VICTIM) {
            Some(store) => store.damaged().await.map_or(1, |damaged| damaged.len()),
            None => 1,
        };
        if damaged == 0 && dump(cluster, VICTIM, table).is_some() {
            return;
        }
        assert!(handle.now() < end, "{damaged} pieces are still damaged");
        handle.sleep(Duration::from_secs(1)).await;
    }
}

async fn play(cluster: Cluster, handle: Handle, mut random: Random) {
    for node in 0..NODES {
        cluster.start(node).await.unwrap();
    }
    assert!(cluster.await_whole(PATIENCE).await);
    let keyspace =
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
    for text in [keyspace, "CREATE TABLE k.t (id int PRIMARY KEY, v text)"] {
        query(&cluster, 0, text.to_owned(), Consistency::Quorum)
            .await
            .unwrap();
    }
    assert!(cluster.await_whole(PATIENCE).await);
    for row in 0..ROWS {
        insert(&cluster, &handle, row).await;
    }
    handle.sleep(Duration::from_secs(30)).await;
    let table = table(&cluster).await;

    // The power fails, and what comes back is not what was stored.
    cluster.crash(VICTIM);
    let rotten = rot(&cluster, &mut random);
    assert!(rotten > 0, "nothing was flushed");
    cluster.start(VICTIM).await.unwrap();
    for row in ROWS..ROWS + 50 {
        insert(&cluster, &handle, row).await;
    }
    assert!(cluster.await_whole(PATIENCE).await);
    // Nobody reads: it is the scrub that finds what the start did not.
    handle.sleep(Duration::from_secs(200)).await;
    await_mended(&cluster, &handle, table).await;

    let whole = dump(&cluster, 0, table).unwrap();
    assert_eq!(whole.len(), (ROWS + 50) as usize);
    assert_eq!(dump(&cluster, VICTIM, table).unwrap(), whole);
    assert_eq!(cluster.failures(), Vec::<String>::new());
    // And once more from what the victim's disk has by then.
    cluster.crash(VICTIM);
    cluster.start(VICTIM).await.unwrap();
    assert!(cluster.await_whole(PATIENCE).await);
    await_mended(&cluster, &handle, table).await;
    assert_eq!(dump(&cluster, VICTIM, table).unwrap(), whole);
    for node in 0..NODES {
        cluster.crash(node);
    }
}

#[test]
fn rot_on_one_node_is_found_and_mended_from_the_others() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let mut store = StoreSettings::random(&mut random);
        store.engine.scrub_seconds = 60;
        store.engine.memtable_bytes = 2048;
        let settings = ClusterSettings {
            nodes: NODES,
            spares: 0,
            factors: Factors::simple(NODES),
            store,
            vnodes: 4,
            hint_age: Duration::from_hours(1),
            clock_skew: Duration::from_secs(22),
            repair_interval: Some(Duration::from_hours(1)),
            leaf_rows: 256,
            limits: None,
            bug: None,
        };
        let mut executor = Executor::new(random.fork(), Arc::new(Trace::new(None)), 100_000_000);
        let handle = executor.handle().clone();
        let network = Network::new(handle.clone());
        let cluster = Cluster::new(handle.clone(), network, &mut random, settings);
        executor
            .run(play(cluster, handle, random))
            .unwrap_or_else(|stuck| panic!("seed {seed}: {stuck}"));
    }
}
