//! One machine: its disk and clock last, its node lives from start to crash.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use starling_model::NodeId;
use starling_replication::{Node, PeerRequest, StartError, message};

use super::{Cluster, Role};
use crate::{
    bug::{self, Bug, Treatment},
    checkers::ownership::Watch,
    disk::Disk,
    env::{Clock, SimEnv},
    executor::{Group, Handle, oneshot},
    network::Handler,
    store::SimStore,
    trace::Place,
};

/// A machine, with or without power.
pub(super) struct Machine {
    pub(super) address: SocketAddr,
    pub(super) cql: SocketAddr,
    pub(super) datacenter: usize,
    pub(super) disk: Disk,
    pub(super) clock: Arc<Clock>,
    pub(super) fate: Mutex<Fate>,
    power: Mutex<Power>,
}

/// What an operator decided about a machine, and what is known of it.
pub(super) struct Fate {
    pub(super) role: Role,
    pub(super) rack: usize,
    /// Whose place it takes when it starts for the first time.
    pub(super) replaces: Option<usize>,
    /// The host id of its node.
    pub(super) id: Option<NodeId>,
    /// When it lost its power last.
    pub(super) lost: Option<Duration>,
    /// When it was up again, if it is.
    pub(super) back: Option<Duration>,
}

enum Power {
    Off,
    Starting(Group),
    On(Group, Arc<Node<SimEnv>>, SimStore),
}

/// Why a node did not come up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartFailure {
    /// It has power already.
    #[error("the node is up already")]
    Up,
    /// It died again while it started.
    #[error("the node died while it started")]
    Died,
    /// What the last crash left can't be opened: recovery is broken.
    #[error("the storage can't be opened: {0}")]
    Storage(String),
    /// The node's logic refused.
    #[error("the node does not start: {0}")]
    Node(StartError),
}

impl Machine {
    pub(super) fn new(
        number: usize,
        (role, datacenter): (Role, usize),
        disk: Disk,
        bug: Option<Bug>,
    ) -> Self {
        bug::spoil(bug, &disk);
        let host = number as u16 + 1;
        let ip = [10, 0, (host >> 8) as u8, host as u8];
        Self {
            address: SocketAddr::from((ip, 7000)),
            cql: SocketAddr::from((ip, 9042)),
            datacenter,
            disk,
            clock: Arc::default(),
            fate: Mutex::new(Fate {
                role,
                rack: number % 3 + 1,
                replaces: None,
                id: None,
                lost: None,
                back: None,
            }),
            power: Mutex::new(Power::Off),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        !matches!(*self.power.lock(), Power::Off)
    }

    pub(super) fn node(&self) -> Option<(Arc<Node<SimEnv>>, SimStore)> {
        match &*self.power.lock() {
            Power::On(_, node, store) => Some((node.clone(), store.clone())),
            _ => None,
        }
    }

    pub(super) fn serving(&self) -> Option<(Arc<Node<SimEnv>>, Group)> {
        match &*self.power.lock() {
            Power::On(group, node, _) => Some((node.clone(), *group)),
            _ => None,
        }
    }
}

impl Cluster {
    /// Gives a node power and ends when it is up, or has failed.
    ///
    /// A failure of the storage to open is also kept in [`Cluster::failures`]: no crash may cause it, though a disk
    /// that is full or rots may.
    pub async fn start(&self, number: usize) -> Result<(), StartFailure> {
        let machine = &self.inner.machines[number];
        let handle = &self.inner.handle;
        let group = handle.group();
        {
            let mut power = machine.power.lock();
            if !matches!(*power, Power::Off) {
                return Err(StartFailure::Up);
            }
            *power = Power::Starting(group);
        }
        self.note(number, "start", String::new);
        self.inner.network.unmute(machine.address);
        let (sender, receiver) = oneshot::channel();
        let cluster = self.clone();
        handle.spawn(group, async move {
            sender.send(cluster.boot(number, group).await);
        });
        let result = receiver.await.unwrap_or(Err(StartFailure::Died));
        if let Err(failure) = &result {
            self.note(number, "no start", || failure.to_string());
            if let StartFailure::Storage(_) = failure
                && !machine.disk.is_ailing()
            {
                let text = format!("node {number}: {failure}");
                self.inner.failures.lock().push(text);
            }
            self.give_up(number, group);
        }
        result
    }

    /// The start, as a task of the new incarnation.
    async fn boot(&self, number: usize, group: Group) -> Result<(), StartFailure> {
        let machine = &self.inner.machines[number];
        let settings = &self.inner.settings;
        let handle = &self.inner.handle;
        let bug = settings.bug;
        bug::forget(bug, &machine.disk);
        let store = SimStore::open(handle, group, &machine.disk, &settings.store, bug).map_err(|error| {
            if machine.disk.is_dead() {
                StartFailure::Died
            } else {
                StartFailure::Storage(error.to_string())
            }
        })?;
        let env = SimEnv::new(
            handle.clone(),
            group,
            machine.address,
            self.inner.network.clone(),
            machine.clock.clone(),
            store.clone(),
            machine.disk.fs(),
        );
        let node = Node::start(env, self.config(number)).await.map_err(|error| {
            if machine.disk.is_dead() {
                StartFailure::Died
            } else {
                StartFailure::Node(error)
            }
        })?;
        let id = node.status().id;
        {
            let mut fate = machine.fate.lock();
            fate.id = Some(id);
            fate.back = Some(handle.now());
        }
        let watch = &self.inner.watch;
        watch.begins(group, number, id, &node);
        let clock = (handle.clone(), machine.clock.clone());
        let handler = handler(node.clone(), clock, (watch.clone(), group), bug);
        self.inner.network.attach(machine.address, number, group, handler);
        *machine.power.lock() = Power::On(group, node, store);
        self.note(number, "up", String::new);
        Ok(())
    }

    /// Ends an incarnation that could not start, unless something else ended it before.
    fn give_up(&self, number: usize, group: Group) {
        let still = matches!(*self.inner.machines[number].power.lock(), Power::Starting(own) if own == group);
        if still {
            self.crash(number);
        }
    }

    /// Cuts a node's power: its tasks end at once, its disk loses what was not synced.
    pub fn crash(&self, number: usize) {
        if self.end(number, "crash") {
            self.inner.machines[number].disk.crash();
        }
    }

    /// Kills a node's process: its tasks end at once, its disk keeps everything until the power fails.
    pub fn kill(&self, number: usize) {
        if self.end(number, "kill") {
            self.inner.machines[number].disk.kill();
        }
    }

    /// Ends an incarnation; false if there is none.
    fn end(&self, number: usize, how: &str) -> bool {
        let machine = &self.inner.machines[number];
        let power = std::mem::replace(&mut *machine.power.lock(), Power::Off);
        let group = match &power {
            Power::Off => return false,
            Power::Starting(group) | Power::On(group, ..) => *group,
        };
        self.note(number, how, String::new);
        {
            let mut fate = machine.fate.lock();
            (fate.lost, fate.back) = (Some(self.inner.handle.now()), None);
        }
        self.inner.handle.kill(group);
        self.inner.watch.ends(group);
        self.inner.network.detach(machine.address);
        drop(power);
        true
    }

    /// Lets a node's disk die in the middle of the change after `changes` more. The receiver ends then;
    /// whoever waits for it must crash the node.
    pub fn crash_in_the_middle(&self, number: usize, changes: u64) -> oneshot::Receiver<()> {
        let machine = &self.inner.machines[number];
        let (sender, receiver) = oneshot::channel();
        let (network, address) = (self.inner.network.clone(), machine.address);
        let on_death = move || {
            // Nothing that the dying node still says may be heard.
            network.mute(address);
            sender.send(());
        };
        machine.disk.crash_after(changes, Box::new(on_death));
        receiver
    }

    fn note(&self, number: usize, kind: &str, text: impl FnOnce() -> String) {
        let handle = &self.inner.handle;
        handle
            .trace()
            .event(handle.now(), Place::Node(number), kind, &[], text);
    }
}

/// Decodes requests, lets the node answer, encodes the answers. The watch sees both as they are on the wire.
fn handler(
    node: Arc<Node<SimEnv>>,
    (handle, clock): (Handle, Arc<Clock>),
    (watch, group): (Watch, Group),
    bug: Option<Bug>,
) -> Handler {
    Arc::new(move |from, bytes: Bytes| {
        let request = PeerRequest::decode(bytes)
            .unwrap_or_else(|error| panic!("a peer's request can't be decoded: {error}"));
        let ticket = watch.arrived(group, &request);
        let sender = request.sender;
        match bug::treat(bug, request, clock.read(handle.now()), &node) {
            Treatment::Serve(request, kind) => {
                let answer = node.handle(from, request);
                let watch = watch.clone();
                Box::pin(async move {
                    let mut answer = answer.await;
                    let asker = bug.and_then(|_| watch.node(sender));
                    bug::spoil_answer(bug, kind, &mut answer, asker.as_deref());
                    if let Some(ticket) = ticket {
                        watch.answered(group, &ticket, &answer);
                    }
                    Some(answer.encode())
                })
            }
            Treatment::Pretend(request, response) => {
                // For the envelope.
                let ping = PeerRequest {
                    body: message::Request::Ping,
                    ..request
                };
                let answer = node.handle(from, ping);
                Box::pin(async move {
                    let mut answer = answer.await;
                    answer.body = response;
                    Some(answer.encode())
                })
            }
        }
    })
}
