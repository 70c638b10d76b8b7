//! The nodes: the real [`Node`] on simulated machines that can lose their power at any time.

mod machine;
mod node_door;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_cql::Error;
use starling_replication::{Config, Executed, Node, NodeStatus};

use self::machine::Machine;
pub use self::{machine::StartFailure, node_door::Request};
use crate::{
    bug::Bug,
    disk::Disk,
    env::SimEnv,
    executor::{Handle, oneshot},
    network::Network,
    random::Random,
    store::{SimStore, StoreSettings},
};

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// How many nodes it has.
    pub nodes: usize,
    /// How each stores.
    pub store: StoreSettings,
    /// Tokens of each node.
    pub vnodes: u32,
    /// A bug that the checkers should find, and whether all nodes have it or the first alone.
    pub bug: Option<Bug>,
}

/// All nodes of a simulation, up or down. Clones share them.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    network: Network,
    settings: ClusterSettings,
    machines: Vec<Machine>,
    failures: Mutex<Vec<String>>,
}

/// Why a client has no answer to its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The node is down: nothing was done.
    Down,
    /// The node died, or the client waited long enough: anything may have been done.
    Lost,
    /// The node refused or failed.
    Error(Error),
}

impl Cluster {
    /// Machines without power.
    pub fn new(handle: Handle, network: Network, random: &mut Random, settings: ClusterSettings) -> Self {
        let machines = (0..settings.nodes)
            .map(|number| Machine::new(number, Disk::new(random.fork())))
            .collect();
        Self {
            inner: Arc::new(Inner {
                handle,
                network,
                settings,
                machines,
                failures: Mutex::default(),
            }),
        }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.inner.machines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inner.machines.is_empty()
    }

    /// The internode address of a node.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.inner.machines[number].address
    }

    /// The network between the nodes.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// A node's disk.
    pub fn disk(&self, number: usize) -> &Disk {
        &self.inner.machines[number].disk
    }

    /// Whether a node has power.
    pub fn is_on(&self, number: usize) -> bool {
        self.inner.machines[number].is_on()
    }

    /// Sets how far a node's wall clock is ahead, in microseconds.
    pub fn set_skew(&self, number: usize, micros: i64) {
        self.inner.machines[number].clock.set_skew(micros);
    }

    /// What a node says of itself; `None` while it is down or starting.
    pub fn status(&self, number: usize) -> Option<NodeStatus> {
        self.inner.machines[number].node().map(|(node, _)| node.status())
    }

    /// A node's storage; `None` while it is down or starting.
    pub fn store(&self, number: usize) -> Option<SimStore> {
        self.inner.machines[number].node().map(|(_, store)| store)
    }

    /// A node's logic; `None` while it is down or starting.
    pub fn node(&self, number: usize) -> Option<Arc<Node<SimEnv>>> {
        self.inner.machines[number].node().map(|(node, _)| node)
    }

    /// What went wrong at starts that should have succeeded.
    pub fn failures(&self) -> Vec<String> {
        self.inner.failures.lock().clone()
    }

    /// Whether every node serves, sees all others up, and agrees with them on the schema.
    pub fn is_whole(&self) -> bool {
        (0..self.len()).all(|number| {
            self.status(number).is_some_and(|status| {
                status.ready
                    && status.schema_agreed
                    && status.members.len() == self.len()
                    && status.members.iter().all(|member| member.up && member.joined)
            })
        })
    }

    /// Waits until the cluster is whole; false if it is not after `limit`.
    pub async fn await_whole(&self, limit: Duration) -> bool {
        let end = self.inner.handle.now() + limit;
        while !self.is_whole() {
            if self.inner.handle.now() > end {
                return false;
            }
            self.inner.handle.sleep(Duration::from_millis(100)).await;
        }
        true
    }

    /// The settings of a node's logic.
    fn config(&self, number: usize) -> Config {
        let machine = &self.inner.machines[number];
        let mut config = Config::new("simulated", machine.address, machine.cql);
        config.seeds = vec![self.address(0)];
        config.vnodes = self.inner.settings.vnodes;
        config.shards = self.inner.settings.store.shards;
        config.rack = format!("rack{}", number % 3 + 1);
        config
    }

    /// Sends a request to a node as a client does, and waits at most `patience` for the answer.
    pub async fn request(
        &self,
        number: usize,
        request: Request,
        patience: Duration,
    ) -> Result<Executed, NoAnswer> {
        let machine = &self.inner.machines[number];
        let Some((node, group)) = machine.serving() else {
            return Err(NoAnswer::Down);
        };
        let (sender, receiver) = oneshot::channel();
        self.inner.handle.spawn(group, async move {
            sender.send(request.carry_out(&node).await);
        });
        let sleep = self.inner.handle.sleep(patience);
        match crate::executor::first(receiver, sleep).await {
            crate::executor::First::Left(Some(Ok(executed))) => Ok(executed),
            crate::executor::First::Left(Some(Err(error))) => Err(NoAnswer::Error(error)),
            crate::executor::First::Left(None) | crate::executor::First::Right(()) => Err(NoAnswer::Lost),
        }
    }
}
