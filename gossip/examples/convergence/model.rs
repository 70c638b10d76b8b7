//! A large cluster whose members all know each other, and one change that spreads.

use std::time::Duration;

use starling_model::NodeId;

use super::network::{address, generator, number};

#[cfg(test)]
use crate::{Config, Event, Gossip, Identity, Member, Outgoing, StateKey, status};
#[cfg(not(test))]
use starling_gossip::{Config, Event, Gossip, Identity, Member, Outgoing, StateKey, status};

/// What was seen while a change spread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Until all knew it: of many changes, the first one.
    pub(crate) rounds: usize,
    /// Until all had heard the new value from somebody.
    pub(crate) heard: usize,
    /// Until all knew every change.
    pub(crate) rounds_of_all: usize,
    /// Mean of what a node sent, as encoded.
    pub(crate) bytes_per_node_and_round: f64,
    /// The largest message, as encoded.
    pub(crate) largest: usize,
    /// How many times a node was taken for dead; nobody is.
    pub(crate) downs: usize,
}

/// Nodes `0..n`, a network that loses messages, and a clock.
///
/// Rounds are in lockstep: all take their turn by what they knew when the round began, then all first messages arrive,
/// then all answers, and so on. That is the slowest that a round can spread news.
pub(crate) struct Cluster {
    nodes: Vec<Gossip>,
    now: Duration,
    /// Of 100 messages so many are lost.
    loss: u64,
    random: u64,
    /// The node whose state is to change.
    changed: usize,
}

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// A state of one node.
    One,
    /// A state of one node, and the same state of each other, to the same value, as soon as it has heard of it from anybody: so
    /// do a new ring and a new schema spread.
    Wave,
    /// A state of each node, to a value of its own, all in the same round.
    All,
}

impl News {
    /// What a node says then.
    fn value(self, node: usize) -> String {
        match self {
            Self::One | Self::Wave => "new".to_owned(),
            Self::All => format!("new {node}"),
        }
    }
}

/// A message under way, as encoded.
struct Letter {
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

const INTERVAL: Duration = Duration::from_secs(1);

impl Cluster {
    /// A cluster in which everybody knows `view` of the members, a few rounds later.
    ///
    /// All know all if `view` is at least `nodes`. Less saves memory, which grows with the product: every node knows
    /// others at random, and nobody learns of more. Whom a node talks to stays as random; but bytes say nothing then,
    /// because nodes tell each other of members that the other ignores.
    ///
    /// A message holds `digests` at most.
    pub(crate) fn warm(nodes: usize, (view, digests): (usize, usize), loss: u64, seed: u64) -> Self {
        let view = view.min(nodes);
        let config = Config {
            max_digests: digests,
            max_members: if view < nodes { view } else { usize::MAX >> 8 },
            // Few pass on a heartbeat that few know of: silence says nothing, and suspicions would spread news too.
            phi_threshold: if view < nodes { f64::INFINITY } else { 8.0 },
            ..Config::default()
        };
        let mut cluster = Self {
            nodes: (0..nodes).map(|n| node(&config, n)).collect(),
            now: Duration::from_secs(100),
            loss,
            random: seed,
            changed: nodes / 2,
        };
        let everybody: Vec<_> = cluster.nodes.iter().map(|gossip| gossip.own().clone()).collect();
        for gossip in &mut cluster.nodes {
            if view == nodes {
                gossip.introduce(&everybody, cluster.now);
            } else {
                let mut random = generator(&mut cluster.random);
                gossip.introduce(&everybody[cluster.changed..=cluster.changed], cluster.now);
                while gossip.members().count() < view {
                    let other = random() as usize % nodes;
                    gossip.introduce(&everybody[other..=other], cluster.now);
                }
            }
            gossip.take_events();
        }
        // Until heartbeats come as steadily as they do in a cluster that runs.
        let rounds = if view < nodes { 3 } else { 12 };
        for _ in 0..rounds {
            cluster.round(&mut Traffic::default());
        }
        cluster
    }

    /// Lets something change, and runs rounds until all know it (`most` at most).
    pub(crate) fn spread(&mut self, news: News, most: usize) -> Measured {
        let first = self.nodes[self.changed].own().id;
        for n in 0..self.nodes.len() {
            if n == self.changed || news == News::All {
                let _ = self.nodes[n].set(StateKey::SchemaVersion, news.value(n));
            }
        }
        let mut traffic = Traffic::default();
        let (mut rounds, mut heard, mut rounds_of_all) = (None, None, None);
        let is_new = |member: &Member| member.get(StateKey::SchemaVersion).is_some();
        let mut passed = 0;
        while passed < most && rounds_of_all.is_none() {
            self.round(&mut traffic);
            passed += 1;
            if news == News::Wave {
                for node in &mut self.nodes {
                    if node.members().any(is_new) {
                        let _ = node.set(StateKey::SchemaVersion, news.value(0));
                    }
                }
            }
            let all = |knows: &dyn Fn(&Gossip) -> bool| self.nodes.iter().all(knows).then_some(passed);
            rounds = rounds.or_else(|| all(&|node| node.member(first).is_some_and(is_new)));
            heard = heard.or_else(|| all(&|node| node.members().any(is_new)));
            if rounds.is_some() {
                let changes = |node: &Gossip| news == News::One || node.members().all(is_new);
                rounds_of_all = all(&changes);
            }
        }
        let events = self.nodes.iter_mut().flat_map(Gossip::take_events);
        let downs = events.filter(|event| matches!(event, Event::Down(_))).count();
        Measured {
            rounds: rounds.unwrap_or(usize::MAX),
            heard: heard.unwrap_or(usize::MAX),
            rounds_of_all: rounds_of_all.unwrap_or(usize::MAX),
            bytes_per_node_and_round: traffic.bytes as f64 / self.nodes.len() as f64 / passed as f64,
            largest: traffic.largest,
            downs,
        }
    }

    /// Every node takes its turn, and what follows is delivered, one wave of messages after the other.
    fn round(&mut self, traffic: &mut Traffic) {
        self.now += INTERVAL;
        let mut wave = Vec::new();
        for n in 0..self.nodes.len() {
            let mut random = generator(&mut self.random);
            let outgoing = self.nodes[n].tick(self.now, &mut random);
            wave.extend(outgoing.into_iter().map(|out| letter(n, &out)));
        }
        while !wave.is_empty() {
            let mut answers = Vec::new();
            for letter in wave {
                traffic.bytes += letter.bytes.len();
                traffic.largest = traffic.largest.max(letter.bytes.len());
                answers.extend(self.deliver(&letter));
            }
            wave = answers;
        }
    }

    fn deliver(&mut self, sent: &Letter) -> Vec<Letter> {
        let mut random = generator(&mut self.random);
        let Ok(message) = rmp_serde::from_slice(&sent.bytes) else {
            return Vec::new();
        };
        if random() % 100 < self.loss {
            return Vec::new();
        }
        let answers = self.nodes[sent.to].receive(self.now, address(sent.from), message, &mut random);
        answers.iter().map(|out| letter(sent.to, out)).collect()
    }
}

fn node(config: &Config, n: usize) -> Gossip {
    let identity = Identity {
        id: NodeId((n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)),
        address: address(n),
        generation: 1_700_000_000,
    };
    let mut gossip = Gossip::new(config.clone(), identity, vec![address(0)]);
    for (key, value) in [(StateKey::Status, status::NORMAL), (StateKey::Datacenter, "dc1")] {
        let _ = gossip.set(key, value);
    }
    gossip
}

fn letter(from: usize, out: &Outgoing) -> Letter {
    Letter {
        from,
        to: number(out.to),
        bytes: rmp_serde::to_vec(&out.message).unwrap_or_default(),
    }
}

#[derive(Default)]
struct Traffic {
    bytes: usize,
    largest: usize,
}
