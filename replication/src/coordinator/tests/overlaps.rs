//! Damage on two replicas that are both alive: what one of them has whole the other gets back, and the rest an operator gives up.

use starling_model::{Deletion, Mutation, Partition, TableId, Timestamp, Token, TokenRange};

use super::losses::{A_WHILE, EVERYTHING, accept, ask, counters, damage, dies, has, request, with_rows};
use crate::{
    DamageStatus,
    coordinator::stretches::pieces_of,
    env::Damaged,
    testing::{Link, TestCluster, address, insert, key},
};

/// Below this is the first quarter of the tokens, above [`HIGH`] the last one.
const LOW: Token = Token(-(1 << 62));
const HIGH: Token = Token(1 << 62);

fn between(start: Token, end: Token) -> TokenRange {
    TokenRange { start, end }
}

/// So many names of partitions in each of the four quarters of the tokens.
fn names_in(tokens: TokenRange, count: usize) -> Vec<String> {
    let names = (0..).map(|number| format!("{tokens}/{number}"));
    let within = names.filter(|name| tokens.contains(key(name).token));
    within.take(count).collect()
}

/// Writes a row of each partition to some nodes, as if the others had missed it.
fn write(cluster: &TestCluster, table: TableId, names: &[String], nodes: &[usize]) {
    for name in names {
        for node in nodes {
            let mutation = insert(table, name, 0, "value", 10);
            cluster.store(*node).apply_now(mutation);
        }
    }
}

fn has_all(cluster: &TestCluster, node: usize, table: TableId, names: &[String]) -> bool {
    names.iter().all(|name| has(cluster, node, table, name))
}

fn waiting(cluster: &TestCluster, node: usize) -> DamageStatus {
    cluster.node(node).status().damage
}

#[test]
fn each_gives_back_what_the_other_lacks() {
    let (cluster, table) = with_rows();
    let quarters = [
        between(Token::MIN, LOW),
        between(LOW, Token(0)),
        between(Token(0), HIGH),
        between(HIGH, Token::MAX),
    ];
    let pairs = [[1, 2], [1, 3], [2, 3]];
    for quarter in quarters {
        for (names, pair) in names_in(quarter, 9).chunks(3).zip(pairs) {
            write(&cluster, table, names, &pair);
        }
    }
    damage(&cluster, 1, table, between(Token::MIN, Token(0)));
    damage(&cluster, 2, table, between(LOW, Token::MAX));
    cluster.run_for(A_WHILE);
    let of = |quarter: usize| names_in(quarters[quarter], 9);
    assert!(has_all(&cluster, 1, table, &of(0)));
    assert!(has_all(&cluster, 2, table, &of(2)) && has_all(&cluster, 2, table, &of(3)));
    for (node, other) in [(1, 2), (2, 1)] {
        assert!(counters(&cluster, node).0 > 0);
        let damage = waiting(&cluster, node);
        assert_eq!((damage.waiting, damage.for_operator), (1, 1), "{damage:?}");
        let left = &damage.stretches[0];
        assert_eq!((left.start, left.end), (LOW.0, 0));
        assert_eq!(left.damaged, [address(other).to_string()]);
        assert!(left.for_operator && left.down.is_empty(), "{left:?}");
        for part in [
            "ks.t",
            "1 other replica is damaged in the same place",
            "--accept-loss",
        ] {
            assert!(left.why.contains(part), "{left:?}");
        }
        let told = ask(&cluster, node, request(&[])).expect("all are alive");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].start, told[0].end), (LOW.0, 0));
    }
}

/// Of four replicas three have what a quorum acknowledged: two of them can't have missed it.
#[test]
fn two_of_four_that_are_damaged_heal_from_the_other_two() {
    let cluster = TestCluster::new(4);
    let table = cluster.make_table(4);
    for nodes in [[1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]] {
        write(&cluster, table, &[format!("{nodes:?}")], &nodes);
    }
    for node in [1, 2] {
        damage(&cluster, node, table, EVERYTHING);
    }
    cluster.run_for(A_WHILE);
    for node in [1, 2] {
        assert_eq!(counters(&cluster, node), (1, 0));
        assert_eq!(waiting(&cluster, node), DamageStatus::default());
        for nodes in [[1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]] {
            assert!(has(&cluster, node, table, &format!("{nodes:?}")), "{nodes:?}");
        }
    }
}

fn delete_partition(table: TableId, name: &str, timestamp: i64, cluster: &TestCluster) -> Mutation {
    let deletion = Deletion {
        timestamp: Timestamp(timestamp),
        at: cluster.now(),
    };
    Mutation {
        table,
        key: key(name),
        partition: Partition {
            deletion: Some(deletion),
            ..Partition::default()
        },
    }
}

#[test]
fn what_two_have_lost_in_the_same_place_is_given_up_on_both_at_once() {
    let (cluster, table) = with_rows();
    for node in [1, 2] {
        damage(&cluster, node, table, EVERYTHING);
    }
    // What they can still read, past the damage: each has something that no other has.
    cluster.store(1).apply_now(insert(table, "left of 1", 0, "v", 20));
    cluster.store(2).apply_now(insert(table, "left of 2", 0, "v", 20));
    cluster.store(2).apply_now(insert(table, "deleted", 0, "v", 20));
    cluster
        .store(1)
        .apply_now(delete_partition(table, "deleted", 30, &cluster));
    cluster.run_for(A_WHILE);
    assert_eq!(
        ask(&cluster, 3, request(&[])),
        Ok(Vec::new()),
        "it has all of its own"
    );
    for (node, other) in [(1, 2), (2, 1)] {
        assert_eq!(counters(&cluster, node), (0, 0), "nothing is given up by itself");
        assert_eq!(waiting(&cluster, node).for_operator, 1);
        let told = ask(&cluster, node, request(&[])).expect("all are alive");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].replicas, [address(3).to_string()]);
        assert_eq!(told[0].damaged, [address(other).to_string()]);
        assert!(told[0].dead.is_empty() && !told[0].accepted, "{told:?}");
    }

    let done = accept(&cluster, 2, request(&[])).expect("all are alive");
    assert!(done.len() == 1 && done[0].accepted, "{done:?}");
    for node in [1, 2] {
        assert_eq!(counters(&cluster, node), (0, 1));
        assert_eq!(ask(&cluster, node, request(&[])), Ok(Vec::new()));
    }
    cluster.run_for(A_WHILE);
    for node in 1..=3 {
        assert_eq!(waiting(&cluster, node), DamageStatus::default());
        for name in ["13", "23", "all", "left of 1", "left of 2"] {
            assert!(has(&cluster, node, table, name), "{name} on {node}");
        }
        assert!(!has(&cluster, node, table, "12"), "nobody has it any more");
        let deleted = cluster.stored(node, table, &key("deleted"));
        assert!(
            deleted.deletion.is_some() && deleted.rows.is_empty(),
            "{deleted:?}"
        );
    }
}

#[test]
fn beside_a_dead_node_only_what_is_damaged_is_taken_for_lost() {
    let (mut cluster, table) = with_rows();
    let places = [
        between(Token::MIN, Token(0)),
        between(Token(0), HIGH),
        between(HIGH, Token::MAX),
    ];
    for place in places {
        write(&cluster, table, &names_in(place, 3), &[1, 2]);
    }
    let dead = dies(&mut cluster, 3);
    damage(&cluster, 1, table, EVERYTHING);
    damage(&cluster, 2, table, places[1]);
    let told = ask(&cluster, 1, request(&[dead])).expect("it is dead for good");
    let told: Vec<_> = told
        .iter()
        .map(|loss| (loss.start, loss.end, loss.replicas.len(), loss.damaged.len()))
        .collect();
    let expected = places.map(|place| {
        let damaged = usize::from(place == places[1]);
        (place.start.0, place.end.0, 1 - damaged, damaged)
    });
    assert_eq!(told, expected);
    accept(&cluster, 1, request(&[dead])).expect("it is dead for good");
    for node in [1, 2] {
        assert!(has_all(&cluster, node, table, &names_in(places[0], 3)));
        assert!(has_all(&cluster, node, table, &names_in(places[2], 3)));
        assert!(!has(&cluster, node, table, &names_in(places[1], 1)[0]));
        assert_eq!(ask(&cluster, node, request(&[dead])), Ok(Vec::new()));
    }
    assert_eq!((counters(&cluster, 1), counters(&cluster, 2)), ((0, 3), (0, 1)));
}

#[test]
fn who_does_not_tell_what_is_damaged_there_is_not_passed_over() {
    let (cluster, table) = with_rows();
    for node in [1, 2] {
        damage(&cluster, node, table, EVERYTHING);
    }
    cluster.partition(&[1], &[2], Link::Deaf);
    let refused = accept(&cluster, 1, request(&[])).expect_err("it is alive");
    for part in ["is alive", "did not tell", "nothing was changed"] {
        assert!(refused.message.contains(part), "{refused}");
    }
    assert_eq!(counters(&cluster, 1), (0, 0));
}

#[test]
fn pieces_of_several_files_are_looked_at_once() {
    let table = TableId(7);
    let piece = |start, end| Damaged {
        table,
        tokens: between(Token(start), Token(end)),
    };
    let other = Damaged {
        table: TableId(8),
        tokens: EVERYTHING,
    };
    let damaged = [
        piece(50, 60),
        other,
        piece(10, 20),
        piece(15, 30),
        piece(12, 13),
        piece(30, 40),
    ];
    let expected = [(10, 20), (20, 30), (30, 40), (50, 60)];
    let expected = expected.map(|(start, end)| between(Token(start), Token(end)));
    assert_eq!(pieces_of(table, &damaged), expected);
}
