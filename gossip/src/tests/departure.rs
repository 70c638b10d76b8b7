//! Who is gone stays gone; and the epoch, which never goes back.

use std::time::Duration;

use super::cluster::{Cluster, address, id};
use crate::{Config, Event, Refusal, RemoveError, StateKey, gossip::REMOVED_GENERATION, status};

fn short_quarantine(count: u16, seed: u64) -> Cluster {
    let config = Config {
        quarantine: Duration::from_mins(1),
        ..Config::default()
    };
    let mut cluster = Cluster::new(config, seed);
    for n in 1..=count {
        cluster.start(n, 1);
    }
    cluster.converge(10);
    cluster
}

fn rounds(cluster: &mut Cluster, count: usize) {
    for _ in 0..count {
        cluster.round();
    }
}

#[test]
fn a_member_that_left_is_forgotten_and_not_brought_back() {
    let mut cluster = short_quarantine(5, 51);
    // Node 4 hears nothing of it.
    cluster.cut = (1..=5)
        .filter(|n| *n != 4)
        .flat_map(|n| [(4, n), (n, 4)])
        .collect();
    cluster.set(5, StateKey::Status, status::LEFT);
    rounds(&mut cluster, 20);
    for n in 1..4 {
        assert!(cluster.get(n).is_alive(id(5)), "its process goes on");
        assert!(
            cluster
                .get(n)
                .member(id(5))
                .is_some_and(crate::Member::is_departed)
        );
    }
    cluster.kill(5);
    rounds(&mut cluster, 20);
    assert!((1..4).all(|n| !cluster.nodes[&n].is_alive(id(5))));
    rounds(&mut cluster, 42);
    assert!((1..4).all(|n| cluster.nodes[&n].member(id(5)).is_none()));
    assert!(cluster.events.contains(&(1, Event::Forgotten(id(5)))));
    // Node 4 still believes in it, and can't convince anybody.
    assert!(cluster.get(4).member(id(5)).is_some());
    cluster.cut.clear();
    rounds(&mut cluster, 20);
    assert!((1..4).all(|n| cluster.nodes[&n].member(id(5)).is_none()));
}

/// Nobody who comes later takes it for a member that is down for a while.
#[test]
fn a_member_that_left_and_was_stopped_is_forgotten_by_newcomers_too() {
    let mut cluster = short_quarantine(3, 54);
    cluster.set(3, StateKey::Status, status::LEFT);
    rounds(&mut cluster, 3);
    cluster.shut_down(3);
    cluster.kill(3);
    rounds(&mut cluster, 20);
    cluster.start(4, 1);
    rounds(&mut cluster, 10);
    for n in [1, 2, 4] {
        let left = cluster
            .get(n)
            .member(id(3))
            .expect("it is remembered for a while");
        assert!(left.is_departed() && !left.alive, "seen by {n}");
    }
    rounds(&mut cluster, 70);
    assert!([1, 2, 4].iter().all(|n| cluster.nodes[n].member(id(3)).is_none()));
}

/// A node with the id of one that left may come with a later generation.
#[test]
fn who_left_may_come_anew() {
    let mut cluster = short_quarantine(3, 52);
    cluster.set(3, StateKey::Status, status::LEFT);
    rounds(&mut cluster, 3);
    cluster.kill(3);
    rounds(&mut cluster, 3);
    cluster.start(3, 2);
    cluster.converge(10);
}

#[test]
fn a_removed_member_is_refused() {
    let mut cluster = short_quarantine(4, 53);
    let now = cluster.now;
    assert_eq!(cluster.get(1).remove(id(4), now), Err(RemoveError::Alive(id(4))));
    assert_eq!(cluster.get(1).remove(id(1), now), Err(RemoveError::Itself));
    assert_eq!(
        cluster.get(1).remove(id(9), now),
        Err(RemoveError::Unknown(id(9)))
    );
    let mut old = cluster.nodes.remove(&4).expect("it runs");
    for n in [1, 2] {
        // Two at once say the same.
        cluster.get(n).report_failure(id(4), now);
        assert_eq!(cluster.get(n).remove(id(4), now), Ok(()));
        assert_eq!(cluster.get(n).remove(id(4), now), Ok(()));
    }
    let mut random = || 0;
    for _ in 0..6 {
        for (from, to) in [(1_u16, 3_u16), (2, 3), (3, 1)] {
            let outgoing = cluster.get(from).tick(now, &mut random);
            for out in outgoing.into_iter().filter(|out| out.to == address(to)) {
                for ack in cluster
                    .get(to)
                    .receive(now, address(from), out.message, &mut random)
                {
                    for ack2 in cluster
                        .get(from)
                        .receive(now, address(to), ack.message, &mut random)
                    {
                        cluster
                            .get(to)
                            .receive(now, address(from), ack2.message, &mut random);
                    }
                }
            }
        }
    }
    for n in 1..4 {
        let known = cluster.get(n).member(id(4)).expect("known");
        assert!(known.is_removed() && !known.alive);
        assert_eq!((known.generation, known.version), (REMOVED_GENERATION, 1));
        let now = cluster.now;
        cluster.get(n).report_alive(id(4), now);
        assert!(!cluster.get(n).is_alive(id(4)));
    }
    // It comes back, and is told.
    let syn = old.tick(now, &mut random).remove(0);
    let refusal = cluster
        .nodes
        .values_mut()
        .find(|node| node.own().address == syn.to)
        .expect("it runs")
        .receive(now, address(4), syn.message, &mut random)
        .remove(0);
    old.receive(now, syn.to, refusal.message, &mut random);
    assert!(old.is_expelled());
    assert!(old.take_events().contains(&Event::Expelled));
    assert!(
        Refusal::Removed(id(4))
            .to_string()
            .ends_with("was removed from the cluster; start it anew with an empty data directory")
    );
}
