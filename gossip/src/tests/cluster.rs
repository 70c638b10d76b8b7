//! A cluster in memory: every message is encoded, measured, and decoded; every invariant of the state machine is
//! checked after every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use starling_model::NodeId;

use crate::{
    Config, Event, Gossip, Identity, Member, Message, StateKey,
    gossip::Outgoing,
    message::{Body, MIN_MESSAGE_BYTES},
    status,
};

/// Where node `n` is.
pub(super) fn address(n: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, (n >> 8) as u8, n as u8)), 7000)
}

pub(super) fn id(n: u16) -> NodeId {
    NodeId(u128::from(n))
}

pub(super) fn identity(n: u16, generation: u64) -> Identity {
    Identity {
        id: id(n),
        address: address(n),
        generation,
    }
}

/// A generator of random numbers that is the same for the same seed (splitmix64).
pub(super) fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A node with the states that every node has.
pub(super) fn node(config: &Config, n: u16, generation: u64, seeds: &[u16]) -> Gossip {
    let seeds = seeds.iter().map(|n| address(*n)).collect();
    let mut gossip = Gossip::new(config.clone(), identity(n, generation), seeds);
    for (key, value) in [(StateKey::Status, status::NORMAL), (StateKey::Datacenter, "dc1")] {
        gossip.set(key, value).expect("short");
    }
    gossip.set(StateKey::Tokens, format!("{n},-{n}")).expect("short");
    gossip
}

/// What the owner said: for each generation, each version at which a state was set.
type Sayings = BTreeMap<(NodeId, u64), BTreeMap<u64, (StateKey, String)>>;

/// Nodes, the network between them, and what is known to be true.
pub(super) struct Cluster {
    pub(super) config: Config,
    pub(super) now: Duration,
    pub(super) nodes: BTreeMap<u16, Gossip>,
    pub(super) random: Box<dyn FnMut() -> u64>,
    /// Of 100 messages so many are lost.
    pub(super) loss: u64,
    /// Pairs that can't talk.
    pub(super) cut: BTreeSet<(u16, u16)>,
    /// What the first sends to the second is lost; the other way it arrives.
    pub(super) one_way: BTreeSet<(u16, u16)>,
    pub(super) events: Vec<(u16, Event)>,
    /// Every message that was sent and every event, as text.
    pub(super) transcript: String,
    said: Sayings,
    known: BTreeMap<(u16, NodeId), (u64, u64)>,
    /// Of each node its count of changes when it was checked last, and what it told of the members then.
    told: BTreeMap<u16, (u64, u64)>,
}

impl Cluster {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            now: Duration::from_secs(100),
            nodes: BTreeMap::new(),
            random: Box::new(random(seed)),
            loss: 0,
            cut: BTreeSet::new(),
            one_way: BTreeSet::new(),
            events: Vec::new(),
            transcript: String::new(),
            said: BTreeMap::new(),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Nodes `1..=count`, all with node 1 as their seed.
    pub(super) fn of(count: u16, seed: u64) -> Self {
        let mut cluster = Self::new(Config::default(), seed);
        for n in 1..=count {
            cluster.start(n, 1);
        }
        cluster
    }

    /// Starts a node, also one that ran before.
    pub(super) fn start(&mut self, n: u16, generation: u64) {
        self.insert(n, node(&self.config, n, generation, &[1]));
    }

    pub(super) fn insert(&mut self, n: u16, gossip: Gossip) {
        self.nodes.insert(n, gossip);
        self.known.retain(|(node, _), _| *node != n);
        self.told.remove(&n);
        self.check(n);
    }

    /// Takes over a node that was not watched until now.
    pub(super) fn insert_unchecked(&mut self, n: u16, gossip: Gossip) {
        for member in gossip.members() {
            let said = self.said.entry((member.id, member.generation)).or_default();
            said.extend(
                member
                    .states
                    .iter()
                    .map(|(key, state)| (state.version, (*key, state.value.clone()))),
            );
        }
        self.nodes.insert(n, gossip);
    }

    /// Node `n` announces its end, and is silent from then on.
    pub(super) fn shut_down(&mut self, n: u16) {
        let announced = self.get(n).shutdown();
        self.check(n);
        self.deliver(n, announced);
    }

    /// The process ends without a word.
    pub(super) fn kill(&mut self, n: u16) {
        self.nodes.remove(&n);
    }

    pub(super) fn set(&mut self, n: u16, key: StateKey, value: &str) {
        self.get(n).set(key, value).expect("short");
        self.check(n);
    }

    pub(super) fn get(&mut self, n: u16) -> &mut Gossip {
        self.nodes.get_mut(&n).expect("the node runs")
    }

    /// Node `n` takes its turn, and all messages that follow from it are delivered.
    pub(super) fn tick(&mut self, n: u16) {
        let (now, random) = (self.now, &mut self.random);
        let Some(node) = self.nodes.get_mut(&n) else {
            return;
        };
        let outgoing = node.tick(now, random);
        self.check(n);
        self.deliver(n, outgoing);
    }

    /// A second in which every node takes its turn, at its own time.
    pub(super) fn round(&mut self) {
        let running: Vec<u16> = self.nodes.keys().copied().collect();
        for (at, n) in running.iter().enumerate() {
            self.now += Duration::from_micros(1_000_000 / running.len() as u64);
            if at + 1 == running.len() {
                self.now = Duration::from_secs(self.now.as_secs_f64().round() as u64);
            }
            self.tick(*n);
        }
    }

    /// Rounds until all that run know the same; how many it took.
    pub(super) fn converge(&mut self, most: usize) -> usize {
        for rounds in 0..most {
            if self.agree() {
                return rounds;
            }
            self.round();
        }
        assert!(self.agree(), "no agreement after {most} rounds");
        most
    }

    /// Whether every node that runs knows all nodes that run, with their present states, as alive.
    pub(super) fn agree(&self) -> bool {
        self.nodes.values().all(|node| {
            self.nodes.values().all(|other| {
                let own = other.own();
                node.member(own.id).is_some_and(|known| {
                    let same = known.states == own.states && known.address == own.address;
                    known.alive && known.generation == own.generation && same
                })
            })
        })
    }

    pub(super) fn deliver(&mut self, from: u16, outgoing: Vec<Outgoing>) {
        let mut queue: Vec<(u16, Outgoing)> = outgoing.into_iter().map(|out| (from, out)).collect();
        while !queue.is_empty() {
            let (from, Outgoing { to, message }) = queue.remove(0);
            let message = self.over_the_wire(message);
            let to = self
                .nodes
                .iter()
                .find(|(_, node)| node.own().address == to)
                .map(|(n, _)| *n);
            self.write_message(from, to, &message);
            let Some(to) = to else { continue };
            let lost = (self.random)() % 100 < self.loss;
            let cut = self.cut.contains(&(from, to)) || self.cut.contains(&(to, from));
            if lost || cut || self.one_way.contains(&(from, to)) {
                self.write("      (lost)");
                continue;
            }
            let (now, random) = (self.now, &mut self.random);
            let node = self.nodes.get_mut(&to).expect("it runs");
            let answers = node.receive(now, address(from), message, random);
            self.check(to);
            queue.extend(answers.into_iter().map(|out| (to, out)));
        }
    }

    /// `messages_are_bounded`: by their own estimate, and that by the configured bound.
    fn over_the_wire(&self, message: Message) -> Message {
        let bytes = rmp_serde::to_vec(&message).expect("it encodes");
        assert!(
            bytes.len() <= message.bytes(),
            "{} bytes, not {}",
            bytes.len(),
            message.bytes()
        );
        let names = self.config.cluster.len() + self.config.partitioner.len();
        let bound = self.config.max_message_bytes.max(MIN_MESSAGE_BYTES + names);
        if !matches!(message.body, Body::Refuse(_)) {
            assert!(message.bytes() <= bound, "{} bytes", message.bytes());
        }
        let back: Message = rmp_serde::from_slice(&bytes).expect("it decodes");
        assert_eq!(back, message);
        back
    }

    /// Checks the invariants of what node `n` knows, and takes its events.
    fn check(&mut self, n: u16) {
        let Some(node) = self.nodes.get_mut(&n) else {
            return;
        };
        for event in node.take_events() {
            self.write(&format!("      n{n}: {}", event_text(&event)));
            self.events.push((n, event));
        }
        let node = &self.nodes[&n];
        let told = (node.changes(), digest(node));
        if let Some(before) = self.told.insert(n, told) {
            assert!(before.0 < told.0 || before == told, "every_change_is_counted");
        }
        let own = node.own();
        let said = self.said.entry((own.id, own.generation)).or_default();
        for (key, state) in &own.states {
            let entry = said
                .entry(state.version)
                .or_insert_with(|| (*key, state.value.clone()));
            assert_eq!(*entry, (*key, state.value.clone()), "a version is given once");
        }
        for member in node.members() {
            let before = self
                .known
                .insert((n, member.id), (member.generation, member.version));
            assert!(
                before <= Some((member.generation, member.version)),
                "generations_never_go_back"
            );
            check_member(&self.said, member);
        }
    }

    fn write(&mut self, line: &str) {
        self.transcript.push_str(line);
        self.transcript.push('\n');
    }

    fn write_message(&mut self, from: u16, to: Option<u16>, message: &Message) {
        let to = to.map_or("nobody".to_owned(), |n| format!("n{n}"));
        let now = self.now.as_secs_f64() - 100.0;
        self.write(&format!(
            "{now:5.2} n{from} -> {to}: {}",
            body_text(&message.body)
        ));
    }
}

/// Of all that a node tells of the members, but for their heartbeats.
fn digest(node: &Gossip) -> u64 {
    let mut hasher = DefaultHasher::new();
    for member in node.members() {
        (member.id, member.address, member.generation, member.alive).hash(&mut hasher);
        for (key, state) in &member.states {
            (key, &state.value).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// `known_versions_are_complete` and `only_the_owner_writes`.
fn check_member(said: &Sayings, member: &Member) {
    let Some(said) = said.get(&(member.id, member.generation)) else {
        panic!(
            "nobody ever was {} of generation {}",
            member.id, member.generation
        );
    };
    for (key, state) in &member.states {
        let saying = said.get(&state.version);
        assert_eq!(
            saying,
            Some(&(*key, state.value.clone())),
            "only_the_owner_writes"
        );
    }
    for (version, (key, _)) in said.range(..=member.version) {
        let known = member.states.get(key).map(|state| state.version);
        assert!(
            known >= Some(*version),
            "known_versions_are_complete: {key:?} of {}",
            member.id
        );
    }
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Joined(id) => format!("n{} joined", id.0),
        Event::Up(id) => format!("n{} is up", id.0),
        Event::Suspected(id) => format!("n{} is suspected", id.0),
        Event::Down(id) => format!("n{} is down", id.0),
        Event::Restarted(id) => format!("n{} restarted", id.0),
        Event::Changed(id, key) => format!("n{} has a new {key:?}", id.0),
        Event::Refused { reason, .. } => format!("refused: {reason}"),
        Event::RefusedBy { reason, .. } => format!("was refused: {reason}"),
        Event::Forgotten(id) => format!("n{} is forgotten", id.0),
        Event::Expelled => "was removed".to_owned(),
        Event::Missed => "missed events".to_owned(),
    }
}

fn body_text(body: &Body) -> String {
    let list = |items: Vec<String>| {
        if items.is_empty() {
            "nothing".to_owned()
        } else {
            items.join(" ")
        }
    };
    let digests = |digests: &[crate::message::Digest]| {
        list(
            digests
                .iter()
                .map(|it| format!("n{}@{}:{}", it.id.0, it.generation, it.version))
                .collect(),
        )
    };
    let deltas = |deltas: &[crate::message::Delta]| {
        let one = |delta: &crate::message::Delta| {
            let updates: Vec<String> = delta
                .updates
                .iter()
                .map(|it| format!("{:?}={}", it.key, it.value))
                .collect();
            format!(
                "n{}@{}:{}..{}[{}]",
                delta.id.0,
                delta.generation,
                delta.after,
                delta.upto,
                updates.join(" ")
            )
        };
        list(deltas.iter().map(one).collect())
    };
    match body {
        Body::Syn { digests: known, .. } => format!("SYN knows {}", digests(known)),
        Body::Ack { wanted, deltas: news } => {
            format!("ACK wants {}; tells {}", digests(wanted), deltas(news))
        }
        Body::Ack2 { deltas: news } => format!("ACK2 tells {}", deltas(news)),
        Body::Probe { of } => format!("PROBE n{}", of.id.0),
        Body::Refuse(reason) => format!("REFUSE {reason}"),
    }
}
