//! The numbers of Cassandra, level by level.

use std::collections::BTreeSet;

use starling_model::Consistency::{self, *};

use crate::{Replication, Requirement, Shortfall, Strategy};

fn simple(factor: u32) -> Replication {
    Replication::new(&Strategy::Simple { factor }, &BTreeSet::new())
}

fn network(factors: &[(&str, &str)]) -> Replication {
    let strategy = Strategy::parse("NetworkTopologyStrategy", factors.iter().copied()).expect("good options");
    Replication::new(&strategy, &factors.iter().map(|(name, _)| *name).collect())
}

#[test]
fn required_numbers() {
    let east_and_west = network(&[("east", "3"), ("west", "2")]);
    // Levels, then what they need with SimpleStrategy 1, 2, 3 and 5, and with east 3, west 2 seen from east, from
    // west, and from a datacenter without replicas.
    let table: [(Consistency, [u32; 7]); 11] = [
        (Any, [1, 1, 1, 1, 1, 1, 1]),
        (One, [1, 1, 1, 1, 1, 1, 1]),
        (Two, [2, 2, 2, 2, 2, 2, 2]),
        (Three, [3, 3, 3, 3, 3, 3, 3]),
        (Quorum, [1, 2, 2, 3, 3, 3, 3]),
        (All, [1, 2, 3, 5, 5, 5, 5]),
        (LocalQuorum, [1, 2, 2, 3, 2, 2, 1]),
        (EachQuorum, [1, 2, 2, 3, 4, 4, 4]),
        (Serial, [1, 2, 2, 3, 3, 3, 3]),
        (LocalSerial, [1, 2, 2, 3, 2, 2, 1]),
        (LocalOne, [1, 1, 1, 1, 1, 1, 1]),
    ];
    for (level, expected) in table {
        let needs =
            |replication: &Replication, local: &str| Requirement::new(level, replication, local).block_for();
        let [one, two, three, five] = [1, 2, 3, 5].map(|factor| needs(&simple(factor), "east"));
        let [east, west, south] = ["east", "west", "south"].map(|local| needs(&east_and_west, local));
        assert_eq!([one, two, three, five, east, west, south], expected, "{level}");
    }
}

#[test]
fn enough_or_the_numbers_of_unavailable() {
    let three_each = network(&[("east", "3"), ("west", "3")]);
    let ok = Ok(());
    let short = |required, alive| Err(Shortfall { required, alive });
    // The level; live replicas in east and in west; seen from east.
    let table: [(Consistency, usize, usize, Result<(), Shortfall>); 20] = [
        (Any, 0, 0, ok.clone()),
        (One, 0, 0, short(1, 0)),
        (One, 0, 1, ok.clone()),
        (Three, 1, 1, short(3, 2)),
        (Quorum, 2, 1, short(4, 3)),
        (Quorum, 2, 2, ok.clone()),
        (All, 3, 2, short(6, 5)),
        (All, 3, 3, ok.clone()),
        (LocalOne, 0, 3, short(1, 0)),
        (LocalOne, 1, 0, ok.clone()),
        (LocalQuorum, 1, 3, short(2, 1)),
        (LocalQuorum, 2, 0, ok.clone()),
        (LocalSerial, 1, 3, short(2, 1)),
        (EachQuorum, 3, 1, short(2, 1)),
        (EachQuorum, 0, 3, short(2, 0)),
        (EachQuorum, 1, 1, short(2, 1)),
        (EachQuorum, 2, 2, ok.clone()),
        (Serial, 3, 0, short(4, 3)),
        (Two, 1, 1, ok.clone()),
        (Three, 3, 0, ok),
    ];
    for (level, east, west, expected) in table {
        let live = std::iter::repeat_n("east", east).chain(std::iter::repeat_n("west", west));
        let requirement = Requirement::new(level, &three_each, "east");
        assert_eq!(
            requirement.check(live),
            expected,
            "{level} with {east} and {west}"
        );
    }
}

/// Fewer nodes than replicas do not lower a level.
#[test]
fn a_factor_above_the_number_of_nodes_counts_in_full() {
    let requirement = Requirement::new(Quorum, &simple(3), "a");
    assert_eq!(
        requirement.check(["a"]),
        Err(Shortfall {
            required: 2,
            alive: 1
        })
    );
    assert_eq!(
        Requirement::new(All, &simple(3), "a").check(["a", "a"]),
        Err(Shortfall {
            required: 3,
            alive: 2
        })
    );
}

/// SimpleStrategy knows no datacenters, but a LOCAL level still asks for answers from near.
#[test]
fn local_levels_count_near_replicas_only() {
    let requirement = Requirement::new(LocalQuorum, &simple(3), "near");
    assert_eq!(
        requirement.check(["far", "far", "near"]),
        Err(Shortfall {
            required: 2,
            alive: 1
        })
    );
    assert!(requirement.counts("near") && !requirement.counts("far"));
    assert_eq!(requirement.by_datacenter(), None);
}

#[test]
fn answers_are_counted_as_they_come() {
    let replication = network(&[("east", "3"), ("west", "3")]);
    let requirement = Requirement::new(EachQuorum, &replication, "east");
    let mut tally = requirement.tally();
    assert!(!tally.add("east") && !tally.add("east") && !tally.add("east"));
    assert_eq!(tally.received(), 2, "the third of east does not help");
    assert_eq!(
        tally.shortfall(),
        Some(Shortfall {
            required: 2,
            alive: 0
        })
    );
    assert!(!tally.add("elsewhere"));
    assert!(!tally.add("west"));
    assert!(tally.add("west"), "met with the second of west");
    assert_eq!((tally.received(), requirement.block_for()), (4, 4));

    let mut tally = Requirement::new(LocalQuorum, &replication, "east").tally();
    assert!(!tally.add("west") && !tally.add("west") && !tally.add("east"));
    assert_eq!(tally.received(), 1);
    assert!(tally.add("east") && tally.is_met());
}

/// Only ANY is content with a hint, and even it waits for something.
#[test]
fn any_takes_a_hint() {
    let any = Requirement::new(Any, &simple(3), "a");
    assert!(any.hint_suffices() && !any.tally().is_met());
    assert!(!Requirement::new(One, &simple(3), "a").hint_suffices());
}

/// Two quorums always meet: more than half of every factor.
#[test]
fn quorums_overlap() {
    for factor in 1..=255 {
        let quorum = Requirement::new(Quorum, &simple(factor), "a").block_for();
        assert!(2 * quorum > factor && quorum <= factor);
    }
}
