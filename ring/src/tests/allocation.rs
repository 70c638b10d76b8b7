//! Tokens that balance.

use std::collections::BTreeMap;

use starling_model::{NodeId, Token};

use super::clusters::{member, random};
use crate::{Member, Partitioner, Ring, Strategy, allocate_tokens};

/// A cluster that grew node by node.
fn grown(nodes: u128, tokens: usize, seed: u64) -> Vec<Member> {
    let mut random = random(seed);
    let mut members = Vec::new();
    for id in 1..=nodes {
        let tokens = allocate_tokens(&members, tokens, &mut random);
        members.push(Member {
            tokens,
            ..member(id, "dc", "r", &[])
        });
    }
    members
}

/// The largest share of a node in comparison to the mean, counting `factor` replicas.
fn imbalance(members: &[Member], factor: u32) -> f64 {
    let ring = Ring::new(Partitioner::Murmur3, members.to_vec());
    let mut shares: BTreeMap<NodeId, f64> = BTreeMap::new();
    for (range, replicas) in ring.placement(&Strategy::Simple { factor }).ranges() {
        for replica in replicas {
            *shares.entry(*replica).or_default() +=
                (i128::from(range.end.0) - i128::from(range.start.0)) as f64;
        }
    }
    let mean = shares.values().sum::<f64>() / members.len() as f64;
    shares
        .values()
        .fold(0.0, |largest: f64, share| largest.max(share / mean))
}

#[test]
fn growing_clusters_stay_balanced() {
    for nodes in [2, 3, 4, 7, 12, 30, 64] {
        for seed in 0..3 {
            let members = grown(nodes, 16, seed);
            let (first, all) = (imbalance(&members, 1), imbalance(&members, 3));
            assert!(
                first < 1.15,
                "{nodes} nodes, seed {seed}: first replicas {first:.3}"
            );
            assert!(all < 1.35, "{nodes} nodes, seed {seed}: all replicas {all:.3}");
        }
    }
}

#[test]
fn tokens_are_as_many_as_asked_for_and_free() {
    for count in [0, 1, 2, 16, 256] {
        let members = grown(5, count, 7);
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

#[test]
fn the_same_random_numbers_give_the_same_tokens() {
    assert_eq!(grown(6, 8, 1), grown(6, 8, 1));
    assert_ne!(grown(1, 8, 1), grown(1, 8, 2));
}

#[test]
fn alone_each_slice_gets_a_token() {
    let tokens = allocate_tokens(&[], 4, &mut || u64::MAX / 2);
    let eighth = 1_i64 << 61;
    let expected = [-3, -1, 1, 3].map(|eighths: i64| Token(eighths * eighth - 1));
    assert_eq!(tokens, expected);
}

#[test]
fn members_without_tokens_own_nothing() {
    let nobody = [member(1, "dc", "r", &[])];
    let draw = || random(3);
    assert_eq!(
        allocate_tokens(&nobody, 4, &mut draw()),
        allocate_tokens(&[], 4, &mut draw())
    );
}

/// Where there is no room to cut, tokens are still found.
#[test]
fn a_crowded_ring() {
    let tokens: Vec<i64> = (0..64).collect();
    let crowded = [member(1, "dc", "r", &tokens), member(2, "dc", "r", &[i64::MAX])];
    let tokens = allocate_tokens(&crowded, 32, &mut || 0);
    assert_eq!(tokens.len(), 32);
    assert!(
        tokens
            .iter()
            .all(|token| !crowded.iter().any(|member| member.tokens.contains(token)))
    );
}
