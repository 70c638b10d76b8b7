//! The pure parts: what a change makes of the ring, and when a level is met on the way.

mod altering;
mod changes;
mod deaths;
mod phases;
mod scene;
mod shrinking;
mod successors;
mod tokens;

use std::collections::BTreeSet;

use starling_cql::schema::Replication as Factors;
use starling_model::{Consistency, NodeId, Timestamp, Token};
use starling_ring::{Member, Replication, Requirement, Strategy};

use super::{
    Alteration, Change, ChangeKind, Phase, Place, RingState,
    quorum::{Quorum, ReplicaSets, Requirements},
};

fn member(id: u128, tokens: &[i64]) -> Member {
    Member {
        id: NodeId(id),
        datacenter: "dc".to_owned(),
        rack: "r".to_owned(),
        tokens: tokens.iter().copied().map(Token).collect(),
    }
}

fn address(id: u128) -> std::net::SocketAddr {
    std::net::SocketAddr::from(([10, 0, 0, u8::try_from(id).expect("few nodes")], 7000))
}

fn three() -> RingState {
    let mut state = RingState::default();
    for id in 1..=3 {
        state.found(
            &member(id, &[i64::try_from(id).expect("small") * 10]),
            address(id),
            None,
        );
    }
    state
}

fn change(kind: ChangeKind) -> Change {
    Change {
        id: 7,
        kind,
        coordinator: NodeId(1),
        since: Timestamp(5),
        phase: Phase::Pending,
        lost: BTreeSet::new(),
    }
}

fn ids(members: &[Member]) -> Vec<u128> {
    members.iter().map(|member| member.id.0).collect()
}

fn all(_: Timestamp) -> bool {
    true
}

#[test]
fn a_change_is_seen_done_and_its_epoch_grows_at_every_step() {
    let kinds = [
        (
            ChangeKind::Join {
                member: member(4, &[40]),
                address: address(4),
            },
            vec![1, 2, 3, 4],
        ),
        (ChangeKind::Leave(NodeId(2)), vec![1, 3]),
        (ChangeKind::Remove(vec![NodeId(1), NodeId(3)]), vec![2]),
        (
            ChangeKind::Replace {
                dead: NodeId(3),
                member: member(4, &[30]),
                address: address(4),
            },
            vec![1, 2, 4],
        ),
        (
            ChangeKind::Relocate {
                node: NodeId(2),
                rack: "other".to_owned(),
            },
            vec![1, 2, 3],
        ),
        (alter("ks", 1, 3), vec![1, 2, 3]),
    ];
    for (kind, after) in kinds {
        let start = three();
        let change = change(kind);
        let pending = start.with_change(&change, Phase::Pending);
        assert_eq!(pending.members(), start.members(), "{}", change.kind);
        let next = pending.next_members().expect("a change is pending");
        assert_eq!(
            ids(&next).into_iter().collect::<BTreeSet<_>>(),
            after.iter().copied().collect()
        );
        let done = pending.with_change(&change, Phase::Settling).completed();
        assert_eq!(ids(&done.members()), after);
        assert!(done.change().is_none());
        let mut sorted = next;
        sorted.sort_by_key(|member| member.id);
        assert_eq!(done.members(), sorted, "the ring is what was announced");
        assert!(start.epoch() < pending.epoch() && pending.epoch() < done.epoch());
        assert_ne!(start.stamp().digest, pending.stamp().digest);
        let aborted = pending.aborted();
        assert_eq!(aborted.members(), start.members());
        assert!(pending.epoch() < aborted.epoch());
        for gone in change.kind.outgoing() {
            assert!(matches!(done.place(gone), Some(Place::Gone { .. })));
        }
    }
}

#[test]
fn states_merge_to_the_newer_parts_in_any_order() {
    let start = three();
    let change = change(ChangeKind::Leave(NodeId(2)));
    let pending = start.with_change(&change, Phase::Pending);
    let done = pending.completed();
    let states = [start, pending, done.clone()];
    for a in &states {
        for b in &states {
            for c in &states {
                let mut merged = a.clone();
                merged.merge(b, all);
                merged.merge(c, all);
                let newest = [a, b, c].into_iter().max_by_key(|state| state.epoch());
                assert_eq!(Some(&merged), newest);
                assert!(!merged.merge(c, all), "nothing is new");
            }
        }
    }
    assert_eq!(RingState::decode(&done.encode()), Ok(done));
}

#[test]
fn states_of_a_change_that_lost_nodes_merge_in_any_order() {
    let start = three();
    let change = change(ChangeKind::Join {
        member: member(4, &[40]),
        address: address(4),
    });
    let pending = start.with_change(&change, Phase::Pending);
    let settling = pending.with_change(&change, Phase::Settling);
    let without = |ids: &[u128]| settling.without(&nodes(ids).into_iter().collect());
    let states = [
        start,
        // What a participant may decide alone before it has confirmed that all data is there.
        pending.aborted(),
        pending,
        settling.clone(),
        without(&[2]),
        without(&[3, 4]),
        without(&[2, 3, 4]),
        without(&[2]).completed(),
        without(&[2, 3]).completed(),
    ];
    let merged = |a: &RingState, b: &RingState| {
        let mut merged = a.clone();
        let new = merged.merge(b, all);
        assert_eq!(new, merged != *a);
        assert_eq!(
            new,
            merged.epoch() > a.epoch(),
            "who knows more has a greater epoch"
        );
        merged
    };
    for a in &states {
        for b in &states {
            assert_eq!(merged(a, b), merged(b, a));
            for c in &states {
                assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
            }
        }
    }
    assert_eq!(merged(&without(&[2]), &without(&[3, 4])), without(&[2, 3, 4]));
}

#[test]
fn who_was_lost_stays_in_the_ring_and_is_refused_until_it_is_removed() {
    let join = change(ChangeKind::Join {
        member: member(4, &[40]),
        address: address(4),
    });
    let settling = three().with_change(&join, Phase::Settling);
    assert!(settling.hears(NodeId(2)) && settling.hears(NodeId(9)));
    let without = settling.without(&nodes(&[2]).into_iter().collect());
    assert_eq!(without.refused_since(NodeId(2)), Some(join.since));
    assert!(!without.hears(NodeId(2)) && !without.hears(NodeId(9)));
    assert!([1, 3, 4].into_iter().all(|id| without.hears(NodeId(id))));
    assert_eq!(
        without.stamp().digest,
        settling.stamp().digest,
        "the same replicas"
    );

    let done = without.completed();
    assert_eq!(ids(&done.members()), [1, 2, 3, 4]);
    assert_eq!(done.refused_since(NodeId(2)), Some(join.since));
    assert_eq!(done.removed().collect::<Vec<_>>(), nodes(&[2]));
    assert!(done.hears(NodeId(2)), "nothing can be undone any more");

    let removal = Change {
        id: 8,
        ..change(ChangeKind::Remove(nodes(&[2])))
    };
    let removed = done.with_change(&removal, Phase::Settling).completed();
    assert_eq!(ids(&removed.members()), [1, 3, 4]);
    assert!(matches!(
        removed.place(NodeId(2)),
        Some(Place::Gone { left: false, .. })
    ));
}

#[test]
fn a_founder_that_came_after_the_tables_is_left_out() {
    let mut state = three();
    let mut other = RingState::default();
    other.found(&member(9, &[90]), address(9), Some(Timestamp(100)));
    assert!(!state.merge(&other, |at| at < Timestamp(50)));
    assert!(!state.serves(NodeId(9)));
    assert!(state.merge(&other, |at| at < Timestamp(101)));
    assert!(state.serves(NodeId(9)));
}

fn alter(keyspace: &str, from: u32, to: u32) -> ChangeKind {
    ChangeKind::Alter(Alteration {
        keyspace: keyspace.to_owned(),
        created: Timestamp(1),
        from: Factors::simple(from),
        to: Factors::simple(to),
        dropped: Vec::new(),
    })
}

#[test]
fn what_a_keyspace_is_replicated_by_is_another_at_the_end_only() {
    let begin = |state: &RingState, kind| state.with_change(&change(kind), Phase::Pending);
    let pending = begin(&three(), alter("ks", 1, 3));
    assert!(pending.replications().is_empty());
    let settling = pending.with_change(&change(alter("ks", 1, 3)), Phase::Settling);
    assert_eq!(
        settling.stamp().digest,
        pending.stamp().digest,
        "the same replicas"
    );
    let done = settling.completed();
    let by = |state: &RingState, created| state.replications().altered("ks", Timestamp(created)).cloned();
    assert_eq!(by(&done, 1), Some(Factors::simple(3)));
    assert_eq!(by(&done, 2), None, "a later keyspace of the same name");
    assert_eq!(by(&pending.aborted(), 1), None);
    assert_ne!(done.stamp().digest, three().stamp().digest);
    assert_ne!(done.stamp().digest, settling.stamp().digest);

    // Whoever hears of it knows it, whatever comes first.
    let mut behind = begin(&three(), ChangeKind::Leave(NodeId(2))).aborted();
    let ahead = begin(&done, alter("other", 2, 1)).completed();
    assert!(behind.merge(&ahead, all));
    assert_eq!(behind.replications(), ahead.replications());
    assert_eq!(by(&behind, 1), Some(Factors::simple(3)));
    let mut ahead = ahead;
    assert!(!ahead.merge(&done, all), "nothing is new");

    // A keyspace that is gone is forgotten with the next one that is altered.
    let ChangeKind::Alter(mut other) = alter("third", 1, 2) else {
        unreachable!("it is one")
    };
    other.dropped = vec![
        ("ks".to_owned(), Timestamp(1)),
        ("other".to_owned(), Timestamp(9)),
    ];
    let later = begin(&ahead, ChangeKind::Alter(other)).completed();
    let left: Vec<_> = later.replications().keyspaces().collect();
    assert_eq!(left, [("other", Timestamp(1)), ("third", Timestamp(1))]);
    assert_eq!(RingState::decode(&later.encode()), Ok(later));
}

#[test]
fn a_state_without_altered_keyspaces_is_what_earlier_releases_read() {
    let state = three().with_change(&change(ChangeKind::Leave(NodeId(2))), Phase::Pending);
    // An array of three: entries, change, version.
    assert_eq!(state.encode()[0], 0x93);
    let members = state.members();
    let next = state.next_members();
    let bytes = rmp_serde::to_vec(&(members, next)).expect("they can be encoded");
    assert_eq!(state.stamp().digest, xxhash_rust::xxh3::xxh3_64(&bytes));
}

#[test]
fn a_level_may_need_more_of_the_same_replicas() {
    let single = |current: usize, next: usize| {
        let quorum = Quorum {
            requirements: Requirements::of(of_factor(current), Some(of_factor(next)), current),
            sets: ReplicaSets::new(&nodes(&[1]), Some(&nodes(&[1]))),
        };
        assert_eq!(
            quorum.requirements.block_for() as usize,
            current.max(next) / 2 + 1
        );
        quorum.check([(NodeId(1), "dc")]).is_ok()
    };
    assert!(single(1, 1));
    assert!(!single(1, 3), "two of three, as it will be");
    assert!(!single(3, 1), "two of three, as it was");
}

fn nodes(ids: &[u128]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn of_factor(factor: usize) -> Requirement {
    let factor = u32::try_from(factor).expect("few");
    let replication = Replication::new(&Strategy::Simple { factor }, &BTreeSet::new());
    Requirement::new(Consistency::Quorum, &replication, "dc")
}

/// QUORUM of so many replicas, while they change, or become more or fewer.
fn quorum(current: &[u128], next: &[u128]) -> Quorum {
    Quorum {
        requirements: Requirements::of(
            of_factor(current.len()),
            Some(of_factor(next.len())),
            current.len(),
        ),
        sets: ReplicaSets::new(&nodes(current), Some(&nodes(next))),
    }
}

#[test]
fn a_level_is_met_in_both_sets_of_replicas() {
    let quorum = quorum(&[1, 2, 3], &[4, 1, 2]);
    let met = |answers: &[u128]| {
        let mut tally = quorum.tally();
        for id in answers {
            tally.add(NodeId(*id), "dc");
        }
        tally.is_met()
    };
    assert_eq!(quorum.sets.all(), nodes(&[1, 2, 3, 4]));
    assert!(met(&[1, 2]), "those who stay count twice");
    assert!(!met(&[1, 3]), "one of the new set is missing");
    assert!(!met(&[1, 4]), "one of the old set is missing");
    assert!(met(&[1, 3, 4]));
    assert!(!met(&[3, 4]));
    assert!(!met(&[5, 6, 7]), "strangers don't count");
}

#[test]
fn any_two_quorums_of_neighbouring_views_meet() {
    for (old, new) in [
        (&[1, 2, 3][..], &[1, 4, 5][..]),
        // A keyspace is altered.
        (&[1], &[1, 2, 3]),
        (&[1, 2, 3], &[2]),
        (&[1, 2, 3], &[2, 3]),
        (&[1, 2, 3, 4, 5], &[4, 5, 1]),
        (&[1, 2], &[3, 4, 5]),
    ] {
        meet_through_a_change(old, new);
    }
}

fn meet_through_a_change(old: &[u128], new: &[u128]) {
    // Before the change, during it, after it: as sets of those who answered.
    let (before, during, after) = (quorum(old, old), quorum(old, new), quorum(new, new));
    let quorums = |of: &Quorum| -> Vec<u32> {
        (0_u32..1 << 6)
            .filter(|answers| {
                let mut tally = of.tally();
                for id in (1..6_u128).filter(|id| answers >> id & 1 == 1) {
                    tally.add(NodeId(id), "dc");
                }
                tally.is_met() && answers & 1 == 0
            })
            .collect()
    };
    for (left, right) in [(&before, &during), (&during, &during), (&during, &after)] {
        for a in quorums(left) {
            for b in quorums(right) {
                assert_ne!(a & b, 0, "{a:b} and {b:b}");
            }
        }
    }
}
