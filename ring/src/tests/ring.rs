//! The snapshot of members.

use proptest::prelude::*;
use starling_model::{NodeId, Token};

use super::clusters::{cluster, member};
use crate::{Partitioner, Ring};

#[test]
fn a_token_that_two_claim_has_one_owner() {
    let ring = Ring::new(
        Partitioner::Murmur3,
        vec![
            member(2, "dc", "r", &[10, 30]),
            member(1, "dc", "r", &[10, 20, 20]),
        ],
    );
    let owners: Vec<(i64, u128)> = ring.tokens().map(|(token, owner)| (token.0, owner.0)).collect();
    assert_eq!(owners, [(10, 1), (20, 1), (30, 2)]);
}

#[test]
fn members_are_found() {
    let ring = Ring::new(
        Partitioner::Xxh3,
        vec![
            member(5, "old", "r", &[]),
            member(3, "east", "r", &[1]),
            member(5, "west", "r", &[2]),
        ],
    );
    assert_eq!(ring.members().len(), 2, "of two with one id the later counts");
    assert_eq!(ring.datacenter(NodeId(5)), Some("west"));
    assert_eq!(ring.member(NodeId(4)), None);
    assert_eq!(
        ring.datacenters().into_iter().collect::<Vec<_>>(),
        ["east", "west"]
    );
    assert_eq!(ring.token(b"a"), Partitioner::Xxh3.token(b"a"));
    assert_eq!(ring.partitioner(), Partitioner::Xxh3);
}

proptest! {
    #[test]
    fn the_order_of_members_does_not_matter(
        (given, shuffled) in cluster().prop_flat_map(|it| (Just(it.clone()), Just(it).prop_shuffle())),
    ) {
        let ring = Ring::new(Partitioner::Murmur3, given);
        prop_assert!(ring.tokens().map(|(token, _)| token).collect::<Vec<Token>>().is_sorted());
        prop_assert_eq!(&ring, &Ring::new(Partitioner::Murmur3, shuffled));
    }
}
