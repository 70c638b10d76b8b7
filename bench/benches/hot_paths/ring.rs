//! Where a key's replicas are.

use std::hint::black_box;

use criterion::Criterion;
use starling_model::NodeId;
use starling_ring::{Member, Newcomer, Partitioner, Ring, Strategy, USUAL_FACTOR, allocate_tokens};

/// Token and replicas of a key, in a small and in a large cluster.
pub(crate) fn lookup(criterion: &mut Criterion) {
    for nodes in [3_u128, 100] {
        let mut state = 0_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state ^ (state >> 29)
        };
        let mut members: Vec<Member> = Vec::new();
        for id in 1..=nodes {
            let rack = format!("rack{}", id % 3);
            let newcomer = Newcomer {
                datacenter: "dc",
                rack: &rack,
                tokens: 16,
                factor: USUAL_FACTOR,
            };
            let tokens = allocate_tokens(&members, newcomer, &mut random);
            members.push(Member {
                id: NodeId(id),
                datacenter: "dc".into(),
                rack,
                tokens,
            });
        }
        let ring = Ring::new(Partitioner::default(), members);
        let strategy = Strategy::parse("NetworkTopologyStrategy", [("dc", "3")]).expect("it is one");
        let placement = ring.placement(&strategy);
        let mut number = 0_u64;
        criterion.bench_function(&format!("ring/replicas_of_{nodes}_nodes"), |b| {
            b.iter(|| {
                number += 1;
                let token = ring.token(black_box(&number.to_be_bytes()));
                assert_eq!(placement.replicas(token).len(), 3);
            });
        });
    }
}
