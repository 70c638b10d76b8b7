//! All learn all, whatever is lost, and in whatever order.

use std::{collections::BTreeSet, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::cluster::{Cluster, address, id, identity, node};
use crate::{Config, Event, Gossip, StateKey};

/// In a logarithmic number of rounds: 10 are known to suffice for 1,000 nodes at fan-out 1.
#[test]
fn a_hundred_nodes_meet_through_one_seed() {
    let mut cluster = Cluster::of(100, 11);
    let rounds = cluster.converge(20);
    assert!(rounds <= 8, "{rounds} rounds");
    cluster.set(57, StateKey::SchemaVersion, "new");
    let rounds = cluster.converge(20);
    assert!(rounds <= 6, "{rounds} rounds");
    assert!(
        !cluster
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::Down(_)))
    );
}

#[test]
fn sixty_nodes_meet_though_a_third_of_the_messages_is_lost() {
    let mut cluster = Cluster::of(60, 12);
    cluster.loss = 33;
    let rounds = cluster.converge(40);
    assert!(rounds <= 20, "{rounds} rounds");
    // A loss of a tenth convicts nobody.
    cluster.loss = 10;
    for _ in 0..20 {
        cluster.round();
    }
    cluster.events.clear();
    for _ in 0..40 {
        cluster.round();
    }
    let downs = cluster
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Down(_)))
        .count();
    assert_eq!(downs, 0);
}

/// Messages that hold a fraction of what there is to say still say everything in the end.
#[test]
fn small_messages_suffice() {
    let config = Config {
        max_message_bytes: 0,
        ..Config::default()
    };
    let mut cluster = Cluster::new(config, 13);
    for n in 1..=12 {
        cluster.start(n, 1);
        for key in 100..104 {
            cluster.set(n, StateKey::Unknown(key), &format!("{n}").repeat(4000));
        }
    }
    // 12 nodes with 16 to 32 KiB each, in messages of 24 KiB.
    cluster.converge(60);
}

/// More members than digests fit into a message: they go section by section.
#[test]
fn digests_go_in_sections() {
    let config = Config {
        max_message_bytes: 0,
        ..Config::default()
    };
    let mut cluster = Cluster::new(config, 14);
    let mut seed = node(&cluster.config, 1, 1, &[]);
    seed.set(StateKey::Rack, "r").expect("short");
    cluster.insert(1, seed);
    cluster.start(2, 1);
    cluster.converge(5);
    // The second node alone hears of 800 more; 600 digests fit.
    for n in 1000..1800 {
        cluster.insert(n, node(&cluster.config, n, 1, &[2]));
        cluster.tick(n);
        cluster.kill(n);
    }
    assert_eq!(cluster.get(2).members().count(), 802);
    let mut rounds = 0;
    while cluster.get(1).members().count() < 802 {
        cluster.round();
        rounds += 1;
        assert!(rounds < 60, "{} known", cluster.get(1).members().count());
    }
}

#[test]
fn a_partition_heals() {
    let mut cluster = Cluster::of(10, 15);
    cluster.converge(10);
    cluster.cut = (1..=5).flat_map(|a| (6..=10).map(move |b| (a, b))).collect();
    for _ in 0..30 {
        cluster.round();
    }
    assert!((6..=10).all(|n| !cluster.nodes[&1].is_alive(id(n))));
    assert!((2..=5).all(|n| cluster.nodes[&1].is_alive(id(n))));
    cluster.set(3, StateKey::Load, "3");
    cluster.cut.clear();
    let rounds = cluster.converge(20);
    assert!(rounds <= 12, "{rounds} rounds");
}

/// Two pairs that each formed without the other's seed.
#[test]
fn islands_find_each_other() {
    let mut cluster = Cluster::new(Config::default(), 16);
    for n in 1..=4 {
        let gossip = node(&cluster.config, n, 1, &[1, 2]);
        cluster.insert(n, gossip);
    }
    cluster.cut = BTreeSet::from([(1, 2), (1, 4), (2, 3), (3, 4)]);
    for _ in 0..3 {
        cluster.round();
    }
    assert!(cluster.nodes[&1].is_alive(id(3)) && cluster.nodes[&2].is_alive(id(4)));
    cluster.cut.clear();
    cluster.converge(30);
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Tick(u16),
    Set(u16, u16),
    Restart(u16),
    Lose(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 1_u16..6;
    prop_oneof![
        10 => node().prop_map(Step::Tick),
        3 => (node(), 0_u16..4).prop_map(|(n, key)| Step::Set(n, key)),
        1 => node().prop_map(Step::Restart),
        1 => (0_u64..90).prop_map(Step::Lose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever happened, and in whatever order: once messages arrive all agree; and no invariant broke on
    /// the way (the cluster checks them at every step).
    #[test]
    fn any_history_converges(steps in vec(step(), 0..120), seed in any::<u64>()) {
        let mut cluster = Cluster::of(5, seed);
        let mut generation = 1;
        for (at, step) in steps.into_iter().enumerate() {
            cluster.now += Duration::from_millis(200);
            match step {
                Step::Tick(n) => cluster.tick(n),
                Step::Set(n, key) => cluster.set(n, StateKey::Unknown(100 + key), &at.to_string()),
                Step::Restart(n) => {
                    generation += 1;
                    cluster.start(n, generation);
                }
                Step::Lose(percent) => cluster.loss = percent,
            }
        }
        cluster.loss = 0;
        let rounds = cluster.converge(30);
        prop_assert!(rounds <= 20, "{} rounds", rounds);
    }

    /// Messages may come late, twice, and in any order.
    #[test]
    fn order_and_repetition_do_not_matter(order in vec(any::<prop::sample::Index>(), 60), seed in any::<u64>()) {
        let mut random = super::cluster::random(seed);
        let config = Config::default();
        let mut nodes: Vec<Gossip> = (1..=3).map(|n| node(&config, n, 1, &[1])).collect();
        let mut network = Vec::new();
        let mut now = Duration::from_secs(100);
        let versions = |node: &Gossip| -> Vec<_> {
            node.members().map(|member| (member.id, member.generation, member.version)).collect()
        };
        for (at, pick) in order.iter().enumerate() {
            now += Duration::from_millis(100);
            let turn = at % 3;
            nodes[turn].set(StateKey::Load, at.to_string()).expect("short");
            network.extend(nodes[turn].tick(now, &mut random));
            if network.is_empty() {
                continue;
            }
            // Delivered, and left in the network.
            let crate::Outgoing { to, message } = network[pick.index(network.len())].clone();
            for node in &mut nodes {
                if node.own().address == to {
                    let before = versions(node);
                    network.extend(node.receive(now, address(0), message.clone(), &mut random));
                    let after = versions(node);
                    let kept = before.iter().all(|old| after.iter().any(|new| new.0 == old.0 && new >= old));
                    prop_assert!(kept, "nothing is forgotten");
                }
            }
        }
        let mut cluster = Cluster::new(config, seed);
        cluster.now = now;
        for (n, node) in (1..=3).zip(nodes) {
            // What was said before the cluster watched is said again by its owner.
            prop_assert_eq!(node.own().generation, 1);
            cluster.insert_unchecked(n, node);
        }
        cluster.converge(10);
    }
}

#[test]
fn the_limit_of_members_holds() {
    let config = Config {
        max_members: 10,
        ..Config::default()
    };
    let mut cluster = Cluster::new(config.clone(), 17);
    cluster.insert(1, node(&config, 1, 1, &[]));
    for n in 2..30 {
        cluster.insert(n, Gossip::new(config.clone(), identity(n, 1), vec![address(1)]));
        cluster.tick(n);
    }
    assert_eq!(cluster.get(1).members().count(), 10);
    for _ in 0..5 {
        cluster.round();
    }
    assert_eq!(cluster.get(1).members().count(), 10);
}
