//! Tokens that balance.

use std::collections::BTreeMap;

use proptest::prelude::*;
use starling_model::{NodeId, Token};

use super::clusters::{cluster, member, random};
use crate::{Member, Newcomer, Partitioner, Ring, Strategy, USUAL_FACTOR, allocate_tokens};

fn newcomer(rack: &str, tokens: usize) -> Newcomer<'_> {
    Newcomer {
        datacenter: "dc",
        rack,
        tokens,
        factor: USUAL_FACTOR,
    }
}

/// One more node, on one of `racks` racks in turn.
fn join(
    members: &mut Vec<Member>,
    datacenter: &str,
    racks: usize,
    tokens: usize,
    random: &mut dyn FnMut() -> u64,
) {
    let id = members.iter().map(|member| member.id.0).max().unwrap_or(0) + 1;
    let beside = members
        .iter()
        .filter(|member| member.datacenter == datacenter)
        .count();
    let rack = format!("r{}", beside % racks);
    let wanted = Newcomer {
        datacenter,
        ..newcomer(&rack, tokens)
    };
    let tokens = allocate_tokens(members, wanted, random);
    members.push(Member {
        tokens,
        ..member(id, datacenter, &rack, &[])
    });
}

/// A cluster that grew node by node.
fn grown(nodes: usize, racks: usize, tokens: usize, seed: u64) -> Vec<Member> {
    let mut random = random(seed);
    let mut members = Vec::new();
    for _ in 0..nodes {
        join(&mut members, "dc", racks, tokens, &mut random);
    }
    members
}

/// The largest share of a node of the datacenter in comparison to the mean, counting `factor` replicas there.
fn imbalance(members: &[Member], datacenter: &str, factor: u32) -> f64 {
    let ring = Ring::new(Partitioner::Murmur3, members.to_vec());
    let strategy = Strategy::NetworkTopology {
        factors: BTreeMap::from([(datacenter.to_owned(), factor)]),
        others: None,
    };
    let mut shares: BTreeMap<NodeId, f64> = BTreeMap::new();
    for (range, replicas) in ring.placement(&strategy).ranges() {
        for replica in replicas {
            *shares.entry(*replica).or_default() +=
                (i128::from(range.end.0) - i128::from(range.start.0)) as f64;
        }
    }
    let nodes = members
        .iter()
        .filter(|member| member.datacenter == datacenter)
        .count();
    let mean = shares.values().sum::<f64>() / nodes as f64;
    shares
        .values()
        .fold(0.0, |largest: f64, share| largest.max(share / mean))
}

#[track_caller]
fn assert_balanced(members: &[Member], datacenter: &str, bound: f64) {
    let nodes = members.len();
    for factor in [1, 3] {
        let found = imbalance(members, datacenter, factor);
        assert!(found <= bound, "{nodes} nodes, {factor} replicas: {found:.3}");
    }
}

/// At every size on the way; 100 nodes, and racks, are measured by the example `allocation`.
#[test]
fn growing_clusters_stay_balanced() {
    for seed in 0..2 {
        let mut random = random(seed);
        let mut members = Vec::new();
        for _ in 0..14 {
            join(&mut members, "dc", 1, 16, &mut random);
            assert_balanced(&members, "dc", 1.10);
        }
    }
}

#[test]
fn racks_stay_balanced() {
    assert_balanced(&grown(12, 3, 16, 1), "dc", 1.10);
    // More racks than replicas: walks are harder to even out.
    for (racks, nodes) in [(4, 4), (4, 8), (4, 12), (5, 5), (5, 10)] {
        for seed in 0..3 {
            assert_balanced(&grown(nodes, racks, 16, seed), "dc", 1.10);
        }
    }
}

/// Datacenters take turns, and neither sees the other.
#[test]
fn datacenters_are_balanced_each_by_itself() {
    let mut random = random(5);
    let mut members = Vec::new();
    for _ in 0..7 {
        join(&mut members, "east", 1, 16, &mut random);
        join(&mut members, "west", 1, 16, &mut random);
    }
    assert_balanced(&members, "east", 1.10);
    assert_balanced(&members, "west", 1.10);
}

/// A leaver's arcs fall to its neighbours: one leaves each of them at most its largest arc more; who joins then
/// relieves the fullest.
#[test]
fn leavers_are_made_up_for() {
    let mut members = grown(14, 1, 16, 3);
    members.remove(4);
    members.remove(9);
    assert_balanced(&members, "dc", 1.40);
    let mut random = random(4);
    for _ in 0..2 {
        join(&mut members, "dc", 1, 16, &mut random);
    }
    assert_balanced(&members, "dc", 1.15);
}

#[test]
fn tokens_are_as_many_as_asked_for_and_free() {
    for count in [0, 1, 2, 16, 64] {
        let members = grown(5, 1, count, 7);
        let mut all: Vec<Token> = members.iter().flat_map(|member| member.tokens.clone()).collect();
        assert!(
            members
                .iter()
                .all(|member| member.tokens.len() == count && member.tokens.is_sorted())
        );
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 5 * count, "no token twice");
        assert!(!all.contains(&Token::MIN));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever is there, with whatever tokens: as many as asked for, free, ascending, and the same again.
    #[test]
    fn any_cluster_can_be_joined(
        members in cluster(),
        place in (0_u8..4, 0_u8..4),
        tokens in 0_usize..6,
        factor in 0_u32..6,
        seed in any::<u64>(),
    ) {
        let (datacenter, rack) = (format!("dc{}", place.0), format!("r{}", place.1));
        let wanted = Newcomer { datacenter: &datacenter, rack: &rack, tokens, factor };
        let chosen = allocate_tokens(&members, wanted, &mut random(seed));
        prop_assert_eq!(chosen.len(), tokens);
        prop_assert!(chosen.is_sorted_by(|a, b| a < b));
        prop_assert!(!chosen.contains(&Token::MIN));
        prop_assert!(members.iter().all(|member| !member.tokens.iter().any(|token| chosen.contains(token))));
        prop_assert_eq!(allocate_tokens(&members, wanted, &mut random(seed)), chosen);
    }
}

#[test]
fn the_same_random_numbers_give_the_same_tokens() {
    assert_eq!(grown(6, 1, 8, 1), grown(6, 1, 8, 1));
    assert_ne!(grown(1, 1, 8, 1), grown(1, 1, 8, 2));
}

/// Nodes that are let in at the same moment by two that don't know of each other choose other tokens.
#[test]
fn two_choices_at_once_differ() {
    let members = grown(5, 1, 16, 1);
    let one = allocate_tokens(&members, newcomer("r0", 16), &mut random(1));
    let other = allocate_tokens(&members, newcomer("r0", 16), &mut random(2));
    assert!(one.iter().all(|token| !other.contains(token)));
}

#[test]
fn alone_tokens_are_at_equal_distances() {
    let tokens = allocate_tokens(&[], newcomer("r", 4), &mut || u64::MAX / 2);
    let eighth = 1_i64 << 61;
    let expected = [-3, -1, 1, 3].map(|eighths: i64| Token(eighths * eighth - 1));
    assert_eq!(tokens, expected);
}

#[test]
fn members_without_tokens_own_nothing() {
    let nobody = [member(1, "dc", "r", &[])];
    let draw = || random(3);
    assert_eq!(
        allocate_tokens(&nobody, newcomer("r", 4), &mut draw()),
        allocate_tokens(&[], newcomer("r", 4), &mut draw())
    );
}

/// Where there is no room to cut, tokens are still found.
#[test]
fn a_crowded_ring() {
    let tokens: Vec<i64> = (0..64).collect();
    let crowded = [member(1, "dc", "r", &tokens), member(2, "dc", "r", &[i64::MAX])];
    let tokens = allocate_tokens(&crowded, newcomer("r", 32), &mut || 0);
    assert_eq!(tokens.len(), 32);
    assert!(
        tokens
            .iter()
            .all(|token| !crowded.iter().any(|member| member.tokens.contains(token)))
    );
}
