//! Clients of a stock driver at every level, each through one node alone and without a second try.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    policies::{
        load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
        retry::FallthroughRetryPolicy,
    },
    statement::{Consistency, Statement},
};
use tokio::{sync::RwLock, task::JoinHandle};

use crate::{
    harness::{Cluster, PATIENCE, until},
    topology::ROWS,
};

/// What a row is written at, and read at right afterwards.
#[derive(Debug, Clone, Copy)]
struct Step {
    write: Consistency,
    read: Consistency,
    /// The two levels have a replica in common.
    sees: bool,
}

const fn step(write: Consistency, read: Consistency, sees: bool) -> Step {
    Step { write, read, sees }
}

/// Which levels are used in turn. Three replicas in one datacenter are taken for granted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Levels {
    /// Every level: all replicas are up.
    AllUp,
    /// Those that one replica less does not hinder.
    OneDown,
    /// Those at which nothing is lost with one replica's disk.
    Quorums,
}

impl Levels {
    fn steps(self) -> &'static [Step] {
        use Consistency::{All, LocalOne, LocalQuorum, One, Quorum};
        const ALL_UP: &[Step] = &[
            step(One, All, true),
            step(All, LocalOne, true),
            step(Quorum, LocalQuorum, true),
            step(LocalOne, All, true),
            step(LocalQuorum, Quorum, true),
            step(All, One, true),
        ];
        const ONE_DOWN: &[Step] = &[
            step(One, Quorum, false),
            step(Quorum, LocalOne, false),
            step(LocalQuorum, LocalQuorum, true),
            step(LocalOne, LocalQuorum, false),
            step(Quorum, One, false),
            step(Quorum, Quorum, true),
        ];
        const QUORUMS: &[Step] = &[
            step(Quorum, LocalQuorum, true),
            step(LocalQuorum, One, false),
            step(Quorum, Quorum, true),
            step(LocalQuorum, LocalOne, false),
        ];
        match self {
            Self::AllUp => ALL_UP,
            Self::OneDown => ONE_DOWN,
            Self::Quorums => QUORUMS,
        }
    }
}

/// What all lanes share.
#[derive(Debug)]
struct Shared {
    /// Held for reading while a lane goes through the levels.
    levels: RwLock<Levels>,
}

#[derive(Debug)]
struct Lane {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    work: JoinHandle<Vec<i32>>,
}

/// Clients, one through each of some nodes. None of their requests may fail.
#[derive(Debug)]
pub(crate) struct Lanes {
    shared: Arc<Shared>,
    running: BTreeMap<usize, Lane>,
    begun: i32,
    /// The rows that lanes that have ended wrote.
    written: Vec<i32>,
}

impl Lanes {
    /// Table `k.t` and its first rows are there, on all replicas.
    pub(crate) async fn through(cluster: &Cluster, nodes: &[usize]) -> Self {
        let levels = RwLock::new(Levels::AllUp);
        let mut lanes = Self {
            shared: Arc::new(Shared { levels }),
            running: BTreeMap::new(),
            begun: 0,
            written: Vec::new(),
        };
        for node in nodes {
            lanes.begin(cluster, *node).await;
        }
        lanes
    }

    /// Another one.
    pub(crate) async fn begin(&mut self, cluster: &Cluster, node: usize) {
        self.begun += 1;
        let session = session(cluster, node).await;
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let work = tokio::spawn(work(
            session,
            node,
            self.begun * 1_000_000,
            Arc::clone(&self.shared),
            Arc::clone(&stop),
            Arc::clone(&rounds),
        ));
        let before = self.running.insert(node, Lane { stop, rounds, work });
        assert!(before.is_none(), "node {node} has one");
    }

    /// Ends the one through a node that is about to stop or to go.
    pub(crate) async fn end(&mut self, node: usize) {
        let lane = self.running.remove(&node).unwrap();
        lane.stop.store(true, Ordering::Relaxed);
        self.written.extend(lane.work.await.unwrap());
    }

    /// From now on these levels; what was begun at others has ended.
    pub(crate) async fn use_levels(&self, levels: Levels) {
        *self.shared.levels.write().await = levels;
    }

    /// Waits until each has gone through all levels, from the first to the last, since now.
    pub(crate) fn go_round(&self) {
        // The one that is under way began before.
        let wanted = |lane: &Lane| lane.rounds.load(Ordering::Relaxed) + 2;
        let wanted: BTreeMap<usize, u64> = self
            .running
            .iter()
            .map(|(node, lane)| (*node, wanted(lane)))
            .collect();
        until("all clients have gone through all levels", || {
            for (node, lane) in &self.running {
                assert!(!lane.work.is_finished(), "a request through node {node} failed");
            }
            let done = |(node, lane): (&usize, &Lane)| lane.rounds.load(Ordering::Relaxed) >= wanted[node];
            self.running.iter().all(done).then_some(())
        });
    }

    /// Ends all; the rows that were acknowledged, at whatever level.
    pub(crate) async fn stop(mut self) -> Vec<i32> {
        for node in self.running.keys().copied().collect::<Vec<_>>() {
            self.end(node).await;
        }
        self.written
    }
}

/// A session that sends all to one node, once.
async fn session(cluster: &Cluster, node: usize) -> Session {
    let address = cluster.nodes[node].cql;
    let only = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::NodeAddress(address), None);
    let profile = ExecutionProfile::builder()
        .load_balancing_policy(only)
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .request_timeout(Some(PATIENCE))
        .build();
    SessionBuilder::new()
        .known_node_addr(address)
        .connection_timeout(PATIENCE)
        .default_execution_profile_handle(profile.into_handle())
        .build()
        .await
        .unwrap()
}

/// Writes rows from `first` on and reads each, and one of those that everybody has had from the beginning.
async fn work(
    session: Session,
    node: usize,
    first: i32,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
) -> Vec<i32> {
    let mut next = first;
    while !stop.load(Ordering::Relaxed) {
        let levels = shared.levels.read().await;
        for step in levels.steps() {
            let case = || format!("row {next} through node {node}, {step:?}");
            let insert = format!("INSERT INTO k.t (id, v) VALUES ({next}, {next})");
            let written = session.query_unpaged(at(insert, step.write), ()).await;
            written.unwrap_or_else(|error| panic!("{}: {error}", case()));
            let found = read(&session, next, step.read, &case).await;
            assert!(
                found == Some(next) || (found.is_none() && !step.sees),
                "{}: {found:?}",
                case()
            );
            let old = next % ROWS;
            let found = read(&session, old, step.read, &case).await;
            assert_eq!(found, Some(old), "{}", case());
            next += 1;
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    (first..next).collect()
}

fn at(text: String, level: Consistency) -> Statement {
    let mut statement = Statement::new(text);
    statement.set_consistency(level);
    statement
}

async fn read(session: &Session, id: i32, level: Consistency, case: &impl Fn() -> String) -> Option<i32> {
    let select = format!("SELECT v FROM k.t WHERE id = {id}");
    let result = session.query_unpaged(at(select, level), ()).await;
    let result = result.unwrap_or_else(|error| panic!("{}, reading {id}: {error}", case()));
    let rows = result.into_rows_result().unwrap();
    rows.maybe_first_row::<(i32,)>().unwrap().map(|(v,)| v)
}
