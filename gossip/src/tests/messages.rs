//! What fits into a message, and how large it gets.

use std::net::{Ipv6Addr, SocketAddr};

use proptest::{collection::vec, prelude::*};
use starling_model::NodeId;

use super::cluster::random;
use crate::{
    Member, Message, StateKey,
    message::{Body, Delta, Digest, Span, Update},
    reconcile::{Lack, delta, fit_deltas, fit_wants},
    state::Versioned,
};

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| (Ipv6Addr::from(ip), port).into())
}

fn any_id() -> impl Strategy<Value = NodeId> {
    any::<u128>().prop_map(NodeId)
}

fn any_digest() -> impl Strategy<Value = Digest> {
    (any_id(), any::<u64>(), any::<u64>()).prop_map(|(id, generation, version)| Digest {
        id,
        generation,
        version,
    })
}

fn any_update() -> impl Strategy<Value = Update> {
    (any::<u16>(), any::<u64>(), ".{0,40}").prop_map(|(key, version, value)| Update {
        key: key.into(),
        version,
        value,
    })
}

fn any_delta() -> impl Strategy<Value = Delta> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (
        any_id(),
        numbers,
        prop::option::of(any_address()),
        vec(any_update(), 0..4),
    )
        .prop_map(|(id, (generation, after, upto), address, updates)| Delta {
            id,
            generation,
            address,
            after,
            upto,
            updates,
        })
}

fn any_body() -> impl Strategy<Value = Body> {
    let deltas = || vec(any_delta(), 0..4);
    prop_oneof![
        (vec(any_digest(), 0..5), any_id(), any_id()).prop_map(|(digests, first, until)| Body::Syn {
            digests,
            span: Span::Between { first, until }
        }),
        (vec(any_digest(), 0..5), deltas()).prop_map(|(wanted, deltas)| Body::Ack { wanted, deltas }),
        deltas().prop_map(|deltas| Body::Ack2 { deltas }),
    ]
}

/// A member with states at versions 1, 3, 5 ...
fn member(id: u128, lengths: &[usize]) -> Member {
    let states = lengths.iter().enumerate().map(|(at, length)| {
        let state = Versioned {
            value: "x".repeat(*length),
            version: at as u64 * 2 + 1,
        };
        (StateKey::Unknown(at as u16 + 100), state)
    });
    Member {
        id: NodeId(id),
        address: "127.0.0.1:7000".parse().expect("an address"),
        generation: 1,
        version: lengths.len() as u64 * 2,
        alive: true,
        states: states.collect(),
    }
}

proptest! {
    /// The estimate is an upper bound for any content, down to the widest numbers and addresses.
    #[test]
    fn sizes_are_upper_bounds(
        body in any_body(),
        address in any_address(),
        sender in any_id(),
        generation in any::<u64>(),
        names in (".{0,60}", ".{0,60}"),
    ) {
        let (cluster, partitioner) = names;
        let message = Message { cluster, partitioner, sender, generation, address, body };
        let bytes = rmp_serde::to_vec(&message).expect("it encodes");
        prop_assert!(bytes.len() <= message.bytes());
        prop_assert_eq!(rmp_serde::from_slice::<Message>(&bytes).expect("it decodes"), message);
    }

    #[test]
    fn garbage_is_an_error(bytes in vec(any::<u8>(), 0..200)) {
        let _ = rmp_serde::from_slice::<Message>(&bytes);
    }

    /// What is packed fits, is true, and leaves no room that could be used.
    #[test]
    fn deltas_fit(
        lengths in vec(vec(0_usize..9_000, 0..5), 1..20),
        own in 0_u128..20,
        seed in any::<u64>(),
    ) {
        const ROOM: usize = 30_000;
        let members: Vec<Member> =
            lengths.iter().zip(0..).map(|(lengths, id)| member(id, lengths)).collect();
        let lacks = members.iter().map(|member| Lack { member, after: 0 }).collect();
        let packed = fit_deltas(lacks, NodeId(own), ROOM, &mut random(seed));
        prop_assert!(packed.iter().map(Delta::bytes).sum::<usize>() <= ROOM);
        prop_assert!(!packed.is_empty());
        for part in &packed {
            let whole = delta(&members[part.id.0 as usize], 0);
            prop_assert!(whole.updates.starts_with(&part.updates));
            if part.updates.len() == whole.updates.len() {
                prop_assert_eq!(part.upto, whole.upto);
            } else {
                prop_assert!(whole.bytes() > ROOM / 4, "small ones are not cut");
                prop_assert_eq!(part.upto, part.updates[part.updates.len() - 1].version);
            }
        }
    }

    #[test]
    fn wants_fit(count in 0_u64..2_000, seed in any::<u64>()) {
        let wanted: Vec<Digest> =
            (0..count).map(|at| Digest { id: NodeId(at.into()), generation: 1, version: at }).collect();
        let fitting = fit_wants(wanted.clone(), 4_000, &mut random(seed));
        prop_assert_eq!(fitting.len(), wanted.len().min(100));
        prop_assert!(fitting.iter().all(|want| wanted.contains(want)));
    }

    /// Sections that follow each other hold every id once.
    #[test]
    fn sections_leave_no_gap(mut bounds in prop::collection::btree_set(0_u128..50, 2..6), id in 0_u128..50) {
        let starts: Vec<u128> = std::mem::take(&mut bounds).into_iter().collect();
        let spans = starts.iter().zip(starts.iter().cycle().skip(1));
        let holding = spans
            .map(|(first, until)| Span::Between { first: NodeId(*first), until: NodeId(*until) })
            .filter(|span| span.holds(NodeId(id)))
            .count();
        prop_assert_eq!(holding, 1);
    }
}

/// Over many messages every member gets its turn, whatever the others weigh.
#[test]
fn nobody_starves() {
    let members: Vec<Member> = (0..12)
        .map(|at| member(at, if at == 3 { &[8_000; 60] } else { &[7_000] }))
        .collect();
    let mut random = random(5);
    let mut first = [0; 12];
    for _ in 0..300 {
        let lacks = members.iter().map(|member| Lack { member, after: 0 }).collect();
        for part in fit_deltas(lacks, NodeId(0), 24_000, &mut random) {
            first[part.id.0 as usize] += 1;
        }
    }
    assert!(first.iter().all(|times| *times > 20), "{first:?}");
}

#[test]
fn a_release_to_come_may_have_more_states() {
    for number in [0, 9, 12, 13, 65_535] {
        let key = StateKey::from(number);
        let bytes = rmp_serde::to_vec(&key).expect("it encodes");
        assert_eq!(rmp_serde::from_slice::<StateKey>(&bytes).ok(), Some(key));
        assert_eq!(u16::from(key), number);
    }
    assert_eq!(StateKey::from(13), StateKey::Unknown(13));
}
