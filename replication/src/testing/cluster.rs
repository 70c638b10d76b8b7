//! Nodes `n1`, `n2`, ... on addresses that end so, and the data that tests write to them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use starling_cql::{Error, QueryParameters, Statement};
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, Consistency, DecoratedKey, KeyRange, Limits,
    Marker, Mutation, Page, Partition, ReadCommand, Row, Seconds, TableId, Timestamp,
};
use starling_ring::Partitioner;
use starling_sstable::fs::MemoryFs;

use super::{Link, MapStore, TestEnv, World};
use crate::{
    config::Config,
    env::Env,
    message::{Hint, Request},
    node::{Executed, Node},
    peers::AskError,
    start_error::StartError,
};

pub(crate) struct TestCluster {
    pub(crate) world: World,
    pub(crate) envs: Vec<TestEnv>,
    /// `None`: it is down.
    pub(crate) nodes: Vec<Option<Arc<Node<TestEnv>>>>,
}

pub(crate) fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(number).expect("few nodes")], 7000))
}

impl TestCluster {
    /// So many nodes that know each other; the first is the seed.
    pub(crate) fn new(size: usize) -> Self {
        let mut cluster = Self::prepared(size);
        for number in 1..=size {
            cluster.start(number).expect("a node starts");
        }
        cluster.run_for(Duration::from_secs(3));
        for number in 1..=size {
            assert!(cluster.node(number).is_ready(), "n{number} is ready");
        }
        cluster
    }

    /// So many nodes, none of them started.
    pub(crate) fn prepared(size: usize) -> Self {
        let world = World::default();
        let envs = (1..=size).map(|n| TestEnv::new(&world, address(n))).collect();
        Self {
            world,
            envs,
            nodes: vec![None; size],
        }
    }

    /// A node of the cluster. Nothing is repaired unless a test asks for it: what a test looks at stays as it is.
    pub(crate) fn config(number: usize) -> Config {
        let cql = SocketAddr::from(([10, 0, 0, u8::try_from(number).expect("few nodes")], 9042));
        let mut config = Config::new("test", address(number), cql);
        config.seeds = vec![address(1)];
        config.repair.enabled = false;
        config
    }

    pub(crate) fn start(&mut self, number: usize) -> Result<(), StartError> {
        self.start_with(number, Self::config(number))
    }

    pub(crate) fn start_with(&mut self, number: usize, config: Config) -> Result<(), StartError> {
        let env = self.envs[number - 1].clone();
        let node = self.world.executor.run(Node::start(env, config))?;
        let handler = Arc::clone(&node);
        self.world.listen(
            address(number),
            Arc::new(move |from, request| handler.handle(from, request).boxed()),
        );
        self.nodes[number - 1] = Some(node);
        Ok(())
    }

    /// The process dies: it answers nobody, and forgets what is not on its disk. Its tasks are cut off from
    /// the network, and come to no end.
    pub(crate) fn kill(&mut self, number: usize) {
        self.world.hang_up(address(number));
        if let Some(node) = self.nodes[number - 1].take() {
            for other in 1..=self.envs.len() {
                self.world.set_link(address(number), address(other), Link::Silent);
            }
            node.halt();
            self.envs[number - 1].crash();
        }
    }

    /// A node that was killed reaches the others again.
    pub(crate) fn reconnect(&self, number: usize) {
        for other in 1..=self.envs.len() {
            self.world.set_link(address(number), address(other), Link::Good);
        }
    }

    /// Starts a node that was killed.
    pub(crate) fn restart(&mut self, number: usize) {
        self.reconnect(number);
        self.start(number).expect("a node starts again");
    }

    pub(crate) fn node(&self, number: usize) -> &Arc<Node<TestEnv>> {
        self.nodes[number - 1].as_ref().expect("the node is up")
    }

    pub(crate) fn run_for(&self, duration: Duration) {
        self.world.executor.run_for(duration);
    }

    /// Nothing passes between the two groups, or everything again.
    pub(crate) fn partition(&self, left: &[usize], right: &[usize], link: Link) {
        for a in left {
            for b in right {
                self.world.set_link(address(*a), address(*b), link);
                self.world.set_link(address(*b), address(*a), link);
            }
        }
    }

    pub(crate) fn cql(&self, number: usize, query: &str) -> Result<Executed, Error> {
        let node = Arc::clone(self.node(number));
        let statement = Statement::Text(query.to_owned());
        self.world.executor.run(async move {
            let parameters = QueryParameters::with_consistency(Consistency::Quorum);
            node.execute(statement, parameters, false).await
        })
    }

    /// A keyspace `ks` with this replication factor, and a table `ks.t` in it.
    pub(crate) fn make_table(&self, factor: usize) -> TableId {
        self.cql(
            1,
            &format!(
                "CREATE KEYSPACE ks WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
            ),
        )
        .expect("the keyspace is made");
        self.cql(1, "CREATE TABLE ks.t (k text, c int, v text, PRIMARY KEY (k, c))")
            .expect("the table is made");
        self.table(1)
    }

    pub(crate) fn table(&self, number: usize) -> TableId {
        let snapshot = self.node(number).views.load();
        snapshot.schema.table("ks", "t").expect("the table exists").id
    }

    pub(crate) fn write(&self, number: usize, mutation: Mutation, level: Consistency) -> Result<(), Error> {
        let (coordinator, now) = (
            Arc::clone(&self.node(number).coordinator),
            self.world.executor.now(),
        );
        self.world.executor.run(async move {
            coordinator
                .write(
                    vec![mutation],
                    level,
                    starling_cql::WriteType::Simple,
                    now,
                    &crate::tracing::Tracer::OFF,
                )
                .await
        })
    }

    pub(crate) fn read(
        &self,
        number: usize,
        command: ReadCommand,
        level: Consistency,
    ) -> Result<Page, Error> {
        let (coordinator, now) = (
            Arc::clone(&self.node(number).coordinator),
            self.world.executor.now(),
        );
        self.world.executor.run(async move {
            let claim = coordinator.claim();
            coordinator
                .read(command, level, claim, now, &crate::tracing::Tracer::OFF)
                .await
        })
    }

    /// Gives a node a hint for row 1 of each partition, as whoever kept them would.
    pub(crate) fn deliver_hints(&self, to: usize, table: TableId, names: &[String]) {
        self.offer_hints(to, table, names).expect("they are taken");
    }

    /// The same, and whether they are taken.
    pub(crate) fn offer_hints(&self, to: usize, table: TableId, names: &[String]) -> Result<(), AskError> {
        let at = self.now();
        let hints = names.iter().map(|name| Hint {
            at,
            mutation: insert(table, name, 1, "x", 10).encode(),
        });
        let request = Request::Hints(hints.collect());
        let peers = Arc::clone(&self.node(1).peers);
        let taken = self.world.executor.run(async move {
            peers
                .ask_address(
                    address(to),
                    request,
                    Duration::from_secs(10),
                    &crate::tracing::Tracer::OFF,
                )
                .await
        });
        taken.map(drop)
    }

    /// A node's own storage.
    pub(crate) fn store(&self, number: usize) -> &MapStore {
        &self.envs[number - 1].store
    }

    /// What a node's own storage has of a partition.
    pub(crate) fn stored(&self, number: usize, table: TableId, key: &DecoratedKey) -> Partition {
        self.envs[number - 1].store.partition(table, key)
    }

    pub(crate) fn disk(&self, number: usize) -> &MemoryFs {
        &self.envs[number - 1].memory
    }

    pub(crate) fn now(&self) -> Seconds {
        self.envs[0].wall().seconds()
    }
}

pub(crate) fn key(name: &str) -> DecoratedKey {
    let key = Bytes::copy_from_slice(name.as_bytes());
    DecoratedKey {
        token: Partitioner::Murmur3.token(&key),
        key,
    }
}

pub(crate) fn clustering(number: u32) -> Clustering {
    Clustering(Bytes::copy_from_slice(&number.to_be_bytes()))
}

pub(crate) fn row_of(value: &str, timestamp: i64) -> Row {
    let mut row = Row {
        marker: Some(Marker {
            timestamp: Timestamp(timestamp),
            expiry: None,
        }),
        ..Row::default()
    };
    row.add(Cell {
        column: ColumnId(1),
        path: None,
        timestamp: Timestamp(timestamp),
        value: CellValue::Live {
            value: Bytes::copy_from_slice(value.as_bytes()),
            expiry: None,
        },
    });
    row
}

/// A row of a partition, by its number.
pub(crate) fn insert(table: TableId, name: &str, row: u32, value: &str, timestamp: i64) -> Mutation {
    let mut partition = Partition::default();
    partition.add_row(clustering(row), row_of(value, timestamp));
    Mutation {
        table,
        key: key(name),
        partition,
    }
}

pub(crate) fn whole_partition(table: TableId, name: &str, now: Seconds) -> ReadCommand {
    ReadCommand {
        table,
        keys: KeyRange::Partition(key(name)),
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits::NONE,
        now,
    }
}

/// The live rows of a page as `key/row=value`.
pub(crate) fn rows_of(page: &Page, now: Seconds) -> Vec<String> {
    let mut rows = Vec::new();
    for part in &page.partitions {
        for (clustering, row) in part.partition.rows.iter().filter(|(_, row)| row.is_live(now)) {
            let number = u32::from_be_bytes(clustering.0[..4].try_into().expect("a test's clustering"));
            let value = row.cells.iter().find_map(|cell| match &cell.value {
                CellValue::Live { value, .. } => Some(String::from_utf8_lossy(value).into_owned()),
                CellValue::Tombstone(_) => None,
            });
            let name = String::from_utf8_lossy(&part.key.key).into_owned();
            rows.push(format!("{name}/{number}={}", value.unwrap_or_default()));
        }
    }
    rows
}
