//! Beliefs that must be caught, and those that look bad and are not.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use starling_model::{
    ClusteringRange, KeyRange, Limits, NodeId, ReadCommand, Seconds, TableId, Timestamp, Token, TokenRange,
};
use starling_replication::{
    Owners, PeerRequest, PeerResponse,
    message::{Failure, Request, Response, WriteReason},
    topology::{Change, ChangeKind, Phase, RingState, Stamp},
};
use starling_ring::{Member, Partitioner, Ring, Strategy};

use super::{answers, belief::Belief, fence::Rings, gap, steps::Steps};

const KEYSPACE: &str = "k";

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number as u8], 7000))
}

fn id(number: usize) -> NodeId {
    NodeId(number as u128)
}

/// A node with one token, at its place of ten.
fn member(number: usize) -> Member {
    Member {
        id: id(number),
        datacenter: format!("dc{}", number % 2),
        rack: "r".to_owned(),
        tokens: vec![Token(i64::MIN / 2 + number as i64 * (i64::MAX / 10))],
    }
}

/// The ring of these nodes.
fn ring(numbers: impl IntoIterator<Item = usize>) -> RingState {
    let mut state = RingState::default();
    for number in numbers {
        state.found(&member(number), address(number), None);
    }
    state
}

/// A node that comes in.
fn joining(number: usize) -> Change {
    Change {
        id: number as u128,
        kind: ChangeKind::Join {
            member: member(number),
            address: address(number),
        },
        coordinator: id(number),
        since: Timestamp(1),
        phase: Phase::Pending,
        lost: std::collections::BTreeSet::new(),
    }
}

fn simple(factor: u32) -> Strategy {
    Strategy::Simple { factor }
}

fn owners(state: &RingState, strategy: &Strategy) -> Owners {
    let place = |members| Arc::new(Ring::new(Partitioner::Murmur3, members).placement(strategy));
    Owners {
        ring: state.stamp(),
        current: place(state.members()),
        next: state.next_members().map(place),
    }
}

fn believes(number: usize, state: &RingState, strategy: &Strategy) -> Belief {
    Belief {
        number,
        id: id(number),
        stamp: state.stamp(),
        owners: BTreeMap::from([(KEYSPACE.to_owned(), owners(state, strategy))]),
        state: Arc::new(state.clone()),
    }
}

/// Whether two of these nodes, the first and the last, plan on rings whose quorums may pass each other by.
fn pass_by(beliefs: &[(usize, &RingState)], strategy: &Strategy) -> bool {
    let beliefs: Vec<Belief> = beliefs
        .iter()
        .map(|(number, state)| believes(*number, state, strategy))
        .collect();
    let all: Vec<&Belief> = beliefs.iter().collect();
    let (first, last) = (all[0], all[all.len() - 1]);
    let there = answers::pass_by(first, last, &all);
    assert_eq!(there.is_some(), answers::pass_by(last, first, &all).is_some());
    there.is_some()
}

#[test]
fn a_ring_without_gaps_is_good() {
    for strategy in [simple(1), simple(3), simple(9)] {
        assert_eq!(gap::find(&believes(1, &ring(1..=5), &strategy)), None);
    }
    let by_datacenter = Strategy::NetworkTopology {
        factors: BTreeMap::from([
            ("dc0".to_owned(), 2),
            ("dc1".to_owned(), 9),
            ("none".to_owned(), 1),
        ]),
        others: None,
    };
    let settling = ring(1..=5).with_change(&joining(6), Phase::Settling);
    assert_eq!(gap::find(&believes(1, &settling, &by_datacenter)), None);
    assert_eq!(
        gap::find(&believes(1, &RingState::default(), &by_datacenter)),
        None,
        "no members"
    );
}

#[test]
fn a_gap_is_caught() {
    let state = ring(1..=5);
    let mut stranger = believes(1, &state, &simple(3));
    let others = owners(&ring(2..=6), &simple(3)).current;
    stranger.owners.get_mut(KEYSPACE).unwrap().current = others;
    assert!(gap::find(&stranger).is_some_and(|text| text.contains("is no member")));

    let mut few = believes(1, &state, &simple(3));
    let fewer = owners(&ring(1..=2), &simple(3)).current;
    few.owners.get_mut(KEYSPACE).unwrap().current = fewer;
    assert!(gap::find(&few).is_some_and(|text| text.contains("has the owners")));

    let pending = state.with_change(&joining(6), Phase::Pending);
    let mut blind = believes(1, &pending, &simple(3));
    blind.owners.get_mut(KEYSPACE).unwrap().next = None;
    assert!(gap::find(&blind).is_some_and(|text| text.contains("no other owners after the change")));

    let mut old = believes(1, &pending, &simple(3));
    old.owners = BTreeMap::from([(KEYSPACE.to_owned(), owners(&state, &simple(3)))]);
    assert!(gap::find(&old).is_some_and(|text| text.contains("another ring")));

    let mut twice = ring(1..=3);
    let tokens = member(1).tokens;
    twice.found(&Member { tokens, ..member(4) }, address(4), None);
    assert!(gap::find(&believes(1, &twice, &simple(3))).is_some_and(|text| text.contains("two members")));
}

#[test]
fn one_epoch_with_two_rings_is_caught() {
    let differ = |a: &RingState, b: &RingState| {
        answers::differ(&believes(1, a, &simple(2)), &believes(2, b, &simple(2))).is_some()
    };
    assert!(differ(&ring(1..=4), &ring([1, 2, 3, 5])));
    assert!(!differ(&ring(1..=4), &ring(1..=4)));
    assert!(!differ(&ring(1..=4), &ring(1..=5)), "one knows more");
    let state = ring(1..=4);
    let (one, other) = (joining(5), joining(6));
    let pending = |change| state.with_change(change, Phase::Pending);
    assert!(!differ(&pending(&one), &pending(&other)), "both are given up");
    let settling = |change| state.with_change(change, Phase::Settling);
    assert!(differ(&settling(&one), &settling(&other)));
    assert!(differ(
        &settling(&one).completed(),
        &ring(1..=4).with_change(&other, Phase::Settling).completed()
    ));
}

#[test]
fn one_ring_with_two_lists_of_owners_is_caught() {
    let state = ring(1..=5);
    let one = believes(1, &state, &simple(3));
    let mut other = believes(2, &state, &simple(3));
    let shuffled = Ring::new(Partitioner::Murmur3, ring([1, 2, 3, 4, 6]).members()).placement(&simple(3));
    other.owners.get_mut(KEYSPACE).unwrap().current = Arc::new(shuffled);
    assert!(answers::differ(&one, &other).is_some());
    let altered = believes(2, &state, &simple(2));
    assert_eq!(
        answers::differ(&one, &altered),
        None,
        "one has not heard of the schema yet"
    );
}

#[test]
fn quorums_of_neighbouring_rings_meet() {
    let old = ring(1..=4);
    let pending = old.with_change(&joining(5), Phase::Pending);
    let new = old.with_change(&joining(5), Phase::Settling).completed();
    for factor in [1, 2, 3, 5] {
        let everybody = |first, last| -> Vec<(usize, &RingState)> {
            vec![(1, first), (2, first), (3, last), (4, last), (5, last)]
        };
        assert!(!pass_by(&everybody(&old, &pending), &simple(factor)));
        assert!(!pass_by(&everybody(&pending, &new), &simple(factor)));
    }
}

#[test]
fn a_ring_two_steps_away_is_caught_if_a_quorum_serves_it() {
    let old = ring(1..=4);
    let new = old.with_change(&joining(5), Phase::Settling).completed();
    let strategy = simple(3);
    assert!(pass_by(
        &[(1, &old), (2, &old), (3, &old), (4, &old), (5, &new)],
        &strategy
    ));
    // One alone refuses nobody, and has nobody.
    assert!(!pass_by(
        &[(1, &old), (2, &new), (3, &new), (4, &new), (5, &new)],
        &strategy
    ));
    // Who is not in its ring plans nothing.
    assert!(!pass_by(
        &[(6, &old), (1, &old), (2, &old), (3, &old), (4, &old), (5, &new)],
        &strategy
    ));
    assert!(
        pass_by(&[(1, &old), (5, &new)], &simple(1)),
        "one owner is enough"
    );
}

#[test]
fn quorums_of_a_datacenter_count_by_themselves() {
    let strategy = Strategy::NetworkTopology {
        factors: BTreeMap::from([("dc0".to_owned(), 1), ("dc1".to_owned(), 3)]),
        others: None,
    };
    let old = ring([1, 2, 3, 5]);
    let new = old.with_change(&joining(4), Phase::Settling).completed();
    // Of all four replicas three are needed, of which the two rings share two; the one in dc0 is another one.
    assert!(pass_by(
        &[(2, &old), (1, &new), (3, &new), (5, &new), (4, &new)],
        &strategy
    ));
}

#[test]
fn a_step_before_its_barrier_is_caught() {
    let old = ring(1..=3);
    let change = joining(4);
    let pending = old.with_change(&change, Phase::Pending);
    let settling = old.with_change(&change, Phase::Settling);
    let done = settling.completed();
    let judge = |others: &RingState, before: &RingState, now: &RingState| {
        let (before, now) = (believes(4, before, &simple(3)), believes(4, now, &simple(3)));
        let others: Vec<Belief> = (1..=3)
            .map(|number| believes(number, others, &simple(3)))
            .collect();
        let living: Vec<&Belief> = others.iter().chain([&now]).collect();
        Steps::default().judge(Some(&before), &now, &living).is_some()
    };
    assert!(!judge(&pending, &pending, &settling));
    assert!(judge(&old, &pending, &settling));
    assert!(!judge(&settling, &settling, &done));
    assert!(judge(&pending, &settling, &done));
    assert!(
        !judge(&pending, &pending, &pending.aborted()),
        "whoever has not confirmed may give up"
    );
    assert!(!judge(&done, &old, &done), "it learns of the end alone");
}

#[test]
fn rings_that_do_not_become_one_are_caught() {
    let state = ring(1..=3);
    let unsettled = |last: &RingState| {
        let beliefs = [(1, &state), (2, &state), (3, last)];
        let beliefs = beliefs.map(|(number, state)| believes(number, state, &simple(3)));
        answers::unsettled(&beliefs.iter().collect::<Vec<_>>()).is_some()
    };
    assert!(!unsettled(&state));
    assert!(unsettled(&state.with_change(&joining(4), Phase::Pending)));
    let two = [1, 2].map(|number| believes(number, &state, &simple(3)));
    assert!(
        answers::unsettled(&two.iter().collect::<Vec<_>>()).is_some(),
        "an owner is down"
    );
}

fn request(planned: Stamp, body: Request) -> PeerRequest {
    PeerRequest {
        sender: id(1),
        ring: planned.digest,
        epoch: planned.epoch,
        clock: Timestamp(1),
        deadline_ms: 1,
        tracing: false,
        era: 0,
        body,
    }
}

fn answer(body: Response) -> PeerResponse {
    PeerResponse {
        sender: id(2),
        clock: Timestamp(1),
        trace: Vec::new(),
        body,
    }
}

#[test]
fn a_request_of_another_ring_that_is_carried_out_is_caught() {
    let (old, new) = (ring(1..=3).stamp(), ring(1..=4).stamp());
    let command = ReadCommand {
        table: TableId(1),
        keys: KeyRange::Tokens(TokenRange {
            start: Token::MIN,
            end: Token::MAX,
        }),
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits::NONE,
        now: Seconds(0),
    };
    let read = || Request::Read {
        command: command.clone(),
        digest: false,
    };
    let page = || answer(Response::Page(Bytes::new()));
    let mut rings = Rings::beginning_with(old);
    let early = rings.arrived(&request(new, read())).unwrap();
    let before = rings.arrived(&request(old, read())).unwrap();
    assert!(
        rings.passed(&early, &page()).is_some(),
        "it has not learnt the ring"
    );
    rings.learn(new);
    assert_eq!(rings.passed(&early, &page()), None, "it has learnt it first");
    assert_eq!(rings.passed(&before, &page()), None, "it was let in before");
    let late = rings.arrived(&request(old, read())).unwrap();
    assert!(rings.passed(&late, &page()).is_some());
    let refusal = answer(Response::Failed(Failure::OldRing { epoch: new.epoch }));
    assert_eq!(rings.passed(&late, &refusal), None);
    let hint = Request::Write {
        mutations: Vec::new(),
        reason: WriteReason::Hint,
    };
    assert!(
        rings.arrived(&request(old, hint)).is_none(),
        "hints are let in on any ring"
    );
}
