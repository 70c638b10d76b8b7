//! Who is not let in, and what is not believed.

use std::time::Duration;

use super::cluster::{Cluster, address, id, identity, node};
use crate::{
    Config, Event, Gossip, Message, Refusal, StateKey, ValueTooLong,
    message::{Body, Delta, Digest, MAX_NAME_BYTES, Span, Update},
    state::MAX_VALUE_BYTES,
};

const NOW: Duration = Duration::from_secs(5);

fn two_nodes_with(config: Config) -> Cluster {
    let mut cluster = Cluster::new(Config::default(), 41);
    cluster.start(1, 1);
    cluster.insert(2, node(&config, 2, 1, &[1]));
    cluster.tick(2);
    cluster
}

#[test]
fn another_cluster() {
    let cluster = two_nodes_with(Config {
        cluster: "test".to_owned(),
        ..Config::default()
    });
    let reason = Refusal::Cluster {
        expected: "starling".to_owned(),
        found: "test".to_owned(),
    };
    assert_eq!(
        reason.to_string(),
        "the node belongs to cluster 'test', not to 'starling'; check its cluster name and seeds"
    );
    assert_eq!(
        cluster.events,
        [
            (
                1,
                Event::Refused {
                    from: address(2),
                    reason: reason.clone()
                }
            ),
            (
                2,
                Event::RefusedBy {
                    from: address(1),
                    reason
                }
            )
        ]
    );
    assert!(
        cluster.nodes.values().all(|node| node.members().count() == 1),
        "nothing was taken over"
    );
}

#[test]
fn another_partitioner() {
    let cluster = two_nodes_with(Config {
        partitioner: "Other".to_owned(),
        ..Config::default()
    });
    let is_partitioner = |event: &Event| matches!(event, Event::Refused { reason: Refusal::Partitioner { found, .. }, .. } if found == "Other");
    assert!(is_partitioner(&cluster.events[0].1));
    assert!(cluster.nodes.values().all(|node| node.members().count() == 1));
}

/// However long the name is, the refusal is not.
#[test]
fn long_names_are_cut() {
    let cluster = two_nodes_with(Config {
        cluster: "ä".repeat(5_000),
        ..Config::default()
    });
    let (
        _,
        Event::Refused {
            reason: Refusal::Cluster { found, .. },
            ..
        },
    ) = &cluster.events[0]
    else {
        panic!("{:?}", cluster.events);
    };
    assert_eq!(found.len(), MAX_NAME_BYTES);
}

#[test]
fn a_second_process_with_the_same_id() {
    let mut first = node(&Config::default(), 1, 1, &[]);
    let copied = crate::Identity {
        address: address(9),
        ..identity(1, 1)
    };
    let mut second = Gossip::new(Config::default(), copied, vec![address(1)]);
    let syn = second.tick(NOW, &mut || 0).remove(0);
    let refusal = first.receive(NOW, address(9), syn.message, &mut || 0).remove(0);
    assert_eq!(refusal.to, address(9));
    second.receive(NOW, address(1), refusal.message, &mut || 0);
    let reason = Refusal::SameId(id(1));
    assert!(
        reason
            .to_string()
            .ends_with("stop one (was a data directory copied?)")
    );
    assert_eq!(
        first.take_events(),
        [Event::Refused {
            from: address(9),
            reason: reason.clone()
        }]
    );
    assert_eq!(
        second.take_events(),
        [Event::RefusedBy {
            from: address(1),
            reason
        }]
    );
}

/// A message as node 2 would send it.
fn message(body: Body) -> Message {
    let Config {
        cluster, partitioner, ..
    } = Config::default();
    Message {
        cluster,
        partitioner,
        sender: id(2),
        generation: 1,
        address: address(2),
        body,
    }
}

fn delta(after: u64, upto: u64, updates: &[(u16, u64, &str)]) -> Delta {
    Delta {
        id: id(2),
        generation: 1,
        address: Some(address(2)),
        after,
        upto,
        updates: updates
            .iter()
            .map(|(key, version, value)| Update {
                key: StateKey::from(*key),
                version: *version,
                value: (*value).to_owned(),
            })
            .collect(),
    }
}

#[test]
fn malformed_messages_change_nothing() {
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    let many: Vec<(u16, u64, &str)> = (0..65).map(|at| (at, u64::from(at) + 1, "v")).collect();
    let cases = [
        (delta(0, 2, &[(0, 2, "a"), (1, 1, "b")]), "versions out of order"),
        (delta(0, 2, &[(0, 3, "a")]), "versions out of order"),
        (delta(3, 4, &[(0, 3, "a")]), "versions out of order"),
        (delta(3, 2, &[]), "versions out of order"),
        (delta(0, 2, &[(0, 1, "a"), (0, 2, "b")]), "a state twice"),
        (delta(0, 2, &[(0, 1, &long)]), "a value that is too long"),
        (delta(0, 100, &many), "too many states"),
        (
            Delta {
                address: None,
                ..delta(0, 1, &[])
            },
            "a member without an address",
        ),
    ];
    for (delta, what) in cases {
        let mut gossip = node(&Config::default(), 1, 1, &[]);
        let answer = gossip.receive(
            NOW,
            address(2),
            message(Body::Ack2 { deltas: vec![delta] }),
            &mut || 0,
        );
        let reason = Refusal::Malformed(what.to_owned());
        assert_eq!(
            gossip.take_events(),
            [Event::Refused {
                from: address(2),
                reason: reason.clone()
            }]
        );
        assert_eq!(answer.len(), 1);
        assert_eq!(answer[0].message.body, Body::Refuse(reason));
        assert_eq!(gossip.members().count(), 1);
    }
}

#[test]
fn a_flood_of_members_is_refused() {
    let config = Config {
        max_members: 3,
        ..Config::default()
    };
    let mut gossip = node(&config, 1, 1, &[]);
    let digest = |n| Digest {
        id: id(n),
        generation: 1,
        version: 1,
    };
    let digests = (0..31).map(digest).collect();
    gossip.receive(
        NOW,
        address(2),
        message(Body::Syn {
            digests,
            span: Span::All,
        }),
        &mut || 0,
    );
    assert!(matches!(
        gossip.take_events()[..],
        [Event::Refused {
            reason: Refusal::Malformed(_),
            ..
        }]
    ));
}

/// States of many deltas together are bounded too.
#[test]
fn states_of_a_member_are_bounded() {
    let mut gossip = node(&Config::default(), 1, 1, &[]);
    for at in 0..1_000_u16 {
        let version = u64::from(at);
        let news = delta(version, version + 1, &[(at, version + 1, "v")]);
        gossip.receive(
            NOW,
            address(2),
            message(Body::Ack2 { deltas: vec![news] }),
            &mut || 0,
        );
    }
    assert_eq!(gossip.member(id(2)).map(|member| member.states.len()), Some(64));
}

/// News with a gap before them would hide what lies in the gap.
#[test]
fn news_with_a_gap_are_not_taken() {
    let mut gossip = node(&Config::default(), 1, 1, &[]);
    let mut tell = |news: Delta| {
        gossip.receive(
            NOW,
            address(2),
            message(Body::Ack2 { deltas: vec![news] }),
            &mut || 0,
        );
        gossip.member(id(2)).map(|member| member.version)
    };
    assert_eq!(tell(delta(3, 5, &[(0, 4, "a")])), None, "nothing is known of it");
    assert_eq!(tell(delta(0, 3, &[(0, 2, "a")])), Some(3));
    assert_eq!(tell(delta(4, 6, &[(0, 5, "a")])), Some(3), "version 4 is missing");
    assert_eq!(tell(delta(2, 6, &[(0, 5, "a")])), Some(6), "an overlap is none");
    assert_eq!(tell(delta(0, 4, &[(0, 4, "old")])), Some(6));
    assert_eq!(
        gossip
            .member(id(2))
            .and_then(|member| member.get(StateKey::Status)),
        Some("a")
    );
}

/// The last generation there is can't be outlived, and that is no overflow.
#[test]
fn the_last_generation() {
    let mut gossip = node(&Config::default(), 1, 1, &[]);
    for generation in [u64::MAX, u64::MAX - 1] {
        let digests = vec![Digest {
            id: id(1),
            generation,
            version: u64::MAX,
        }];
        let syn = Body::Syn {
            digests,
            span: Span::All,
        };
        gossip.receive(NOW, address(2), message(syn), &mut || 0);
    }
    assert_eq!(gossip.own().generation, u64::MAX);
    gossip.tick(NOW, &mut || 0);
}

#[test]
fn values_are_bounded() {
    let mut gossip = node(&Config::default(), 1, 1, &[]);
    let length = MAX_VALUE_BYTES + 1;
    let refused = gossip.set(StateKey::Tokens, "1".repeat(length));
    assert_eq!(
        refused,
        Err(ValueTooLong {
            key: StateKey::Tokens,
            length
        })
    );
    assert_eq!(gossip.own().get(StateKey::Tokens), Some("1,-1"));
    assert_eq!(gossip.set(StateKey::Tokens, "1".repeat(MAX_VALUE_BYTES)), Ok(()));
    let version = gossip.own().version;
    assert_eq!(gossip.set(StateKey::Tokens, "1".repeat(MAX_VALUE_BYTES)), Ok(()));
    assert_eq!(gossip.own().version, version, "nothing new");
}
