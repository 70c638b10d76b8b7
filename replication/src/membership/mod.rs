//! Who is in the cluster, as this node knows it: gossip, its loop, and the ring that follows from it.
//!
//! The chapters:
//! - [`discovery`]: when a node that started knows enough of the others;
//! - [`join`]: how a new node finds its cluster, or founds one;
//! - [`known`]: members that were seen in the ring, remembered across restarts;
//! - [`members_file`]: storing them;
//! - [`observe`]: from gossip's states to the ring, and the events on the way.
//!
//! Who is in the ring, and with which tokens, is not gossip's to say: `topology` has its state. Gossip says where
//! members are, whether they are alive, and who knows more of the ring.

mod discovery;
pub(crate) mod join;
pub(crate) mod known;
mod members_file;
mod observe;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{
    StreamExt,
    channel::mpsc,
    future::{Either, select},
};
use parking_lot::Mutex;
use starling_gossip::{Gossip, Outgoing, StateKey, status};
use starling_model::{NodeId, Token};

use crate::{
    clock::Clock,
    config::Config,
    env::Env,
    events::Listeners,
    identity::Identity,
    message::{PeerRequest, Request, decode_value},
    snapshot::Views,
    start_error::StartError,
    status::Counters,
    topology::{Book, Change, Place, Stamp},
    truncations::Truncations,
};
use discovery::Discovery;
use known::Known;
use members_file::MembersFile;
use observe::Observing;

/// After a change, rounds are as fast as during discovery for this long: others hear of it soon.
const LIVELY: Duration = Duration::from_secs(1);

/// How long a peer has to answer when a connection to it broke. A process that is gone refuses at once.
const PROOF: Duration = Duration::from_millis(300);

/// A node's part in gossip.
pub(crate) struct Membership<E: Env> {
    env: E,
    config: Config,
    me: NodeId,
    /// By it others tell this run of the node from those before.
    era: u64,
    clock: Arc<Clock>,
    views: Arc<Views>,
    book: Arc<Book>,
    listeners: Arc<Listeners>,
    pub(crate) counters: Arc<Counters>,
    gossip: Mutex<Gossip>,
    /// Held while a new snapshot is made from gossip's states.
    observing: Mutex<Observing>,
    file: Arc<MembersFile>,
    /// Until when rounds are fast.
    lively_until: Mutex<Duration>,
    wake: Mutex<mpsc::Sender<()>>,
    started: Duration,
    discovery: Discovery,
    stopped: AtomicBool,
    failure: Mutex<Option<StartError>>,
}

impl<E: Env> Membership<E> {
    /// A membership that begins with what was known before the restart. Returns also the end on which
    /// [`run`](Self::run) listens.
    pub(crate) fn new(
        env: E,
        config: Config,
        identity: &Identity,
        shared: (Arc<Clock>, Arc<Views>, Arc<Listeners>, Arc<Counters>),
        book: Arc<Book>,
        known: Vec<Known>,
    ) -> (Self, mpsc::Receiver<()>) {
        let mut seeds = config.seeds.clone();
        let state = book.load();
        let told = state
            .members()
            .into_iter()
            .filter_map(|member| state.address(member.id));
        for address in known.iter().map(|member| member.address).chain(told) {
            if !seeds.contains(&address) && address != config.listen {
                seeds.push(address);
            }
        }
        let gossip = Gossip::new(
            starling_gossip::Config {
                cluster: config.cluster.clone(),
                partitioner: config.partitioner.name().to_owned(),
                interval: config.gossip_interval,
                first_interval: config.gossip_interval * 2,
                ..starling_gossip::Config::default()
            },
            starling_gossip::Identity {
                id: identity.id,
                address: config.listen,
                generation: identity.generation,
            },
            seeds,
        );
        let (wake, woken) = mpsc::channel(1);
        let (clock, views, listeners, counters) = shared;
        let started = env.monotonic();
        let membership = Self {
            me: identity.id,
            era: Truncations::first_era(identity.generation),
            clock,
            views,
            book,
            listeners,
            counters,
            gossip: Mutex::new(gossip),
            file: Arc::new(MembersFile::new(known.clone())),
            observing: Mutex::new(Observing::new(known)),
            lively_until: Mutex::new(started + LIVELY),
            wake: Mutex::new(wake),
            started,
            discovery: Discovery::default(),
            stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
            env,
            config,
        };
        membership.introduce();
        (membership, woken)
    }

    /// What the node says about itself besides its place on the ring.
    fn introduce(&self) {
        let config = &self.config;
        self.say(StateKey::Status, status::JOINING.to_owned());
        self.say(StateKey::Datacenter, config.datacenter.clone());
        self.say(StateKey::Rack, config.rack.clone());
        self.say(StateKey::CqlAddress, config.cql.to_string());
        self.say(StateKey::NativeAddress, config.listen.to_string());
        self.say(StateKey::Release, config.release.clone());
        self.say(StateKey::Shards, config.shards.to_string());
        self.say_schema();
    }

    /// The ring state became another one: makes the next snapshot, and tells everybody.
    pub(crate) fn ring_changed(&self) {
        let state = self.book.load();
        let leaving = |change: &Change| change.kind.outgoing().contains(&self.me);
        let status = match state.place(self.me) {
            Some(Place::Serving { tokens, .. }) => {
                let tokens: Vec<String> = tokens.iter().map(Token::to_string).collect();
                self.say(StateKey::Tokens, tokens.join(","));
                if state.change().is_some_and(leaving) {
                    status::LEAVING
                } else {
                    status::NORMAL
                }
            }
            Some(Place::Gone { .. }) => status::LEFT,
            None => status::JOINING,
        };
        self.say(StateKey::Status, status.to_owned());
        let Stamp { digest, epoch } = state.stamp();
        self.say(StateKey::Epoch, format!("{epoch}:{digest}"));
        self.hurry();
        self.observe();
    }

    /// Another address to try while the node hears from nobody.
    pub(crate) fn add_seed(&self, seed: SocketAddr) {
        self.gossip.lock().add_seed(seed);
    }

    /// Tells the schema's version, and everybody soon.
    pub(crate) fn say_schema(&self) {
        let version = self.views.load().schema.version();
        self.say(StateKey::SchemaVersion, uuid_text(version));
        self.hurry();
    }

    /// Tells everybody soon whose place this node waits to take: with that its operator has said that the other is dead for
    /// good.
    pub(crate) fn say_replaces(&self, dead: NodeId) {
        let told = self.views.load().cluster.own().and_then(|own| own.replaces);
        if told != Some(dead) {
            self.say(StateKey::Replaces, uuid_text(dead.0));
            self.hurry();
            self.observe();
        }
    }

    fn say(&self, key: StateKey, value: String) {
        if let Err(error) = self.gossip.lock().set(key, value) {
            ::tracing::error!(%error, "a state is too long for gossip");
        }
    }

    /// Makes the next rounds fast, beginning now.
    fn hurry(&self) {
        *self.lively_until.lock() = self.env.monotonic() + LIVELY;
        // A full channel means that the loop is about to wake anyway.
        let _ = self.wake.lock().try_send(());
    }

    /// The gossip loop; ends after [`stop`](Self::stop).
    pub(crate) async fn run(self: Arc<Self>, mut woken: mpsc::Receiver<()>, every_round: impl Fn() + Send) {
        while !self.stopped.load(Ordering::Acquire) {
            let outgoing = {
                let env = &self.env;
                self.gossip.lock().tick(env.monotonic(), &mut || env.random())
            };
            self.send(outgoing);
            self.observe();
            self.discover();
            self.store_members();
            every_round();
            let sleep = self.env.sleep(self.pause());
            if let Either::Right((Some(()), _)) = select(pin!(sleep), woken.next()).await {
                // Changes often come several at a time: they may share the round.
                self.env
                    .sleep(self.config.discovery_interval.min(Duration::from_millis(5)))
                    .await;
            }
        }
    }

    fn pause(&self) -> Duration {
        let alone = self.views.load().cluster.live_others().next().is_none() && self.expects_others();
        let searching = alone && self.env.monotonic() < self.started + self.config.join_timeout;
        if searching || self.env.monotonic() < *self.lively_until.lock() {
            self.config.discovery_interval.min(self.config.gossip_interval)
        } else {
            self.config.gossip_interval
        }
    }

    /// Whether other nodes are known or named as seeds.
    fn expects_others(&self) -> bool {
        let seeds = self.config.seeds.iter().any(|seed| *seed != self.config.listen);
        seeds || self.views.load().cluster.peers.len() > 1
    }

    fn send(&self, outgoing: Vec<Outgoing>) {
        for Outgoing { to, message } in outgoing {
            let Ok(message) = rmp_serde::to_vec(&message) else {
                continue;
            };
            let body = Request::Gossip {
                reply_to: self.config.listen,
                message: message.into(),
            };
            self.env
                .cast(to, self.envelope(body, self.config.gossip_interval));
        }
    }

    /// A request as it travels, to be carried out within `timeout`.
    fn envelope(&self, body: Request, timeout: Duration) -> PeerRequest {
        let stamp = self.views.load().cluster.stamp;
        PeerRequest {
            sender: self.me,
            ring: stamp.digest,
            epoch: stamp.epoch,
            clock: self.clock.latest(self.env.wall()),
            deadline_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            tracing: false,
            era: self.era,
            body,
        }
    }

    /// Takes a gossip message that arrived. Fails if the bytes are none.
    pub(crate) fn receive(&self, from: SocketAddr, message: &Bytes) -> Result<(), String> {
        let message = decode_value(message)?;
        let outgoing = {
            let env = &self.env;
            self.gossip
                .lock()
                .receive(env.monotonic(), from, message, &mut || env.random())
        };
        self.send(outgoing);
        self.observe();
        Ok(())
    }

    /// A connection to a peer broke. It may have been one to an earlier process of a peer that is back already,
    /// so the peer is asked before it is taken for dead.
    pub(crate) fn suspect(self: &Arc<Self>, id: NodeId, address: SocketAddr) {
        let answer = self.env.call(address, self.envelope(Request::Ping, PROOF), PROOF);
        let membership = Arc::clone(self);
        self.env.spawn(async move {
            if answer.await.is_err() {
                membership.report_unreachable(id);
            }
        });
    }

    /// A peer could not be reached: it is taken for dead until it proves the contrary.
    pub(crate) fn report_unreachable(&self, id: NodeId) {
        self.gossip.lock().report_failure(id, self.env.monotonic());
        self.observe();
    }

    /// Which start of this node's process it is.
    pub(crate) fn generation(&self) -> i32 {
        i32::try_from(self.gossip.lock().own().generation).unwrap_or(i32::MAX)
    }

    /// Why the node can't be part of the cluster, if it found out after its start.
    pub(crate) fn failure(&self) -> Option<StartError> {
        self.failure.lock().clone()
    }

    /// Whether a restart would find the members as they are now.
    pub(crate) fn are_members_stored(&self) -> bool {
        self.file.is_stored()
    }

    /// Whether all live members have this node's schema.
    pub(crate) fn agrees_on_schema(&self) -> bool {
        let snapshot = self.views.load();
        let version = snapshot.schema.version();
        snapshot
            .cluster
            .live_others()
            .all(|peer| peer.schema_version == Some(version))
    }

    /// Whether the node stops, or has stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends the loop without a word.
    #[cfg(test)]
    pub(crate) fn halt(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Says farewell and ends the loop.
    pub(crate) fn stop(&self) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            let farewell = self.gossip.lock().shutdown();
            self.send(farewell);
            let _ = self.wake.lock().try_send(());
        }
    }
}

/// 128 bits as a UUID is written.
pub(crate) fn uuid_text(bits: u128) -> String {
    NodeId(bits).to_string()
}

/// The inverse of [`uuid_text`].
pub(crate) fn parse_uuid(text: &str) -> Option<u128> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    (hex.len() == 32).then(|| u128::from_str_radix(&hex, 16).ok())?
}

fn parse_stamp(text: &str) -> Option<Stamp> {
    let (epoch, digest) = text.split_once(':')?;
    Some(Stamp {
        digest: digest.parse().ok()?,
        epoch: epoch.parse().ok()?,
    })
}
