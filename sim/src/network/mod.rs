//! Messages between nodes: late, lost, twice, out of order, or not at all.
//!
//! The network carries bytes and knows nothing of their meaning, but for a [`Sieve`] that it may be given. What becomes of each message is drawn
//! from the seed, by the [`Weather`] and by who is cut off from whom.

mod fate;
#[cfg(test)]
mod tests;
mod weather;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use starling_replication::env::CallError;

pub use self::weather::Weather;
use crate::{
    executor::{First, Group, Handle, first, oneshot},
    random::Random,
    trace::Place,
};

/// Answers one request. Called anew for each that arrives.
pub type Handler =
    Arc<dyn Fn(SocketAddr, Bytes) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send>> + Send + Sync>;

/// Says of a message, given who sends it to whom, whether it gets lost.
pub type Sieve = Arc<dyn Fn(SocketAddr, SocketAddr, &Bytes) -> bool + Send + Sync>;

/// A direction between two addresses.
type Link = (SocketAddr, SocketAddr);

struct Endpoint {
    group: Group,
    handler: Handler,
}

/// What a caller hears.
type Outcome = Result<Bytes, CallError>;

struct State {
    random: Random,
    weather: Weather,
    slow: BTreeMap<Link, Duration>,
    /// Links that carry nothing, and since when.
    blocked: BTreeMap<Link, Duration>,
    /// Loses messages by what they say.
    sieve: Option<Sieve>,
    up: BTreeMap<SocketAddr, Endpoint>,
    /// Nodes that are dying: nothing leaves or reaches them.
    mute: BTreeSet<SocketAddr>,
    /// Calls that wait for an answer: who asks whom.
    waiting: BTreeMap<u64, (Link, oneshot::Sender<Outcome>)>,
    next_call: u64,
    numbers: BTreeMap<SocketAddr, usize>,
    counts: Counts,
}

/// How many messages met which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Given to the network.
    pub sent: u64,
    /// Handed to their receiver, copies included.
    pub delivered: u64,
    /// Lost, by chance or by a partition.
    pub lost: u64,
    /// Carried twice.
    pub duplicated: u64,
}

/// The network of one simulation.
#[derive(Clone)]
pub struct Network {
    handle: Handle,
    state: Arc<Mutex<State>>,
}

impl Network {
    /// A network in fair weather, with nobody on it.
    pub fn new(handle: Handle) -> Self {
        let state = State {
            random: handle.fork_random(),
            weather: Weather::default(),
            slow: BTreeMap::new(),
            blocked: BTreeMap::new(),
            sieve: None,
            up: BTreeMap::new(),
            mute: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next_call: 0,
            numbers: BTreeMap::new(),
            counts: Counts::default(),
        };
        Self {
            handle,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A node comes up at `address`: what is sent to it runs as a task of `group`.
    pub fn attach(&self, address: SocketAddr, node: usize, group: Group, handler: Handler) {
        let mut state = self.state.lock();
        state.numbers.insert(address, node);
        state.up.insert(address, Endpoint { group, handler });
    }

    /// The node at `address` dies. Who waits for it hears so soon, or, as the seed wants, never.
    pub fn detach(&self, address: SocketAddr) {
        let (endpoint, broken) = {
            let mut state = self.state.lock();
            let endpoint = state.up.remove(&address);
            (endpoint, state.break_calls(address))
        };
        // The handler holds the node.
        drop(endpoint);
        for (to, sender, delay) in broken {
            let sleep = self.handle.sleep(delay);
            self.handle.spawn(Group::WORLD, async move {
                sleep.await;
                sender.send(Err(CallError::Broken(to)));
            });
        }
    }

    /// Nothing leaves or reaches `address` until [`unmute`](Self::unmute): its power is gone, though its
    /// tasks are not dropped yet.
    pub fn mute(&self, address: SocketAddr) {
        self.state.lock().mute.insert(address);
    }

    /// The power is back.
    pub fn unmute(&self, address: SocketAddr) {
        self.state.lock().mute.remove(&address);
    }

    /// Changes delays, losses and so on, for messages sent from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// Everything that leaves `from` for `to` takes so much longer. Zero ends it.
    pub fn slow_down(&self, from: SocketAddr, to: SocketAddr, by: Duration) {
        let mut state = self.state.lock();
        if by.is_zero() {
            state.slow.remove(&(from, to));
        } else {
            state.slow.insert((from, to), by);
        }
    }

    /// Cuts the way from `from` to `to`, also for what is under way. The other direction stays.
    pub fn block(&self, from: SocketAddr, to: SocketAddr) {
        let now = self.handle.now();
        self.state.lock().blocked.entry((from, to)).or_insert(now);
    }

    /// Opens one way that was cut.
    pub fn unblock(&self, from: SocketAddr, to: SocketAddr) {
        self.state.lock().blocked.remove(&(from, to));
    }

    /// Loses the requests that `sieve` picks, from now on until [`heal`](Self::heal). Answers pass.
    pub fn lose(&self, sieve: Sieve) {
        self.state.lock().sieve = Some(sieve);
    }

    /// Ends all cuts, slow links and picked losses.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.sieve = None;
        state.blocked.clear();
        state.slow.clear();
    }

    /// Whether messages from one address reach the other.
    pub fn reaches(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let state = self.state.lock();
        state.up.contains_key(&to) && !state.blocked.contains_key(&(from, to))
    }

    /// Who is up.
    pub fn up(&self) -> BTreeSet<SocketAddr> {
        self.state.lock().up.keys().copied().collect()
    }

    /// The counts until now.
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// Sends a request and waits for its answer, at most `timeout`.
    pub fn call(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        request: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Outcome> + Send + 'static {
        let network = self.clone();
        async move {
            let connect = network.state.lock().connect(network.handle.now(), (from, to));
            if let Err((delay, error)) = connect {
                network.note(from, "refused", &[], || format!("to {to}: {error}"));
                network.handle.sleep(delay.min(timeout)).await;
                return Err(error);
            }
            let (sender, receiver) = oneshot::channel();
            let call = network.state.lock().register((from, to), sender.clone());
            let _registration = Registration {
                state: network.state.clone(),
                call,
            };
            network.send((from, to), request, Some(sender));
            match first(receiver, network.handle.sleep(timeout)).await {
                First::Left(Some(outcome)) => outcome,
                // Every copy was lost: the caller does not know and waits.
                First::Left(None) | First::Right(()) => Err(CallError::Timeout(to)),
            }
        }
    }

    /// Sends a message that nobody answers.
    pub fn cast(&self, from: SocketAddr, to: SocketAddr, message: Bytes) {
        self.send((from, to), message, None);
    }

    /// Lets a message meet its fate; its copies are under way when this returns.
    fn send(&self, link: Link, bytes: Bytes, answer: Option<oneshot::Sender<Outcome>>) {
        let sieve = self.state.lock().sieve.clone();
        let picked = sieve.is_some_and(|sieve| sieve(link.0, link.1, &bytes));
        let copies = if picked {
            self.state.lock().counts.lost += 1;
            Vec::new()
        } else {
            self.state.lock().draw(link)
        };
        self.note(link.0, "send", &bytes, || {
            format!("{} bytes to {}, {} copies", bytes.len(), link.1, copies.len())
        });
        for delay in copies {
            let (network, bytes, answer) = (self.clone(), bytes.clone(), answer.clone());
            self.handle.spawn(Group::WORLD, async move {
                network.handle.sleep(delay).await;
                network.deliver(link, bytes, answer);
            });
        }
    }

    fn deliver(&self, link: Link, bytes: Bytes, answer: Option<oneshot::Sender<Outcome>>) {
        let target = self.state.lock().arrive(link);
        let Some((group, handler)) = target else {
            self.note(link.1, "lost", &bytes, || format!("from {}", link.0));
            return;
        };
        self.note(link.1, "deliver", &bytes, || {
            format!("{} bytes from {}", bytes.len(), link.0)
        });
        let network = self.clone();
        let work = handler(link.0, bytes);
        self.handle.spawn(group, async move {
            let reply = work.await;
            if let (Some(reply), Some(answer)) = (reply, answer) {
                network.reply((link.1, link.0), reply, answer);
            }
        });
    }

    fn reply(&self, link: Link, bytes: Bytes, answer: oneshot::Sender<Outcome>) {
        let copies = self.state.lock().draw(link);
        self.note(link.0, "reply", &bytes, || {
            format!("{} bytes to {}, {} copies", bytes.len(), link.1, copies.len())
        });
        // The caller takes the first copy; more of them tell it nothing new.
        let Some(delay) = copies.into_iter().min() else {
            return;
        };
        let network = self.clone();
        self.handle.spawn(Group::WORLD, async move {
            network.handle.sleep(delay).await;
            let arrives = network.state.lock().passes(link);
            network.note(link.1, if arrives { "answer" } else { "lost" }, &bytes, || {
                format!("{} bytes from {}", bytes.len(), link.0)
            });
            if arrives {
                answer.send(Ok(bytes));
            }
        });
    }

    fn note(&self, at: SocketAddr, kind: &str, bytes: &[u8], text: impl FnOnce() -> String) {
        let number = self.state.lock().numbers.get(&at).copied();
        let place = number.map_or(Place::World, Place::Node);
        self.handle
            .trace()
            .event(self.handle.now(), place, kind, bytes, text);
    }
}

/// Forgets a call when its caller does.
struct Registration {
    state: Arc<Mutex<State>>,
    call: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let removed = self.state.lock().waiting.remove(&self.call);
        drop(removed);
    }
}
