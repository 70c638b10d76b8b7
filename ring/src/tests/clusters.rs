//! Clusters for tests.

use proptest::{collection::vec, prelude::*};
use starling_model::{NodeId, Token};

use crate::Member;

/// A member in one line: id, datacenter, rack, tokens.
pub(super) fn member(id: u128, datacenter: &str, rack: &str, tokens: &[i64]) -> Member {
    Member {
        id: NodeId(id),
        datacenter: datacenter.to_owned(),
        rack: rack.to_owned(),
        tokens: tokens.iter().copied().map(Token).collect(),
    }
}

/// The ids, as plain numbers.
pub(super) fn ids(nodes: &[NodeId]) -> Vec<u128> {
    nodes.iter().map(|node| node.0).collect()
}

/// A generator of random numbers that is the same for the same seed (splitmix64).
pub(super) fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Tokens that collide now and then, and the ends of the space.
fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
        4 => -5_i64..6,
        8 => any::<i64>(),
    ]
    .prop_map(Token)
}

/// Up to twelve members in up to three datacenters with up to three racks each.
pub(super) fn cluster() -> impl Strategy<Value = Vec<Member>> {
    vec((0_u8..3, 0_u8..3, vec(token(), 0..5)), 0..12).prop_map(|members| {
        let numbered = members.into_iter().zip(1_u128..);
        numbered
            .map(|((datacenter, rack, tokens), id)| Member {
                id: NodeId(id),
                datacenter: format!("dc{datacenter}"),
                rack: format!("r{rack}"),
                tokens,
            })
            .collect()
    })
}
