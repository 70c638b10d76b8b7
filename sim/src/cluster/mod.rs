//! The nodes: the real [`Node`] on simulated machines that can lose their power at any time.

mod machine;
mod node_door;
mod residents;
mod service;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_cql::Error;
use starling_model::TokenRange;
use starling_replication::{Config, Executed, Node, NodeStatus, Repair, budget::Budget};

use self::machine::Machine;
pub use self::{
    machine::StartFailure,
    node_door::Request,
    residents::{RingCommand, Role},
};
use crate::{
    bug::{self, Bug},
    checkers::ownership::Watch,
    disk::Disk,
    env::SimEnv,
    executor::{First, Handle, first, oneshot},
    network::Network,
    random::Random,
    reach::Factors,
    store::{SimStore, StoreSettings},
};

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// How many nodes it has at first.
    pub nodes: usize,
    /// How many machines there are that may join later.
    pub spares: usize,
    /// How many replicas each partition has: where it names datacenters the machines stand in them, one after the other.
    pub factors: Factors,
    /// How each stores.
    pub store: StoreSettings,
    /// Tokens of each node.
    pub vnodes: u32,
    /// How long hints are kept: where it is short repair has something to do, and tombstones are purged.
    pub hint_age: Duration,
    /// How far apart the clocks of two nodes may be.
    pub clock_skew: Duration,
    /// How long a round of repair takes; there is none, if absent.
    pub repair_interval: Option<Duration>,
    /// Rows that have one digest, at most: few, so that digests are kept although there are few rows.
    pub leaf_rows: u64,
    /// What each node carries out and holds at a time; as much as in production, if absent.
    pub limits: Option<Limits>,
    /// A bug that all nodes have, and the checkers should find.
    pub bug: Option<Bug>,
}

/// What a node carries out and holds at a time, and refuses beyond that as overloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests of clients.
    pub coordinated: usize,
    /// Requests of peers.
    pub served: usize,
    /// Bytes of requests, answers and pages.
    pub bytes: usize,
}

impl Limits {
    /// Few enough for a handful of clients to meet them.
    pub fn random(random: &mut Random) -> Self {
        Self {
            coordinated: 1 + random.index(4),
            served: 3 + random.index(10),
            bytes: 16 << 20 << random.below(3),
        }
    }
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
    watch: Watch,
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
        let machines = (0..settings.nodes + settings.spares)
            .map(|number| {
                let role = if number < settings.nodes {
                    Role::Resident
                } else {
                    Role::Spare
                };
                let datacenter = number % settings.factors.datacenters().max(1);
                Machine::new(number, (role, datacenter), Disk::new(random.fork()), settings.bug)
            })
            .collect();
        let watch = Watch::default();
        let watcher = watch.clone();
        handle.watch(Box::new(move |group| watcher.look(group)));
        Self {
            inner: Arc::new(Inner {
                handle,
                network,
                settings,
                machines,
                watch,
                failures: Mutex::default(),
            }),
        }
    }

    /// How many machines there are.
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

    /// The datacenter that a machine stands in.
    pub fn datacenter(&self, number: usize) -> usize {
        self.inner.machines[number].datacenter
    }

    /// How it was made.
    pub fn settings(&self) -> &ClusterSettings {
        &self.inner.settings
    }

    /// The network between the nodes.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// Who looks at what the nodes believe of the ring.
    pub fn watch(&self) -> &Watch {
        &self.inner.watch
    }

    /// A node's disk.
    pub fn disk(&self, number: usize) -> &Disk {
        &self.inner.machines[number].disk
    }

    /// Whether something rotted on any disk.
    pub fn has_rotted(&self) -> bool {
        self.inner
            .machines
            .iter()
            .any(|machine| machine.disk.has_rotted())
    }

    /// On how many disks beside this node's something of these tokens rotted.
    pub fn rotted_elsewhere(&self, number: usize, tokens: TokenRange) -> usize {
        let others = (0..self.len()).filter(|other| *other != number);
        others
            .filter(|other| self.disk(*other).rotted().touches(tokens))
            .count()
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

    /// Whom a node asks that knows nobody. Who is there first founds the cluster; whoever comes later asks everybody, as
    /// an operator names nodes that are there: all of the first ones may have left.
    fn seeds(&self, number: usize) -> Vec<SocketAddr> {
        let settings = &self.inner.settings;
        if number < settings.nodes {
            return vec![self.address(0)];
        }
        let others = (0..settings.nodes + settings.spares).filter(|other| *other != number);
        others.map(|other| self.address(other)).collect()
    }

    /// The settings of a node's logic.
    fn config(&self, number: usize) -> Config {
        let machine = &self.inner.machines[number];
        let mut config = Config::new("simulated", machine.address, machine.cql);
        config.seeds = self.seeds(number);
        config.vnodes = self.inner.settings.vnodes;
        config.shards = self.inner.settings.store.shards;
        let fate = machine.fate.lock();
        if let Some(name) = self.inner.settings.factors.name(machine.datacenter) {
            config.datacenter = name;
        }
        config.rack = format!("rack{}", fate.rack);
        config.replace = fate.replaces.map(|dead| self.address(dead).to_string());
        drop(fate);
        if let Some(limits) = self.inner.settings.limits {
            config.bounds.coordinated = limits.coordinated;
            config.bounds.served = limits.served;
            config.budget = Arc::new(Budget::new(limits.bytes));
        }
        config.bounds.hint_age = self.inner.settings.hint_age;
        // Small disks fill up to the last byte.
        config.bounds.hint_reserve = 0;
        config.bounds.hint_slack = self.inner.settings.clock_skew;
        let repair = Repair::default();
        config.repair = Repair {
            enabled: self.inner.settings.repair_interval.is_some(),
            interval: self.inner.settings.repair_interval.unwrap_or(repair.interval),
            clock_skew: self.inner.settings.clock_skew,
            leaf_rows: self.inner.settings.leaf_rows,
            ..repair
        };
        config
    }

    /// Sends a request to a node as a client does, and waits at most `patience` for the answer. Who gives up goes away: as in
    /// production, the node drops the request where it is.
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
        if let Some(error) = bug::refuses(self.inner.settings.bug, &request, self.inner.handle.now()) {
            return Err(NoAnswer::Error(error));
        }
        let (sender, receiver) = oneshot::channel();
        // It is dropped when this ends.
        let (_client, is_gone) = oneshot::channel::<()>();
        self.inner.handle.spawn(group, async move {
            if let First::Left(outcome) = first(request.carry_out(&node), is_gone).await {
                sender.send(outcome);
            }
        });
        let sleep = self.inner.handle.sleep(patience);
        match first(receiver, sleep).await {
            First::Left(Some(Ok(executed))) => Ok(executed),
            First::Left(Some(Err(error))) => Err(NoAnswer::Error(error)),
            First::Left(None) | First::Right(()) => Err(NoAnswer::Lost),
        }
    }
}
