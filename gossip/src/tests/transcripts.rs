//! What two or three nodes say to each other, word by word.

use super::cluster::{Cluster, address, id};
use crate::{Config, StateKey};

/// Three nodes meet through the first, until everybody knows that everybody is alive.
#[test]
fn first_contact() {
    let mut cluster = Cluster::of(3, 1);
    cluster.converge(3);
    assert_transcript(&cluster, include_str!("transcripts/first_contact.txt"));
}

/// A node is killed and starts again, with a later generation and at another address.
#[test]
fn restart() {
    let mut cluster = Cluster::of(2, 2);
    cluster.round();
    cluster.kill(2);
    cluster.round();
    let mut anew = super::cluster::node(&Config::default(), 2, 7, &[1]);
    anew.set(StateKey::Release, "2").expect("short");
    cluster.insert(2, anew);
    cluster.round();
    assert!(cluster.agree());
    assert_transcript(&cluster, include_str!("transcripts/restart.txt"));
}

/// A broken connection is reported to a node, though the other is alive: down at once, up with its next answer.
#[test]
fn flapping() {
    let mut cluster = Cluster::of(2, 3);
    cluster.round();
    cluster.transcript.clear();
    for _ in 0..2 {
        let now = cluster.now;
        cluster.get(1).report_failure(id(2), now);
        cluster.round();
    }
    assert!(cluster.agree());
    assert_transcript(&cluster, include_str!("transcripts/flapping.txt"));
}

/// A node announces that it ends.
#[test]
fn shutdown() {
    let mut cluster = Cluster::of(3, 4);
    cluster.converge(5);
    cluster.transcript.clear();
    cluster.shut_down(3);
    cluster.kill(3);
    cluster.round();
    assert_transcript(&cluster, include_str!("transcripts/shutdown.txt"));
    for n in [1, 2] {
        assert!(!cluster.get(n).is_alive(id(3)));
        assert_eq!(
            cluster.get(n).member(id(3)).map(|member| member.address),
            Some(address(3))
        );
    }
}

#[track_caller]
fn assert_transcript(cluster: &Cluster, expected: &str) {
    let found = &cluster.transcript;
    assert!(found == expected, "the transcript is:\n{found}");
}
