//! Writes without a client's timestamp, through nodes whose clocks are minutes apart.

use std::time::Duration;

use starling_cql::QueryResult;
use starling_model::Timestamp;

use crate::{
    env::Env,
    message::{Request, WriteReason},
    testing::{TestCluster, address, insert, key},
    tracing::Tracer,
};

const MINUTES: i64 = 300_000_000;

/// Three nodes whose wall clocks are off by so many microseconds.
fn cluster(skews: [i64; 3]) -> TestCluster {
    let mut cluster = TestCluster::prepared(3);
    for (env, skew) in cluster.envs.iter_mut().zip(skews) {
        env.skew = skew;
    }
    for number in 1..=3 {
        cluster.start(number).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(3));
    cluster.make_table(3);
    cluster.run_for(Duration::from_secs(1));
    cluster
}

fn value(cluster: &TestCluster, number: usize, k: &str) -> Option<String> {
    let executed = cluster
        .cql(number, &format!("SELECT v FROM ks.t WHERE k = '{k}' AND c = 1"))
        .expect("a quorum is alive");
    let QueryResult::Rows(rows) = executed.result else {
        panic!("a SELECT gives rows");
    };
    let row = rows.rows.first()?;
    Some(String::from_utf8_lossy(row[0].as_deref()?).into_owned())
}

fn set(cluster: &TestCluster, number: usize, k: &str, v: &str) {
    cluster
        .cql(
            number,
            &format!("INSERT INTO ks.t (k, c, v) VALUES ('{k}', 1, '{v}')"),
        )
        .expect("a quorum is alive");
}

fn restamped(cluster: &TestCluster) -> u64 {
    (1..=3).map(|n| cluster.node(n).status().counters.restamped).sum()
}

#[test]
fn a_later_write_through_a_node_whose_clock_is_behind_prevails() {
    let cluster = cluster([MINUTES, -MINUTES, 0]);
    for (k, hops) in [("a", [1, 2, 3]), ("b", [1, 3, 2]), ("c", [3, 2, 1])] {
        for (at, number) in hops.into_iter().enumerate() {
            let v = at.to_string();
            set(&cluster, number, k, &v);
            for reader in 1..=3 {
                assert_eq!(value(&cluster, reader, k), Some(v.clone()), "{k} after n{number}");
            }
        }
    }
    assert!(restamped(&cluster) >= 3);
}

#[test]
fn later_deletions_prevail_too() {
    let cluster = cluster([MINUTES, -MINUTES, 0]);
    for (at, deletion) in [
        "DELETE FROM ks.t WHERE k = 'a' AND c = 1",
        "DELETE FROM ks.t WHERE k = 'a' AND c > 0",
        "DELETE FROM ks.t WHERE k = 'a'",
        "BEGIN BATCH DELETE FROM ks.t WHERE k = 'a'; INSERT INTO ks.t (k, c, v) VALUES ('b', 1, 'x'); APPLY BATCH",
    ]
    .into_iter()
    .enumerate()
    {
        let v = at.to_string();
        set(&cluster, 1, "a", &v);
        assert_eq!(value(&cluster, 3, "a"), Some(v));
        cluster.cql(2, deletion).expect("a quorum is alive");
        assert_eq!(value(&cluster, 1, "a"), None, "{deletion}");
        set(&cluster, 2, "a", "back");
        assert_eq!(value(&cluster, 1, "a"), Some("back".to_owned()), "{deletion}");
    }
    assert_eq!(value(&cluster, 1, "b"), Some("x".to_owned()));
}

#[test]
fn a_replica_that_restarts_still_knows_how_new_its_writes_are() {
    let mut cluster = cluster([MINUTES, 0, 0]);
    set(&cluster, 1, "a", "first");
    // Only those two whose clocks are right remain, and they have forgotten which rows were new.
    for number in [2, 3] {
        cluster.kill(number);
        cluster.restart(number);
    }
    cluster.run_for(Duration::from_secs(3));
    cluster.kill(1);
    cluster.run_for(Duration::from_secs(30));
    set(&cluster, 2, "a", "second");
    assert_eq!(value(&cluster, 3, "a"), Some("second".to_owned()));
}

#[test]
fn an_earlier_timestamp_of_a_client_that_lies_ahead_is_followed() {
    let cluster = cluster([0, 0, 0]);
    let ahead = 1_700_000_000_000_000_i64 + 1_800_000_000;
    cluster
        .cql(
            1,
            &format!("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'ahead') USING TIMESTAMP {ahead}"),
        )
        .expect("half an hour is accepted");
    set(&cluster, 2, "a", "later");
    assert_eq!(value(&cluster, 3, "a"), Some("later".to_owned()));
    assert_eq!(restamped(&cluster), 1);
    // The clocks did not follow: another row is stamped as ever.
    set(&cluster, 2, "b", "x");
    let newest = cluster.stored(1, cluster.table(1), &key("b")).newest();
    assert!(newest.is_some_and(|newest| newest.0 < ahead));
}

#[test]
fn clocks_in_step_cost_no_second_round() {
    let cluster = cluster([0, 0, 0]);
    for at in 0..30 {
        set(&cluster, 1 + at % 3, "a", &at.to_string());
    }
    assert_eq!(value(&cluster, 1, "a"), Some("29".to_owned()));
    assert_eq!(restamped(&cluster), 0);
}

#[test]
fn a_peer_whose_clock_is_hours_ahead_is_refused() {
    let cluster = cluster([0, 0, 0]);
    let table = cluster.table(1);
    let node = std::sync::Arc::clone(cluster.node(3));
    let far = 1_700_000_000_000_000_i64 + 3 * 3_600_000_000;
    let requests = [
        Request::Write {
            mutations: vec![insert(table, "a", 1, "x", far).encode()],
            reason: WriteReason::Client,
        },
        Request::WriteStamped {
            mutations: vec![insert(table, "a", 1, "x", far).encode()],
            stamp: Timestamp(far),
        },
    ];
    for request in requests {
        let peers = std::sync::Arc::clone(&node.peers);
        let answer = cluster.world.executor.run(async move {
            let second = Duration::from_secs(1);
            peers.ask_address(address(1), request, second, &Tracer::OFF).await
        });
        let told = answer.expect_err("it is refused").to_string();
        assert!(told.contains("ahead of this replica's clock"), "{told}");
    }
    assert!(cluster.stored(1, table, &key("a")).is_empty());
}

#[test]
fn a_coordinator_whose_own_clock_is_hours_ahead_writes_nothing() {
    const HOURS: i64 = 3 * 3_600_000_000;
    let cluster = cluster([0, 0, HOURS]);
    let table = cluster.table(1);
    let now = cluster.envs[2].wall().0;
    for using in [String::new(), format!(" USING TIMESTAMP {now}")] {
        let query = format!("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'x'){using}");
        let error = cluster.cql(3, &query).expect_err("it is refused");
        assert!(error.message.contains("this node's clock is wrong"), "{error:?}");
    }
    cluster.run_for(Duration::from_mins(1));
    for number in 1..=3 {
        assert!(cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
    }
    // What a client stamps with the true time is as good as ever, and so is what others stamp.
    let true_time = cluster.envs[0].wall().0;
    let query = format!("INSERT INTO ks.t (k, c, v) VALUES ('a', 1, 'y') USING TIMESTAMP {true_time}");
    cluster.cql(3, &query).expect("it is taken");
    set(&cluster, 1, "a", "z");
    assert_eq!(value(&cluster, 3, "a"), Some("z".to_owned()));
}
