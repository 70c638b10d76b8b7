//! The state machine.

mod apply;
mod departure;
mod exchange;
mod liveness;
mod suspicion;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use starling_model::NodeId;

use departure::Tombstone;
pub use departure::{REMOVED_GENERATION, RemoveError};
use suspicion::{Health, Probe};

use crate::{
    config::{Config, Identity},
    detector::Detector,
    event::Event,
    member::Member,
    message::Message,
    peers::{self, Candidates},
    state::{MAX_VALUE_BYTES, StateKey, ValueTooLong, Versioned, status},
};

/// The most events that wait to be taken.
pub const MAX_EVENTS: usize = 1 << 16;

/// A message to send. It may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiver's internode address.
    pub to: SocketAddr,
    /// What to send.
    pub message: Message,
}

/// One node's part in gossip.
///
/// Set the node's own states before the first [`tick`](Self::tick), so that who hears of it hears all at
/// once. Times are measured from any fixed point and never go back.
///
/// Invariants, each checked by a test of the same name:
/// 1. `known_versions_are_complete`: for every member, all states that it had set up to the known version of its
///    known generation are known, or newer ones.
/// 2. `generations_never_go_back`, and within one versions don't either.
/// 3. `messages_are_bounded`: none is larger than the configured bound.
/// 4. `only_the_owner_writes`: nobody changes the states of another node.
#[derive(Debug, Clone)]
pub struct Gossip {
    config: Config,
    id: NodeId,
    seeds: Vec<SocketAddr>,
    /// This node and all others, by id.
    members: BTreeMap<NodeId, Record>,
    events: Vec<Event>,
    /// How often something was news.
    changes: u64,
    /// Where the next section of digests starts, where not all fit.
    cursor: NodeId,
    last_tick: Option<Duration>,
    /// When this process went on after it had been suspended, the last time.
    resumed: Option<Duration>,
    stopped: bool,
    /// Members whose states changed, the latest first: their digests go in every message.
    fresh: VecDeque<(NodeId, Duration)>,
    tombstones: BTreeMap<NodeId, Tombstone>,
    expelled: bool,
    /// How much this node mistrusts its own judgement.
    health: Health,
    /// Who wants to hear of whom.
    probes: Vec<Probe>,
}

/// What is known of a member, and of its being alive.
#[derive(Debug, Clone)]
struct Record {
    member: Member,
    detector: Detector,
    /// Until then, what others say of it is no proof of life.
    doubted_until: Option<Duration>,
    /// Since when it is gone for good.
    departed_at: Option<Duration>,
    /// Since when it may prove that it is alive, having been silent for too long.
    suspected: Option<Duration>,
    /// How many reports of its failure followed each other.
    reports: u32,
}

impl Record {
    fn new(member: Member, detector: Detector) -> Self {
        Self {
            member,
            detector,
            doubted_until: None,
            departed_at: None,
            suspected: None,
            reports: 0,
        }
    }
}

impl Gossip {
    /// Another address to try while the node is alone.
    pub fn add_seed(&mut self, seed: SocketAddr) {
        if !self.seeds.contains(&seed) {
            self.seeds.push(seed);
        }
    }

    /// A node that knows nobody but itself. `seeds` are addresses to try while it is alone; its own may be
    /// among them.
    pub fn new(config: Config, identity: Identity, seeds: Vec<SocketAddr>) -> Self {
        let own = Member {
            id: identity.id,
            address: identity.address,
            generation: identity.generation,
            version: 0,
            alive: true,
            states: BTreeMap::new(),
        };
        let detector = Detector::new(config.first_interval, Duration::ZERO);
        let record = Record::new(own, detector);
        Self {
            config,
            id: identity.id,
            seeds,
            members: BTreeMap::from([(identity.id, record)]),
            events: Vec::new(),
            changes: 0,
            cursor: identity.id,
            last_tick: None,
            resumed: None,
            stopped: false,
            fresh: VecDeque::new(),
            tombstones: BTreeMap::new(),
            expelled: false,
            health: Health::default(),
            probes: Vec::new(),
        }
    }

    /// Tells of members that are known from elsewhere, as they were when they were alive: each counts as alive as
    /// of `now`. Known ones, this node among them, are left as they are.
    pub fn introduce(&mut self, members: &[Member], now: Duration) {
        for member in members {
            if self.members.contains_key(&member.id) || self.members.len() >= self.config.max_members {
                continue;
            }
            let detector = Detector::new(self.config.first_interval, now);
            self.members
                .insert(member.id, Record::new(member.clone(), detector));
            self.event(Event::Joined(member.id));
        }
    }

    /// Sets a state of this node; the others hear of it in the next rounds. Nothing happens if it has this
    /// value already.
    pub fn set(&mut self, key: StateKey, value: impl Into<String>) -> Result<(), ValueTooLong> {
        let value = value.into();
        if value.len() > MAX_VALUE_BYTES {
            return Err(ValueTooLong {
                key,
                length: value.len(),
            });
        }
        let own = self.own_mut();
        if own.get(key) != Some(&value) {
            own.version += 1;
            let version = own.version;
            own.states.insert(key, Versioned { value, version });
            self.changes += 1;
            self.freshen(self.id);
        }
        Ok(())
    }

    /// A round: call it once an interval. Bumps the heartbeat, judges the others, and starts exchanges.
    pub fn tick(&mut self, now: Duration, random: &mut dyn FnMut() -> u64) -> Vec<Outgoing> {
        if self.stopped {
            return Vec::new();
        }
        self.own_mut().version += 1;
        self.sweep(now);
        let mut probes = self.judge(now, random);
        let mut to = peers::choose(self.candidates(), self.config.fanout, random);
        for doubted in self.doubted(now) {
            if !to.contains(&doubted) {
                to.push(doubted);
            }
        }
        probes.extend(to.into_iter().map(|to| self.syn(to)));
        probes
    }

    /// Takes a message that arrived, and returns the answer to it, if it needs one, and first words to
    /// members that it told of.
    ///
    /// `from` is where it came from, for events; answers go to the address that the message gives. A message of
    /// another cluster, or a malformed one, changes nothing and is reported as [`Event::Refused`].
    pub fn receive(
        &mut self,
        now: Duration,
        from: SocketAddr,
        message: Message,
        random: &mut dyn FnMut() -> u64,
    ) -> Vec<Outgoing> {
        if self.stopped {
            return Vec::new();
        }
        self.exchange(now, from, message, random)
    }

    /// Announces that this process ends, to all live members. After it, the node is silent.
    ///
    /// Should an announcement be lost, the failure detectors find out; so they do where the node has left: that it has
    /// is what others must hear of it for good.
    pub fn shutdown(&mut self) -> Vec<Outgoing> {
        if self.stopped {
            return Vec::new();
        }
        self.stopped = true;
        let own = self.own_mut();
        if own.is_departed() {
            return Vec::new();
        }
        own.version += 1;
        let version = own.version;
        own.states.insert(
            StateKey::Status,
            Versioned {
                value: status::SHUTDOWN.to_owned(),
                version,
            },
        );
        self.changes += 1;
        self.announce()
    }

    /// This node and all that it knows, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|record| &record.member)
    }

    /// What is known of a member.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id).map(|record| &record.member)
    }

    /// Whether a member is known and believed to be alive.
    pub fn is_alive(&self, id: NodeId) -> bool {
        self.member(id).is_some_and(|member| member.alive)
    }

    /// This node.
    pub fn own(&self) -> &Member {
        &self.members[&self.id].member
    }

    /// What happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Grows whenever [`members`](Self::members) tells something new: who there is, who is alive, where they are and what they
    /// say. Heartbeats are no news. So who looked at all members need not look again while it is the same.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn own_mut(&mut self) -> &mut Member {
        // `new` puts it there and nothing removes a member.
        &mut self
            .members
            .get_mut(&self.id)
            .expect("a node knows itself")
            .member
    }

    fn event(&mut self, event: Event) {
        self.changes += 1;
        if self.events.len() >= MAX_EVENTS {
            self.events.clear();
            self.events.push(Event::Missed);
        }
        self.events.push(event);
    }

    fn candidates(&self) -> Candidates {
        let mut candidates = Candidates::default();
        let mut known = BTreeSet::new();
        for Member {
            id, address, alive, ..
        } in self.members().filter(|member| !member.is_departed())
        {
            known.insert(*address);
            if *id != self.id {
                let list = if *alive {
                    &mut candidates.live
                } else {
                    &mut candidates.dead
                };
                list.push(*address);
            }
        }
        candidates.seeds = self
            .seeds
            .iter()
            .copied()
            .filter(|seed| !known.contains(seed))
            .collect();
        candidates
    }
}
