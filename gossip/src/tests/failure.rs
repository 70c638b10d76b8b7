//! Who is alive, and how fast it is known.

use std::time::Duration;

use super::cluster::{Cluster, address, id, node};
use crate::{Config, Event, StateKey, gossip::MAX_EVENTS, status};

fn downs(cluster: &Cluster) -> usize {
    cluster
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Down(_)))
        .count()
}

/// Without any hint, in seconds, and nobody else is suspected.
#[test]
fn a_silent_node_is_found() {
    let mut cluster = Cluster::of(20, 21);
    cluster.converge(10);
    for _ in 0..20 {
        cluster.round();
    }
    cluster.kill(7);
    let mut seconds = 0;
    while cluster.nodes.values().any(|node| node.is_alive(id(7))) {
        cluster.round();
        seconds += 1;
        assert!(seconds <= 12, "not found in {seconds} s");
    }
    assert!(seconds >= 3, "{seconds} s is rash");
    assert_eq!(downs(&cluster), 19);
}

/// With the hint of a broken connection: at once; and what the others still tell of it does not revive it.
#[test]
fn a_broken_connection_convicts_at_once() {
    let mut cluster = Cluster::of(10, 22);
    cluster.converge(10);
    cluster.kill(7);
    let now = cluster.now;
    cluster.get(1).report_failure(id(7), now);
    assert!(!cluster.get(1).is_alive(id(7)));
    for _ in 0..20 {
        cluster.round();
        assert!(!cluster.get(1).is_alive(id(7)));
    }
}

/// A wrong report is corrected in the next round: the member is asked.
#[test]
fn a_wrong_report_is_corrected() {
    let mut cluster = Cluster::of(30, 23);
    cluster.converge(10);
    let now = cluster.now;
    cluster.get(1).report_failure(id(7), now);
    assert!(!cluster.get(1).is_alive(id(7)));
    cluster.tick(1);
    assert!(cluster.get(1).is_alive(id(7)));
}

/// Who can't be asked, but goes on living, is believed again after the time of doubt.
#[test]
fn doubt_ends() {
    let mut cluster = Cluster::of(5, 24);
    cluster.converge(10);
    cluster.cut.insert((1, 2));
    let now = cluster.now;
    cluster.get(1).report_failure(id(2), now);
    let doubt = cluster.config.doubt.as_secs();
    for _ in 0..doubt - 1 {
        cluster.round();
        assert!(!cluster.get(1).is_alive(id(2)));
    }
    for _ in 0..4 {
        cluster.round();
    }
    assert!(cluster.get(1).is_alive(id(2)), "the others vouch for it");
}

/// A first heard-of member is not taken for alive: it may have died long ago.
#[test]
fn hearsay_is_no_proof_of_life() {
    let mut cluster = Cluster::of(3, 25);
    cluster.converge(5);
    cluster.kill(3);
    cluster.start(4, 1);
    cluster.round();
    assert!(cluster.get(4).member(id(3)).is_some());
    assert!(!cluster.get(4).is_alive(id(3)));
    assert!(cluster.get(4).is_alive(id(1)));
    assert!(!cluster.events.contains(&(4, Event::Up(id(3)))));
}

#[test]
fn other_answers_prove_life_too() {
    let mut cluster = Cluster::of(2, 26);
    cluster.converge(5);
    cluster.cut.insert((1, 2));
    for _ in 0..20 {
        cluster.round();
        let now = cluster.now;
        cluster.get(1).report_alive(id(2), now);
        cluster.get(1).report_alive(id(99), now);
        cluster.get(1).report_failure(id(99), now);
    }
    assert!(cluster.get(1).is_alive(id(2)));
    assert!(!cluster.get(2).is_alive(id(1)));
}

#[test]
fn a_node_never_doubts_itself() {
    let mut cluster = Cluster::of(1, 27);
    let now = cluster.now;
    cluster.get(1).report_failure(id(1), now);
    for _ in 0..30 {
        cluster.round();
    }
    assert!(cluster.get(1).is_alive(id(1)));
    assert_eq!(cluster.nodes[&1].phi(id(1), cluster.now), None);
}

/// A suspended process (a laptop's lid) does not take the rest of the world for dead when it wakes.
#[test]
fn an_own_pause_convicts_nobody() {
    let mut cluster = Cluster::of(5, 28);
    cluster.converge(10);
    cluster.now += Duration::from_hours(1);
    cluster.tick(1);
    assert_eq!(downs(&cluster), 0);
}

/// While a process stood still the others gave up its connections: that these are broken says nothing about the others,
/// before its next round and until the second one after it. Then reports count again.
#[test]
fn after_an_own_pause_broken_connections_convict_nobody() {
    let mut cluster = Cluster::of(5, 28);
    cluster.converge(10);
    cluster.now += Duration::from_secs(20);
    for rounds in 0..2 {
        let now = cluster.now;
        cluster.get(1).report_failure(id(2), now);
        let is_alive = cluster.get(1).is_alive(id(2));
        assert!(is_alive, "{rounds} rounds after the pause");
        cluster.tick(1);
        cluster.now += cluster.config.interval;
    }
    let now = cluster.now;
    cluster.get(1).report_failure(id(2), now);
    assert!(!cluster.get(1).is_alive(id(2)));
}

/// What was silence before the pause still is.
#[test]
fn an_own_pause_is_no_acquittal() {
    let mut cluster = Cluster::of(5, 28);
    cluster.converge(10);
    for _ in 0..20 {
        cluster.round();
    }
    cluster.kill(5);
    for _ in 0..5 {
        cluster.round();
    }
    assert_eq!(downs(&cluster), 0);
    cluster.now += Duration::from_hours(1);
    for _ in 0..8 {
        cluster.round();
    }
    assert_eq!(downs(&cluster), 4);
}

/// What is heard of a node that announced its end does not revive it; its next start does.
#[test]
fn a_shutdown_is_final_until_the_next_start() {
    let mut cluster = Cluster::of(4, 29);
    cluster.converge(10);
    // Only the first hears it from the node itself.
    cluster.cut.extend([(4, 2), (4, 3)]);
    cluster.shut_down(4);
    assert!(
        cluster.get(4).tick(Duration::ZERO, &mut || 0).is_empty(),
        "silent"
    );
    assert!(cluster.get(4).shutdown().is_empty(), "once");
    cluster.kill(4);
    cluster.cut.clear();
    for _ in 0..4 {
        cluster.round();
    }
    for n in 1..4 {
        let known = cluster.get(n).member(id(4)).expect("known");
        assert_eq!(
            (known.alive, known.get(StateKey::Status)),
            (false, Some(status::SHUTDOWN))
        );
        let now = cluster.now;
        cluster.get(n).report_alive(id(4), now);
        assert!(!cluster.get(n).is_alive(id(4)));
    }
    cluster.start(4, 2);
    cluster.converge(10);
}

/// A node that moved is found where it is now.
#[test]
fn a_new_address_is_followed() {
    let mut cluster = Cluster::of(4, 30);
    cluster.converge(10);
    cluster.kill(3);
    let mut moved = node(&cluster.config, 3, 2, &[1]);
    moved = crate::Gossip::new(
        cluster.config.clone(),
        crate::Identity {
            address: address(33),
            ..super::cluster::identity(3, 2)
        },
        vec![address(1), moved.own().address],
    );
    moved.set(StateKey::Status, status::NORMAL).expect("short");
    cluster.insert(3, moved);
    cluster.converge(10);
    assert_eq!(
        cluster.get(1).member(id(3)).map(|member| member.address),
        Some(address(33))
    );
    assert_eq!(cluster.get(1).members().count(), 4);
}

/// A clock that went back gives a lower generation; the node hears of the higher one and goes beyond it.
#[test]
fn a_lower_generation_is_raised() {
    let mut cluster = Cluster::of(3, 31);
    cluster.kill(2);
    cluster.start(2, 1_000);
    cluster.converge(10);
    cluster.kill(2);
    cluster.start(2, 10);
    cluster.set(2, StateKey::Load, "new");
    cluster.converge(10);
    assert_eq!(cluster.get(2).own().generation, 1_001);
    assert_eq!(
        cluster
            .get(1)
            .member(id(2))
            .and_then(|member| member.get(StateKey::Load)),
        Some("new")
    );
}

/// Who does not take events is told so, and memory stays bounded.
#[test]
fn events_are_bounded() {
    let mut gossip = node(&Config::default(), 1, 1, &[]);
    let mut other = node(&Config::default(), 2, 1, &[1]);
    let mut random = || 0;
    let now = Duration::from_secs(1);
    for syn in other.tick(now, &mut random) {
        for ack in gossip.receive(now, address(2), syn.message, &mut random) {
            for ack2 in other.receive(now, address(1), ack.message, &mut random) {
                gossip.receive(now, address(2), ack2.message, &mut random);
            }
        }
    }
    for _ in 0..=MAX_EVENTS / 2 {
        gossip.report_failure(id(2), now);
        gossip.report_alive(id(2), now);
    }
    let events = gossip.take_events();
    assert!(events.len() <= MAX_EVENTS);
    assert_eq!(events.first(), Some(&Event::Missed));
    assert!(gossip.take_events().is_empty());
}
