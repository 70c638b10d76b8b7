//! The coordinator: prepared statements on three nodes in one process, which are called as functions. `env` is their outside,
//! `store` their storage.
//!
//! What is measured goes from the bound values to the result: placement, messages of both ways, replicas, levels, merging.

mod env;
mod store;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::Criterion;
use futures::FutureExt;
use starling_cql::{QueryParameters, QueryResult, Statement, Values, request::Bound};
use starling_model::Consistency;
use starling_replication::{Config, Node};
use tokio::runtime::Runtime;

use env::{MemoryEnv, Network};

/// Nodes, and replicas of each row.
const NODES: u8 = 3;

/// How long they may take to find one another.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Rows that are read and written.
const ROWS: u64 = 1000;

/// A node that coordinates, and two others; with a table.
struct Cluster {
    runtime: Runtime,
    node: Arc<Node<MemoryEnv>>,
    _others: Vec<Arc<Node<MemoryEnv>>>,
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7000))
}

async fn start(number: u8, network: &Network) -> Arc<Node<MemoryEnv>> {
    let cql = SocketAddr::from(([10, 0, 0, number], 9042));
    let mut config = Config::new("bench", address(number), cql);
    config.seeds = vec![address(1)];
    config.repair.enabled = false;
    let env = MemoryEnv::new(address(number), network);
    let node = Node::start(env, config).await.expect("a node starts");
    let door = Arc::clone(&node);
    network.open(
        address(number),
        Arc::new(move |from, request| door.handle(from, request).boxed()),
    );
    node
}

impl Cluster {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let network = Network::default();
        let mut nodes = runtime.block_on(async {
            let mut nodes = Vec::new();
            for number in 1..=NODES {
                nodes.push(start(number, &network).await);
            }
            let deadline = Instant::now() + READY_WITHIN;
            let knows_all = |node: &Arc<Node<MemoryEnv>>| {
                let members = node.status().members;
                let up = members.iter().filter(|member| member.up && member.joined);
                node.is_ready() && up.count() == usize::from(NODES)
            };
            while !nodes.iter().all(knows_all) {
                assert!(Instant::now() < deadline, "the nodes do not find one another");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            nodes
        });
        let node = nodes.remove(0);
        let cluster = Self {
            runtime,
            node,
            _others: nodes,
        };
        for text in [
            "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
            "CREATE TABLE k.t (key blob PRIMARY KEY, value blob)",
        ] {
            let made = cluster.node.execute(
                Statement::Text(text.to_owned()),
                QueryParameters::with_consistency(Consistency::One),
                false,
            );
            cluster.runtime.block_on(made).expect("the schema changes");
        }
        cluster
    }

    fn prepare(&self, text: &str) -> Bytes {
        self.node.prepare(text, None).expect("it fits the schema").id
    }

    /// How long a statement takes so often, with other values each time; and its last result.
    fn run(
        &self,
        (id, level): (&Bytes, Consistency),
        rounds: u64,
        values: impl Fn(u64) -> Vec<Bytes>,
    ) -> (Duration, QueryResult) {
        self.runtime.block_on(async {
            let mut last = QueryResult::Void;
            let began = Instant::now();
            for round in 0..rounds {
                let mut parameters = QueryParameters::with_consistency(level);
                let bound = values(round).into_iter().map(|value| Bound::Value(Some(value)));
                parameters.values = Values::Positional(bound.collect());
                let done = self
                    .node
                    .execute(Statement::Prepared(id.clone()), parameters, false);
                last = done.await.expect("all replicas answer").result;
            }
            (began.elapsed(), last)
        })
    }
}

fn key(round: u64) -> Bytes {
    Bytes::copy_from_slice(&(round % ROWS).to_be_bytes())
}

/// A write and a read of one row, at ONE and at QUORUM.
pub(crate) fn statements(criterion: &mut Criterion) {
    let cluster = Cluster::start();
    let write = cluster.prepare("INSERT INTO k.t (key, value) VALUES (?, ?)");
    let read = cluster.prepare("SELECT value FROM k.t WHERE key = ?");
    let value = Bytes::from(vec![7; 100]);
    let written = |round| vec![key(round), value.clone()];
    cluster.run((&write, Consistency::All), ROWS, written);
    let mut group = criterion.benchmark_group("coordinator");
    for (level, name) in [(Consistency::One, "one"), (Consistency::Quorum, "quorum")] {
        group.bench_function(format!("write_{name}"), |b| {
            b.iter_custom(|rounds| cluster.run((&write, level), rounds, written).0);
        });
        group.bench_function(format!("read_{name}"), |b| {
            b.iter_custom(|rounds| {
                let (took, last) = cluster.run((&read, level), rounds, |round| vec![key(round)]);
                let QueryResult::Rows(found) = last else {
                    panic!("a SELECT returns rows");
                };
                assert_eq!(found.rows, [[Some(value.clone())]], "what was written is read");
                took
            });
        });
    }
    group.finish();
    let counters = cluster.node.status().counters;
    assert_eq!(counters.hints_written, 0, "every replica took every write");
}
