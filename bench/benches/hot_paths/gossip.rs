//! A round of gossip: the exchange of two nodes that both know all members.

use std::{net::SocketAddr, time::Duration};

use criterion::{BatchSize, Criterion};
use starling_gossip::{Config, Gossip, Identity, Member, Message, StateKey, status};
use starling_model::NodeId;

/// When the round is.
const NOW: Duration = Duration::from_secs(100);

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 7000))
}

/// Splitmix64 (Steele et al., 2014).
fn random(mut seed: u64) -> impl FnMut() -> u64 + Clone {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A node with the states that nodes have.
fn node(number: u16) -> Gossip {
    let identity = Identity {
        id: NodeId(u128::from(number)),
        address: address(number),
        generation: 1,
    };
    let mut gossip = Gossip::new(Config::default(), identity, Vec::new());
    let states = [
        (StateKey::Status, status::NORMAL),
        (StateKey::Datacenter, "dc1"),
        (StateKey::Rack, "rack1"),
        (StateKey::SchemaVersion, "8d0ab8b2-6d9f-4d53-8a53-6c2b1d6f5a10"),
    ];
    for (key, value) in states {
        gossip.set(key, value).expect("it is short");
    }
    gossip
}

/// Two of so many, each of which knows newer heartbeats of about half of the others.
fn two_of(members: u16) -> [Gossip; 2] {
    let known = |seed: u64| -> Vec<Member> {
        let mut random = random(seed);
        let each = (1..=members).map(|number| node(number).own().clone());
        let aged = each.map(|member| Member {
            version: member.version + random() % 9,
            ..member
        });
        aged.collect()
    };
    let mut nodes = [node(1), node(2)];
    for (node, seed) in nodes.iter_mut().zip([74, 75]) {
        node.introduce(&known(seed), NOW);
    }
    nodes
}

/// What travels, to bytes and back.
fn carried(message: &Message) -> Message {
    let bytes = rmp_serde::to_vec(message).expect("it encodes");
    rmp_serde::from_slice(&bytes).expect("it is what was written")
}

/// The three messages of an exchange.
fn exchange([one, other]: &mut [Gossip; 2], random: &mut dyn FnMut() -> u64) {
    // There is one other to talk to, or three of many: the first answers.
    let round = one.tick(NOW, random);
    let syn = carried(&round.first().expect("there is somebody to talk to").message);
    let mut ack = other.receive(NOW, address(1), syn, random);
    let ack = carried(&ack.remove(0).message);
    let mut rest = one.receive(NOW, address(2), ack, random);
    let rest = carried(&rest.remove(0).message);
    other.receive(NOW, address(1), rest, random);
}

/// Of how many members both know the same.
fn agreed([one, other]: &[Gossip; 2]) -> usize {
    let same = |member: &&Member| other.member(member.id).map(|it| it.version) == Some(member.version);
    one.members().filter(same).count()
}

/// Digests, what either lacks, and the messages' bytes. A message tells of 256 members at most.
pub(crate) fn round(criterion: &mut Criterion) {
    for members in [100_u16, 1000] {
        let nodes = two_of(members);
        let chance = random(76);
        let mut after = nodes.clone();
        exchange(&mut after, &mut chance.clone());
        let (told, before) = (agreed(&after), agreed(&nodes));
        assert!(told >= before + 80, "from {before} to {told} of {members}");
        criterion.bench_function(&format!("gossip/exchange_of_{members}_members"), |b| {
            b.iter_batched(
                || (nodes.clone(), chance.clone()),
                |(mut nodes, mut chance)| {
                    exchange(&mut nodes, &mut chance);
                    // Letting go of them is none of it.
                    nodes
                },
                BatchSize::LargeInput,
            );
        });
    }
}
