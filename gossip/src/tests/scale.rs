//! Large clusters: how fast an update reaches all, and what that costs. The same with whole views of 1,000
//! nodes, and with 10,000, is measured by the example `convergence`.

#[path = "../../examples/convergence/model.rs"]
mod model;
#[path = "../../examples/convergence/network.rs"]
mod network;
#[path = "../../examples/false_alarms/model.rs"]
mod noisy;

use std::time::Duration;

use model::{Cluster, News};
use noisy::{Cluster as Noisy, Trouble};

use super::cluster::{address, node, random};
use crate::{Config, Member, Message, message::Body};

/// 300 nodes, more than one message has digests for, and a tenth of the messages lost.
#[test]
fn an_update_reaches_all_in_few_rounds() {
    let mut cluster = Cluster::warm(300, (300, 256), 10, 71);
    let measured = cluster.spread(News::One, 30);
    assert!(measured.rounds <= 8, "{measured:?}");
    assert!(measured.largest <= 60 << 10, "{measured:?}");
    // The bound of ALGORITHM.md: 3 exchanges of 256 digests and 64 fresh ones.
    assert!(measured.bytes_per_node_and_round <= 3.0 * (192.0 * 321.0 + 768.0));
    assert_eq!(measured.downs, 0);
}

/// The same with 1,000, each of which knows 60 others, at random: views of all would take minutes, and whom a node talks to
/// is as random.
#[test]
fn an_update_reaches_a_thousand_nodes_in_few_rounds() {
    let mut cluster = Cluster::warm(1_000, (60, 256), 10, 72);
    let measured = cluster.spread(News::One, 30);
    assert!(measured.rounds <= 8, "{measured:?}");
    assert_eq!(measured.downs, 0);
}

/// A message tells of as small a share of 300 members as of 10,000 with the usual bounds. One change spreads by the fresh list all the
/// same, and when it makes every member change something (a new ring, a new schema), all hear of it from somebody as fast.
#[test]
fn an_update_needs_no_section() {
    let mut cluster = Cluster::warm(300, (300, 8), 10, 73);
    let measured = cluster.spread(News::One, 12);
    assert!(measured.rounds <= 8, "{measured:?}");
    assert_eq!(measured.rounds_of_all, measured.rounds);
    let mut cluster = Cluster::warm(300, (300, 8), 10, 73);
    let measured = cluster.spread(News::Wave, 8);
    assert!(measured.heard <= 8, "{measured:?}");
}

/// One exchange of two nodes that know 10,000 members, in the worst case: for every member in the section one has a newer
/// heartbeat than the other. Nothing in it grows with the number of members.
#[test]
fn an_exchange_is_bounded_however_many_members() {
    let config = Config::default();
    let now = Duration::from_secs(100);
    let mut nodes = [node(&config, 1, 1, &[]), node(&config, 2, 1, &[])];
    let known = |odd: u16| -> Vec<Member> {
        let mut random = random(74);
        let each = (1..=10_000).map(|n| (n, node(&config, n, 1, &[]).own().clone()));
        each.map(|(n, member)| Member {
            version: member.version + random() % 9 + u64::from(n % 2 == odd),
            ..member
        })
        .collect()
    };
    nodes[0].introduce(&known(0), now);
    nodes[1].introduce(&known(1), now);
    let mut random = random(75);
    let [one, other] = &mut nodes;
    let bytes = |message: &Message| rmp_serde::to_vec(message).expect("it encodes").len();
    let syn = one.tick(now, &mut random).remove(0);
    let ack = other
        .receive(now, address(1), syn.message.clone(), &mut random)
        .remove(0);
    let ack2 = one
        .receive(now, address(2), ack.message.clone(), &mut random)
        .remove(0);
    let (Body::Syn { digests, .. }, Body::Ack { wanted, deltas }, Body::Ack2 { deltas: rest }) =
        (&syn.message.body, &ack.message.body, &ack2.message.body)
    else {
        panic!("not an exchange");
    };
    let section = config.max_digests..=config.max_digests + 1;
    assert!(
        section.contains(&digests.len()),
        "and the sender, if it is not in it"
    );
    assert!(wanted.len() > 100 && deltas.len() > 100 && wanted.len() == rest.len());
    assert!(wanted.len() + deltas.len() <= digests.len());
    let all = [&syn, &ack, &ack2].map(|out| bytes(&out.message));
    // What ALGORITHM.md states: 40 bytes a digest and a want, 112 a heartbeat, and three headers.
    let compared = digests.len();
    assert!(all.iter().sum::<usize>() <= 192 * compared + 3 * 256, "{all:?}");
}

/// In a tenth of loss, with rounds that are late now and then, nobody is taken for dead in an hour, and few are
/// suspected. The example `false_alarms` has the table.
#[test]
fn alarms_are_rarely_false() {
    let trouble = Trouble {
        loss: 10,
        late: Duration::from_millis(200),
    };
    let mut cluster = Noisy::new(6, &Config::default(), trouble, 76);
    let alarms = cluster.run(Duration::from_hours(1));
    assert_eq!(alarms.verdicts, 0, "{alarms:?}");
    assert!(alarms.suspicions <= 6, "{alarms:?}");
    let found = cluster.kill(0);
    assert!(found <= Duration::from_secs(12), "{found:?}");
}
