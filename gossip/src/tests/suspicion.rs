//! Before a verdict: suspects are asked, and others are asked to ask them.

use std::time::Duration;

use super::cluster::{Cluster, id, node, random};
use crate::{Config, Event, Outgoing};

fn downs(cluster: &Cluster) -> Vec<(u16, u128)> {
    let down = |(n, event): &(u16, Event)| match event {
        Event::Down(id) => Some((*n, id.0)),
        _ => None,
    };
    cluster.events.iter().filter_map(down).collect()
}

fn settled(count: u16, seed: u64) -> Cluster {
    let mut cluster = Cluster::of(count, seed);
    cluster.converge(20);
    for _ in 0..20 {
        cluster.round();
    }
    cluster.events.clear();
    cluster
}

/// Two that can't reach each other, but others, don't take each other for dead.
#[test]
fn a_partial_partition_is_no_death() {
    let mut cluster = settled(6, 61);
    cluster.cut.insert((1, 2));
    for _ in 0..60 {
        cluster.round();
    }
    assert_eq!(downs(&cluster), []);
}

/// Whose connections fail, though others hear from it, goes down once and comes back ever more rarely.
#[test]
fn failing_connections_do_not_flap() {
    let mut cluster = settled(6, 62);
    cluster.cut.insert((1, 2));
    for _ in 0..300 {
        if cluster.get(1).is_alive(id(2)) {
            let now = cluster.now;
            cluster.get(1).report_failure(id(2), now);
        }
        cluster.round();
    }
    let times = downs(&cluster).len();
    assert!(times <= 7, "{times} times in 300 s");
    // Once it can be reached it is believed at once.
    cluster.cut.clear();
    for _ in 0..3 {
        cluster.round();
    }
    assert!(cluster.get(1).is_alive(id(2)));
}

/// What one sends to another is lost, but not the other way: the others vouch for both.
#[test]
fn a_path_that_is_cut_one_way_is_no_death() {
    let mut cluster = settled(6, 66);
    cluster.one_way.insert((1, 2));
    for _ in 0..60 {
        cluster.round();
    }
    assert_eq!(downs(&cluster), []);
}

/// A node that nobody hears is dead to all, and nobody else is. What it believes itself harms nobody.
#[test]
fn a_mute_node_is_dead_to_the_others() {
    let mut cluster = settled(6, 67);
    cluster.one_way = (1..=6).filter(|n| *n != 4).map(|n| (4, n)).collect();
    for _ in 0..40 {
        cluster.round();
    }
    let mut convicted = downs(&cluster);
    convicted.retain(|(judge, _)| *judge != 4);
    convicted.sort_unstable();
    assert_eq!(convicted, [(1, 4), (2, 4), (3, 4), (5, 4), (6, 4)]);
    cluster.one_way.clear();
    cluster.converge(5);
}

/// A node that hears nobody mistrusts itself before it takes the others for dead; then it talks to them less, and may
/// be dead to them. They never doubt each other. Once it hears again all is as it was.
#[test]
fn a_deaf_node_misjudges_alone() {
    let mut cluster = settled(6, 68);
    cluster.one_way = (1..=6).filter(|n| *n != 4).map(|n| (n, 4)).collect();
    for _ in 0..10 {
        cluster.round();
    }
    assert_eq!(downs(&cluster), [], "it mistrusts itself first");
    for _ in 0..50 {
        cluster.round();
    }
    let misjudged = downs(&cluster).iter().filter(|(judge, _)| *judge == 4).count();
    assert_eq!(misjudged, 5);
    assert!(downs(&cluster).iter().all(|(judge, id)| *judge == 4 || *id == 4));
    cluster.one_way.clear();
    cluster.converge(5);
}

/// A slow node takes nobody for dead, and the others see one node go, not each other.
#[test]
fn a_slow_node_does_not_make_others_flap() {
    let mut cluster = settled(12, 63);
    for round in 0..60 {
        // Node 5 takes its turn every fourth second only.
        let slow = (round % 4 != 0).then(|| cluster.nodes.remove(&5)).flatten();
        cluster.round();
        if let Some(slow) = slow {
            cluster.nodes.insert(5, slow);
        }
    }
    let others: Vec<_> = downs(&cluster).into_iter().filter(|(_, id)| *id != 5).collect();
    assert_eq!(others, []);
    assert!(cluster.get(5).mistrust() > 0, "it knows that it is slow");
    assert!((1..=4).all(|n| cluster.nodes[&n].mistrust() <= 2));
    for _ in 0..80 {
        cluster.round();
    }
    assert_eq!(cluster.get(5).mistrust(), 0);
}

/// A node that is cut off from most hesitates; one that comes and goes harms itself only.
#[test]
fn a_flapping_node_harms_itself_only() {
    let mut cluster = settled(12, 64);
    for round in 0..120 {
        cluster.cut = if round / 15 % 2 == 0 {
            (1..=12).filter(|n| *n != 7).map(|n| (7, n)).collect()
        } else {
            std::collections::BTreeSet::default()
        };
        cluster.round();
    }
    let others: Vec<_> = downs(&cluster)
        .into_iter()
        .filter(|(n, id)| *id != 7 && *n != 7)
        .collect();
    assert_eq!(others, []);
}

/// Suspicion costs a suspect that is dead two rounds, not more.
#[test]
fn a_dead_node_is_found_soon() {
    let mut cluster = settled(20, 65);
    cluster.kill(9);
    let mut seconds = 0;
    while cluster.nodes.values().any(|node| node.is_alive(id(9))) {
        cluster.round();
        seconds += 1;
        assert!(seconds <= 13, "not found in {seconds} s");
    }
    assert!(cluster.transcript.contains("PROBE n9"));
    assert!(downs(&cluster).iter().all(|(_, id)| *id == 9));
}

/// Many suspects at once cost small questions, not whole exchanges.
#[test]
fn a_mass_of_suspects_is_cheap() {
    let config = Config::default();
    let mut gossip = node(&config, 1, 1, &[]);
    let others: Vec<_> = (2..=1_000)
        .map(|n| node(&config, n, 1, &[]).own().clone())
        .collect();
    let start = Duration::from_secs(100);
    gossip.introduce(&others, start);
    let mut draw = random(69);
    let (mut most, mut asked) = (0, 0);
    for second in 0..60 {
        let outgoing = gossip.tick(start + Duration::from_secs(second), &mut draw);
        let bytes = |out: &Outgoing| rmp_serde::to_vec(&out.message).expect("it encodes").len();
        most = most.max(outgoing.iter().map(bytes).sum::<usize>());
        asked = asked.max(outgoing.len());
    }
    assert!(asked > 200, "64 suspects, and three witnesses each: {asked}");
    assert!(most < 100 << 10, "{most} bytes in a round");
    assert!(!gossip.members().any(|member| member.alive && member.id != id(1)));
}
