//! A cluster in which nobody dies, and its nodes' clocks and messages are unreliable.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use starling_model::NodeId;

use super::network::{address, generator, number};
#[cfg(test)]
use crate::{Config, Event, Gossip, Identity, Outgoing, StateKey, status};
#[cfg(not(test))]
use starling_gossip::{Config, Event, Gossip, Identity, Outgoing, StateKey, status};

/// What makes trouble.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trouble {
    /// Of 100 messages so many are lost.
    pub(crate) loss: u64,
    /// Each round is late by a time with this mean, exponentially distributed.
    pub(crate) late: Duration,
}

/// Wrong judgements.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Alarms {
    /// A live member became a suspect.
    pub(crate) suspicions: usize,
    /// A live member was taken for dead.
    pub(crate) verdicts: usize,
}

/// Nodes with their own clocks.
pub(crate) struct Cluster {
    nodes: Vec<Option<Gossip>>,
    /// When each takes its next turn, the soonest first.
    turns: BinaryHeap<Reverse<(Duration, usize)>>,
    now: Duration,
    interval: Duration,
    trouble: Trouble,
    random: u64,
}

impl Cluster {
    /// A cluster that has gossiped for two minutes.
    pub(crate) fn new(count: usize, config: &Config, trouble: Trouble, seed: u64) -> Self {
        let start = Duration::from_secs(100);
        let mut nodes: Vec<Gossip> = (0..count).map(|n| node(config, n)).collect();
        let everybody: Vec<_> = nodes.iter().map(|gossip| gossip.own().clone()).collect();
        for gossip in &mut nodes {
            gossip.introduce(&everybody, start);
        }
        let turn = |n: usize| Reverse((start + config.interval * n as u32 / count as u32, n));
        let mut cluster = Self {
            nodes: nodes.into_iter().map(Some).collect(),
            turns: (0..count).map(turn).collect(),
            now: start,
            interval: config.interval,
            trouble,
            random: seed,
        };
        cluster.run(Duration::from_mins(2));
        cluster
    }

    /// Lets time pass, and counts wrong judgements.
    pub(crate) fn run(&mut self, time: Duration) -> Alarms {
        let end = self.now + time;
        let mut alarms = Alarms::default();
        while self.now < end {
            for (_, event) in self.step() {
                match event {
                    Event::Suspected(_) => alarms.suspicions += 1,
                    Event::Down(_) => alarms.verdicts += 1,
                    _ => {}
                }
            }
        }
        alarms
    }

    /// Ends a node without a word. How long it takes until all others have found out; an hour at most.
    pub(crate) fn kill(&mut self, dead: usize) -> Duration {
        let (killed, id) = (self.now, NodeId(dead as u128 + 1));
        self.nodes[dead] = None;
        let believes = |gossip: &Gossip| gossip.is_alive(id);
        while self.nodes.iter().flatten().any(believes) && self.now < killed + Duration::from_hours(1) {
            self.step();
        }
        self.now.saturating_sub(killed)
    }

    /// The next turn of a node, and what follows from it.
    fn step(&mut self) -> Vec<(usize, Event)> {
        let Some(Reverse((at, turn))) = self.turns.pop() else {
            return Vec::new();
        };
        self.now = at;
        let unit = (generator(&mut self.random)() >> 11) as f64 / (1_u64 << 53) as f64;
        let late = self.trouble.late.mul_f64(-(1.0 - unit).ln());
        self.turns.push(Reverse((at + self.interval + late, turn)));
        let mut random = generator(&mut self.random);
        let Some(node) = &mut self.nodes[turn] else {
            return Vec::new();
        };
        let first = node.tick(at, &mut random);
        drop(random);
        let mut queue: VecDeque<(usize, Outgoing)> = first.into_iter().map(|out| (turn, out)).collect();
        while let Some((from, out)) = queue.pop_front() {
            let mut random = generator(&mut self.random);
            let (lost, to) = (random() % 100 < self.trouble.loss, number(out.to));
            let Some(node) = self.nodes[to].as_mut().filter(|_| !lost) else {
                continue;
            };
            let answers = node.receive(at, address(from), out.message, &mut random);
            queue.extend(answers.into_iter().map(|out| (to, out)));
        }
        let each = self.nodes.iter_mut().enumerate();
        let events = each.filter_map(|(n, node)| node.as_mut().map(|node| (n, node.take_events())));
        events
            .flat_map(|(n, events)| events.into_iter().map(move |event| (n, event)))
            .collect()
    }
}

fn node(config: &Config, n: usize) -> Gossip {
    let identity = Identity {
        id: NodeId(n as u128 + 1),
        address: address(n),
        generation: 1,
    };
    let mut gossip = Gossip::new(config.clone(), identity, Vec::new());
    let _ = gossip.set(StateKey::Status, status::NORMAL);
    gossip
}
