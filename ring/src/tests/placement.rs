//! Replicas by examples, against a naive walk, and by their invariants.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::btree_map, option, prelude::*, strategy::Strategy as _};
use starling_model::{NodeId, Token, TokenRange};

use super::clusters::{cluster, ids, member};
use crate::{Member, Partitioner, Placement, Ring, Strategy};

fn place(members: &[Member], strategy: &Strategy) -> Placement {
    Ring::new(Partitioner::Murmur3, members.to_vec()).placement(strategy)
}

fn network(factors: &[(&str, u32)]) -> Strategy {
    let factors = factors
        .iter()
        .map(|(name, factor)| ((*name).to_owned(), *factor))
        .collect();
    Strategy::NetworkTopology {
        factors,
        others: None,
    }
}

/// The arcs as text.
fn table(placement: &Placement) -> String {
    let line = |(range, nodes): (TokenRange, &[NodeId])| format!("{range} {:?}\n", ids(nodes));
    placement.ranges().map(line).collect()
}

#[test]
fn simple_takes_the_next_nodes() {
    let members = [
        member(1, "a", "r", &[0, 30]),
        member(2, "a", "r", &[10]),
        member(3, "b", "r", &[20]),
    ];
    let placement = place(&members, &Strategy::Simple { factor: 2 });
    assert_eq!(
        table(&placement),
        "(-9223372036854775808, 0] [1, 2]\n\
         (0, 10] [2, 3]\n\
         (10, 20] [3, 1]\n\
         (20, 9223372036854775807] [1, 2]\n"
    );
    assert_eq!(
        ids(placement.replicas(Token(10))),
        [2, 3],
        "the end is part of the arc"
    );
    assert_eq!(ids(placement.replicas(Token(11))), [3, 1], "the start is not");
    assert_eq!(ids(placement.replicas(Token::MAX)), [1, 2]);
    assert_eq!(
        placement.ranges_of(NodeId(1)),
        [
            TokenRange {
                start: Token::MIN,
                end: Token(0)
            },
            TokenRange {
                start: Token(10),
                end: Token::MAX
            }
        ]
    );
}

#[test]
fn more_replicas_than_nodes_are_all_nodes() {
    let members = [
        member(1, "a", "r", &[0]),
        member(2, "a", "r", &[10]),
        member(9, "a", "r", &[]),
    ];
    let placement = place(&members, &Strategy::Simple { factor: 5 });
    assert_eq!(ids(placement.replicas(Token(0))), [1, 2]);
    assert_eq!(ids(placement.replicas(Token(5))), [2, 1]);
    assert_eq!(
        placement.replication().total(),
        5,
        "levels go by what was asked for"
    );
}

#[test]
fn racks_come_first() {
    // Rack x holds the next nodes on the ring; with two racks and three replicas one may repeat.
    let members = [
        member(1, "a", "x", &[0]),
        member(2, "a", "x", &[10]),
        member(3, "a", "x", &[20]),
        member(4, "a", "y", &[30]),
    ];
    let three = place(&members, &network(&[("a", 3)]));
    assert_eq!(ids(three.replicas(Token(0))), [1, 2, 4]);
    let two = place(&members, &network(&[("a", 2)]));
    assert_eq!(ids(two.replicas(Token(0))), [1, 4]);
    assert_eq!(ids(two.replicas(Token(25))), [4, 1]);
}

#[test]
fn each_datacenter_has_its_own() {
    let members = [
        member(1, "a", "r", &[0]),
        member(2, "b", "r", &[1]),
        member(3, "a", "r", &[10]),
        member(4, "b", "r", &[11]),
        member(5, "c", "r", &[12]),
    ];
    let placement = place(
        &members,
        &network(&[("a", 2), ("b", 1), ("nowhere", 3), ("c", 0)]),
    );
    assert_eq!(
        table(&placement),
        "(-9223372036854775808, 0] [1, 2, 3]\n\
         (0, 1] [2, 3, 1]\n\
         (1, 10] [3, 4, 1]\n\
         (10, 11] [4, 1, 3]\n\
         (11, 9223372036854775807] [1, 2, 3]\n"
    );
    let asked = placement.replication();
    assert_eq!(asked.total(), 6, "also where there are no nodes yet");
    assert_eq!(asked.by_datacenter().map(BTreeMap::len), Some(3), "none with 0");
}

#[test]
fn nobody_and_local() {
    let members = [member(1, "a", "r", &[0])];
    for placement in [
        place(&members, &Strategy::Local),
        place(&[], &Strategy::Simple { factor: 3 }),
    ] {
        assert_eq!(
            table(&placement),
            "(-9223372036854775808, 9223372036854775807] []\n"
        );
        assert!(placement.replicas(Token(7)).is_empty());
    }
}

#[test]
fn a_ring_of_one_is_one_arc() {
    let members = [member(1, "a", "r", &[-50, 0, 7])];
    let placement = place(&members, &Strategy::Simple { factor: 3 });
    assert_eq!(
        table(&placement),
        "(-9223372036854775808, 9223372036854775807] [1]\n"
    );
}

/// Cassandra's rule, written down as naively as possible: walk the whole ring, once per token.
fn naive(members: &[Member], strategy: &Strategy, token: Token) -> Vec<NodeId> {
    let ring = Ring::new(Partitioner::Murmur3, members.to_vec());
    let after = ring.tokens().filter(|(at, _)| *at >= token);
    let walk: Vec<NodeId> = after.chain(ring.tokens()).map(|(_, owner)| owner).collect();
    let owners: BTreeSet<NodeId> = walk.iter().copied().collect();
    let mut replicas: Vec<NodeId> = Vec::new();
    for node in &walk {
        if replicas.contains(node) {
            continue;
        }
        let Some(member) = ring.member(*node) else {
            continue;
        };
        let near = |other: &NodeId| ring.datacenter(*other) == Some(&member.datacenter);
        let take = match strategy {
            Strategy::Local => false,
            Strategy::Simple { factor } => replicas.len() < *factor as usize,
            Strategy::NetworkTopology { factors, others } => {
                let factor = factors.get(&member.datacenter).copied().or(*others).unwrap_or(0) as usize;
                let taken: Vec<NodeId> = replicas.iter().copied().filter(|it| near(it)).collect();
                let rack = |id: &NodeId| ring.member(*id).map(|member| member.rack.clone());
                let taken_racks: BTreeSet<_> = taken.iter().map(rack).collect();
                let all_racks: BTreeSet<_> = owners.iter().filter(|it| near(it)).map(rack).collect();
                let is_new = !taken_racks.contains(&rack(node));
                let repeats = taken.len() - taken_racks.len();
                taken.len() < factor && (is_new || repeats < factor.saturating_sub(all_racks.len()))
            }
        };
        if take {
            replicas.push(*node);
        }
    }
    replicas
}

fn strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    let factors = btree_map((0_u8..4).prop_map(|dc| format!("dc{dc}")), 0_u32..5, 0..4);
    prop_oneof![
        (1_u32..6).prop_map(|factor| Strategy::Simple { factor }),
        (factors, option::weighted(0.2, 1_u32..3))
            .prop_map(|(factors, others)| Strategy::NetworkTopology { factors, others }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arcs_cover_the_ring_without_gaps(members in cluster(), strategy in strategy()) {
        let placement = place(&members, &strategy);
        let ranges: Vec<(TokenRange, &[NodeId])> = placement.ranges().collect();
        prop_assert_eq!(ranges[0].0.start, Token::MIN);
        prop_assert_eq!(ranges[ranges.len() - 1].0.end, Token::MAX);
        for (range, replicas) in &ranges {
            prop_assert!(range.start < range.end);
            prop_assert_eq!(placement.replicas(range.end), *replicas);
            prop_assert_eq!(placement.replicas(Token(range.start.0 + 1)), *replicas);
        }
        for pair in ranges.windows(2) {
            prop_assert_eq!(pair[0].0.end, pair[1].0.start);
            prop_assert_ne!(pair[0].1, pair[1].1, "could be one arc");
        }
    }

    #[test]
    fn replicas_are_those_of_a_naive_walk(
        members in cluster(),
        strategy in strategy(),
        tokens in prop::collection::vec(prop_oneof![any::<i64>(), -6_i64..7], 8),
    ) {
        let placement = place(&members, &strategy);
        for token in tokens.into_iter().map(Token).chain([Token::MAX, Token(i64::MIN + 1)]) {
            if token != Token::MIN {
                let expected = naive(&members, &strategy, token);
                prop_assert_eq!(placement.replicas(token), &expected[..], "at {}", token);
            }
        }
    }

    /// As many as there can be in each datacenter, on as many racks as there can be.
    #[test]
    fn racks_are_used_up(members in cluster(), factor in 1_u32..5) {
        let strategy = Strategy::NetworkTopology { factors: BTreeMap::new(), others: Some(factor) };
        let placement = place(&members, &strategy);
        let ring = Ring::new(Partitioner::Murmur3, members.clone());
        let owners: BTreeSet<NodeId> = ring.tokens().map(|(_, owner)| owner).collect();
        let count = |nodes: &[NodeId], datacenter: &str| {
            let near = nodes.iter().filter_map(|id| ring.member(*id)).filter(|it| it.datacenter == datacenter);
            let racks: BTreeSet<&str> = near.clone().map(|member| member.rack.as_str()).collect();
            (near.count(), racks.len())
        };
        let owners: Vec<NodeId> = owners.into_iter().collect();
        for (_, replicas) in placement.ranges() {
            for datacenter in ring.datacenters() {
                let (nodes, racks) = count(&owners, &datacenter);
                let expected = (nodes.min(factor as usize), racks.min(factor as usize));
                prop_assert_eq!(count(replicas, &datacenter), expected);
            }
        }
    }

    #[test]
    fn a_nodes_arcs_are_those_where_it_is_a_replica(members in cluster(), strategy in strategy()) {
        let placement = place(&members, &strategy);
        for member in &members {
            let own = placement.ranges_of(member.id);
            prop_assert!(own.windows(2).all(|pair| pair[0].end < pair[1].start));
            for (range, replicas) in placement.ranges() {
                let held = own.iter().any(|it| it.contains(range.end));
                prop_assert_eq!(held, replicas.contains(&member.id));
            }
        }
    }
}
