//! Damage beside a node that is dead for good: nobody can give it back, and an operator accepts that.

use std::{sync::Arc, time::Duration};

use starling_cql::Error;
use starling_model::{NodeId, TableId, Token, TokenRange};

use crate::{
    Loss, LossRequest,
    config::Config,
    env::Damaged,
    testing::{Link, TestCluster, address, insert, key},
};

/// Long enough for a dead node to be taken for dead.
pub(super) const A_WHILE: Duration = Duration::from_secs(20);

pub(super) const EVERYTHING: TokenRange = TokenRange::ALL;

/// Rows of which two replicas each have one, and a row that all three have: `12` is on n1 and n2.
pub(super) fn with_rows() -> (TestCluster, TableId) {
    let cluster = TestCluster::prepared(4);
    let mut cluster = cluster;
    for number in 1..=3 {
        cluster.start(number).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    let table = cluster.make_table(3);
    for (name, nodes) in [
        ("12", &[1, 2][..]),
        ("13", &[1, 3]),
        ("23", &[2, 3]),
        ("all", &[1, 2, 3]),
    ] {
        for node in nodes {
            cluster.store(*node).apply_now(insert(table, name, 0, "v", 10));
        }
    }
    (cluster, table)
}

pub(super) fn damage(cluster: &TestCluster, node: usize, table: TableId, tokens: TokenRange) {
    cluster.store(node).damage(Damaged { table, tokens });
}

pub(super) fn request(dead: &[NodeId]) -> LossRequest {
    LossRequest {
        keyspace: "ks".to_owned(),
        table: "t".to_owned(),
        range: None,
        dead: dead.to_vec(),
        accepted: false,
    }
}

pub(super) fn ask(cluster: &TestCluster, node: usize, request: LossRequest) -> Result<Vec<Loss>, Error> {
    let node = Arc::clone(cluster.node(node));
    cluster
        .world
        .executor
        .run(async move { node.accept_loss(&request).await })
}

pub(super) fn accept(cluster: &TestCluster, node: usize, request: LossRequest) -> Result<Vec<Loss>, Error> {
    let accepted = true;
    ask(cluster, node, LossRequest { accepted, ..request })
}

pub(super) fn dies(cluster: &mut TestCluster, node: usize) -> NodeId {
    let id = cluster.node(node).id;
    cluster.kill(node);
    cluster.run_for(A_WHILE);
    id
}

pub(super) fn has(cluster: &TestCluster, node: usize, table: TableId, name: &str) -> bool {
    !cluster.stored(node, table, &key(name)).is_empty()
}

pub(super) fn counters(cluster: &TestCluster, node: usize) -> (u64, u64) {
    let counters = cluster.node(node).status().counters;
    (counters.healed, counters.losses_accepted)
}

#[test]
fn what_nobody_can_give_back_is_told_and_then_given_up() {
    let (mut cluster, table) = with_rows();
    let dead = dies(&mut cluster, 3);
    damage(&cluster, 1, table, EVERYTHING);
    cluster.run_for(A_WHILE);
    assert_eq!(counters(&cluster, 1), (0, 0), "nothing is given up by itself");
    // The dead one can't be replaced either while what its successor needs is damaged.
    let config = Config {
        replace: Some(address(3).to_string()),
        ..TestCluster::config(4)
    };
    cluster.start_with(4, config).expect("it finds the cluster");
    cluster.run_for(A_WHILE * 3);
    assert!(!cluster.node(4).is_ready());

    let told = ask(&cluster, 1, request(&[])).expect("its successor says that it is dead");
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].start, told[0].end, told[0].accepted),
        (EVERYTHING.start.0, EVERYTHING.end.0, false)
    );
    assert_eq!(told[0].replicas, [address(2).to_string()]);
    assert_eq!(told[0].dead, [dead.to_string()]);
    assert_eq!(counters(&cluster, 1), (0, 0), "it was only told");
    assert!(!has(&cluster, 1, table, "12"));

    let done = accept(&cluster, 1, request(&[dead])).expect("it is dead for good");
    assert!(done.iter().all(|loss| loss.accepted), "{done:?}");
    assert_eq!(counters(&cluster, 1), (0, 1));
    for (name, is_there) in [("12", true), ("23", true), ("all", true), ("13", false)] {
        assert_eq!(has(&cluster, 1, table, name), is_there, "{name}");
    }
    cluster.run_for(A_WHILE * 2);
    assert!(cluster.node(4).is_ready(), "nothing is in its way any more");
    assert_eq!(accept(&cluster, 1, request(&[dead])), Ok(Vec::new()));
}

#[test]
fn nothing_is_given_up_that_somebody_may_have() {
    let (mut cluster, table) = with_rows();
    // All others are alive: it heals by itself.
    damage(&cluster, 1, table, EVERYTHING);
    assert_eq!(accept(&cluster, 1, request(&[])), Ok(Vec::new()));
    cluster.run_for(A_WHILE);
    assert_eq!(counters(&cluster, 1), (1, 0));
    assert!(has(&cluster, 1, table, "13"));
    // One is down, and nobody says that it is dead for good.
    let down = dies(&mut cluster, 3);
    damage(&cluster, 1, table, EVERYTHING);
    let refused = accept(&cluster, 1, request(&[])).expect_err("it may have the data");
    for part in [&down.to_string(), "is down", "--dead", "nothing was changed"] {
        assert!(refused.message.contains(part), "{refused}");
    }
    // Nor is somebody else's death enough, or one that is alive said to be dead.
    let other = cluster.node(2).id;
    let refused = accept(&cluster, 1, request(&[down, other])).expect_err("n2 is alive");
    assert!(refused.message.contains("is alive"), "{refused}");
    let unknown = LossRequest {
        table: "u".to_owned(),
        ..request(&[down])
    };
    let refused = accept(&cluster, 1, unknown).expect_err("there is no such table");
    assert!(refused.message.contains("ks.u"), "{refused}");
    assert_eq!(counters(&cluster, 1), (1, 0));
    // It comes back, and has the data.
    cluster.restart(3);
    cluster.run_for(A_WHILE * 2);
    assert_eq!(counters(&cluster, 1), (2, 0));
    assert!(has(&cluster, 1, table, "13"));
}

#[test]
fn only_what_lies_in_the_named_tokens_is_given_up() {
    let (mut cluster, table) = with_rows();
    let dead = dies(&mut cluster, 3);
    let lower = TokenRange {
        start: Token::MIN,
        end: Token(0),
    };
    let upper = TokenRange {
        start: Token(0),
        end: Token::MAX,
    };
    for half in [lower, upper] {
        damage(&cluster, 1, table, half);
    }
    let of = |start: i64, end: i64| LossRequest {
        range: Some(TokenRange {
            start: Token(start),
            end: Token(end),
        }),
        ..request(&[dead])
    };
    assert_eq!(
        accept(&cluster, 1, of(-5, 5)),
        Ok(Vec::new()),
        "neither lies within"
    );
    let done = accept(&cluster, 1, of(0, i64::MAX)).expect("it is dead for good");
    assert_eq!((done.len(), done[0].start), (1, 0));
    assert_eq!(counters(&cluster, 1), (0, 1));
    assert_eq!(
        ask(&cluster, 1, request(&[dead])).expect("the other half").len(),
        1
    );
}

#[test]
fn two_that_are_damaged_in_the_same_place_beside_it_become_whole_together() {
    let (mut cluster, table) = with_rows();
    let dead = dies(&mut cluster, 3);
    for node in [1, 2] {
        damage(&cluster, node, table, EVERYTHING);
    }
    assert_eq!(
        accept(&cluster, 1, request(&[dead])).map(|done| done.len()),
        Ok(1)
    );
    assert_eq!(accept(&cluster, 2, request(&[dead])), Ok(Vec::new()));
    assert_eq!((counters(&cluster, 1), counters(&cluster, 2)), ((0, 1), (0, 1)));
    assert!(!has(&cluster, 1, table, "all") && !has(&cluster, 2, table, "all"));
    // Also the only replica that there ever was.
    let cluster = TestCluster::new(1);
    let table = cluster.make_table(1);
    damage(&cluster, 1, table, EVERYTHING);
    let done = accept(&cluster, 1, request(&[])).expect("nobody else has it");
    assert!(done[0].replicas.is_empty() && done[0].accepted, "{done:?}");
}

/// This node may be cut off from a node that the others see.
#[test]
fn nobody_is_passed_over_whom_another_node_sees_alive() {
    let (cluster, table) = with_rows();
    damage(&cluster, 1, table, EVERYTHING);
    let third = cluster.node(3).id;
    cluster.partition(&[1], &[3], Link::Silent);
    cluster.run_for(A_WHILE);
    assert!(accept(&cluster, 1, request(&[third])).is_err());
    assert_eq!(counters(&cluster, 1).1, 0);
}
