//! How clusters form, and who is let in.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_cql::{Error, ErrorKind};
use starling_model::Timestamp;
use starling_sstable::fs::memory::Faults;

use crate::{
    config::Config,
    env::Env,
    events::ClusterEvent,
    start_error::StartError,
    testing::{Link, TestCluster, address},
};

const LATER: Duration = Duration::from_secs(30);

fn members_seen_by(cluster: &TestCluster, number: usize) -> Vec<(usize, bool)> {
    let members = cluster.node(number).status().members;
    let mut seen: Vec<(usize, bool)> = members
        .iter()
        .filter(|member| member.joined)
        .map(|member| {
            let number = (1..=cluster.envs.len()).find(|n| address(*n) == member.address);
            (number.expect("one of the test's nodes"), member.up)
        })
        .collect();
    seen.sort_unstable();
    seen
}

#[test]
fn three_nodes_are_ready_within_a_second() {
    let mut cluster = TestCluster::prepared(3);
    for number in 1..=3 {
        cluster.start(number).expect("a node starts");
    }
    cluster.run_for(Duration::from_secs(1));
    for number in 1..=3 {
        assert!(cluster.node(number).is_ready(), "n{number}");
        assert_eq!(
            members_seen_by(&cluster, number),
            [(1, true), (2, true), (3, true)],
            "seen by n{number}"
        );
    }
    let status = cluster.node(1).status();
    let owned: f64 = status.members.iter().map(|member| member.ownership).sum();
    assert!((owned - 1.0).abs() < 1e-9, "all of the ring is owned: {owned}");
    assert!(status.members.iter().all(|member| member.tokens == 16));
}

#[test]
fn a_node_waits_for_its_seed() {
    let mut cluster = TestCluster::prepared(2);
    let executor = cluster.world.executor.clone();
    let started = Arc::new(Mutex::new(false));
    let flag = Arc::clone(&started);
    let env = cluster.envs[1].clone();
    executor.spawn(async move {
        let node = crate::node::Node::start(env, TestCluster::config(2)).await;
        *flag.lock() = node.is_ok();
    });
    cluster.run_for(Duration::from_secs(5));
    assert!(!*started.lock(), "the seed is not up");
    cluster.start(1).expect("the seed founds the cluster");
    cluster.run_for(Duration::from_secs(2));
    assert!(*started.lock());
}

#[test]
fn a_node_without_an_answering_seed_gives_up_with_a_reason() {
    let mut cluster = TestCluster::prepared(2);
    assert_eq!(
        cluster.start(2).expect_err("nobody is there"),
        StartError::NoSeed("10.0.0.1:7000".to_owned())
    );
}

#[test]
fn another_cluster_is_not_joined() {
    let mut cluster = TestCluster::prepared(2);
    cluster.start(1).expect("the seed starts");
    let config = Config {
        cluster: "other".to_owned(),
        ..TestCluster::config(2)
    };
    let error = cluster.start_with(2, config).expect_err("another cluster");
    assert!(
        matches!(error, StartError::OtherCluster { what: "name", .. }),
        "{error}"
    );
}

#[test]
fn a_data_directory_keeps_its_settings() {
    let mut cluster = TestCluster::prepared(1);
    cluster.start(1).expect("it founds a cluster");
    let id = cluster.node(1).status().id;
    cluster.kill(1);
    for (config, what) in [
        (
            Config {
                cluster: "renamed".to_owned(),
                ..TestCluster::config(1)
            },
            "cluster name",
        ),
        (
            Config {
                shards: 7,
                ..TestCluster::config(1)
            },
            "shard count",
        ),
        (
            Config {
                partitioner: starling_ring::Partitioner::Xxh3,
                ..TestCluster::config(1)
            },
            "partitioner",
        ),
    ] {
        let error = cluster.start_with(1, config).expect_err("another setting");
        assert!(
            matches!(&error, StartError::Mismatch { what: w, .. } if *w == what),
            "{error}"
        );
    }
    cluster.restart(1);
    assert_eq!(cluster.node(1).status().id, id, "the host id stays");
}

#[test]
fn a_wiped_seed_does_not_take_ranges_whose_data_it_has_not() {
    let mut cluster = TestCluster::new(3);
    cluster.make_table(3);
    cluster.run_for(LATER);
    cluster.kill(1);
    cluster.run_for(LATER);
    // The seed's disk is lost; it names only itself as seed, so it believes to found a cluster.
    cluster.envs[0] = crate::testing::TestEnv::new(&cluster.world, address(1));
    cluster.restart(1);
    cluster.run_for(LATER);
    assert_eq!(cluster.node(1).failure(), Some(StartError::SecondCluster));
    assert!(!cluster.node(1).is_ready());
    let new = cluster.node(1).status().id;
    let status = cluster.node(2).status();
    assert!(
        status
            .members
            .iter()
            .all(|member| member.id != new || !member.joined)
    );
    assert_eq!(status.members.iter().filter(|member| member.joined).count(), 3);
    let refused = cluster.cql(1, "USE ks").expect_err("it serves nobody");
    assert_eq!(refused.kind, ErrorKind::Bootstrapping);
}

#[test]
fn a_restarted_node_remembers_members_that_are_down() {
    let mut cluster = TestCluster::new(3);
    cluster.make_table(3);
    for number in 1..=3 {
        cluster.kill(number);
    }
    cluster.restart(2);
    cluster.run_for(LATER);
    assert_eq!(members_seen_by(&cluster, 2), [(1, false), (2, true), (3, false)]);
    assert!(cluster.node(2).is_ready(), "it serves what it can serve alone");
    // It finds the others though its seed stays away.
    cluster.restart(3);
    cluster.run_for(LATER);
    assert_eq!(members_seen_by(&cluster, 2), [(1, false), (2, true), (3, true)]);
}

fn full_disk() -> Faults {
    Faults {
        capacity: Some(0),
        ..Faults::default()
    }
}

#[test]
fn members_that_the_disk_refused_are_stored_once_it_works() {
    let mut cluster = TestCluster::prepared(2);
    cluster.start(1).expect("the seed starts");
    cluster.disk(1).set_faults(full_disk());
    cluster.start(2).expect("it finds the seed");
    cluster.run_for(LATER);
    let status = cluster.node(1).status();
    assert_eq!(
        members_seen_by(&cluster, 1),
        [(1, true)],
        "no ring that is not durable"
    );
    assert!(!status.members_stored);
    assert!(status.counters.store_failures > 1, "it was tried again");
    cluster.disk(1).set_faults(Faults::default());
    cluster.run_for(Duration::from_secs(3));
    assert_eq!(members_seen_by(&cluster, 1), [(1, true), (2, true)]);
    assert!(cluster.node(1).status().members_stored);
    cluster.kill(1);
    cluster.kill(2);
    cluster.restart(1);
    assert_eq!(members_seen_by(&cluster, 1), [(1, true), (2, false)]);
}

#[test]
fn a_slow_disk_stores_the_newest_ring() {
    let mut cluster = TestCluster::prepared(3);
    cluster.envs[0].set_disk_delay(Duration::from_secs(2));
    cluster.start(1).expect("the seed starts");
    cluster.start(2).expect("it finds the seed");
    cluster.run_for(Duration::from_secs(1));
    assert!(
        !cluster.node(1).status().members_stored,
        "it is still being stored"
    );
    assert!(cluster.node(1).ring_change().is_some(), "and is seen already");
    cluster.start(3).expect("it joins while the disk is busy");
    cluster.run_for(LATER);
    assert!(cluster.node(1).status().members_stored);
    for number in 1..=3 {
        cluster.kill(number);
    }
    cluster.restart(1);
    assert_eq!(members_seen_by(&cluster, 1), [(1, true), (2, false), (3, false)]);
}

/// Lets time pass until the node is ready; says how much.
fn time_until_ready(cluster: &TestCluster, number: usize) -> Duration {
    let mut passed = Duration::ZERO;
    while !cluster.node(number).is_ready() {
        let step = Duration::from_millis(10);
        cluster.run_for(step);
        passed += step;
        assert!(passed < LATER, "n{number} does not get ready");
    }
    passed
}

/// Of a cluster with a table, whose third node is down for a while.
fn without_the_third() -> TestCluster {
    let mut cluster = TestCluster::new(3);
    cluster.make_table(3);
    cluster.kill(3);
    cluster.run_for(LATER);
    cluster
}

#[test]
fn a_restarted_node_is_ready_when_it_heard_from_all() {
    let mut cluster = without_the_third();
    cluster.restart(3);
    assert!(!cluster.node(3).is_ready(), "it heard from nobody");
    let took = time_until_ready(&cluster, 3);
    assert_eq!(members_seen_by(&cluster, 3), [(1, true), (2, true), (3, true)]);
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn a_restarted_node_does_not_wait_for_members_that_are_not_there() {
    let mut cluster = without_the_third();
    cluster.kill(1);
    cluster.restart(3);
    let took = time_until_ready(&cluster, 3);
    assert_eq!(members_seen_by(&cluster, 3), [(1, false), (2, true), (3, true)]);
    assert!(took < Duration::from_millis(500), "{took:?}");
    // What happens to others later does not take it back.
    cluster.kill(2);
    cluster.run_for(LATER);
    assert!(cluster.node(3).is_ready());
}

#[test]
fn a_restarted_node_waits_a_second_for_members_that_are_silent() {
    let mut cluster = without_the_third();
    // Were it ready with n1 alone, a write at QUORUM through it would be refused though n2 is there.
    cluster.restart(3);
    cluster.partition(&[1, 3], &[2], Link::Silent);
    cluster.run_for(Duration::from_millis(900));
    assert_eq!(members_seen_by(&cluster, 3), [(1, true), (2, false), (3, true)]);
    assert!(!cluster.node(3).is_ready());
    cluster.run_for(Duration::from_millis(200));
    assert!(cluster.node(3).is_ready());
    assert_eq!(members_seen_by(&cluster, 3), [(1, true), (2, false), (3, true)]);
}

#[test]
fn a_node_that_finds_nobody_waits_for_others_that_may_be_starting() {
    let mut cluster = without_the_third();
    cluster.kill(1);
    cluster.kill(2);
    cluster.restart(3);
    cluster.run_for(Duration::from_millis(500));
    assert!(!cluster.node(3).is_ready());
    cluster.restart(2);
    let took = time_until_ready(&cluster, 3);
    assert_eq!(members_seen_by(&cluster, 3), [(1, false), (2, true), (3, true)]);
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn listeners_hear_of_nodes_and_schema() {
    let mut cluster = TestCluster::prepared(3);
    cluster.start(1).expect("a node starts");
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let events = Arc::clone(&heard);
    cluster.node(1).subscribe(Box::new(move |event| {
        events.lock().push(match event {
            ClusterEvent::Schema(change) => format!("schema {}", change.keyspace),
            ClusterEvent::NodeUp(node) => format!("up {}", node.ip()),
            ClusterEvent::NodeDown(node) => format!("down {}", node.ip()),
            ClusterEvent::NewNode(node) => format!("new {}", node.ip()),
            ClusterEvent::RemovedNode(node) => format!("removed {}", node.ip()),
        });
    }));
    cluster.start(2).expect("a node starts");
    cluster.run_for(LATER);
    cluster
        .cql(
            2,
            "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        )
        .expect("the keyspace is made");
    cluster.kill(2);
    cluster.run_for(LATER);
    cluster.restart(2);
    cluster.run_for(LATER);
    assert_eq!(
        *heard.lock(),
        [
            "new 10.0.0.2",
            "up 10.0.0.2",
            "schema ks",
            "down 10.0.0.2",
            "up 10.0.0.2"
        ]
    );
}

#[test]
fn a_goodbye_is_heard_at_once() {
    let cluster = TestCluster::new(3);
    let node = Arc::clone(cluster.node(3));
    cluster.world.executor.run(async move { node.shutdown().await });
    cluster.world.hang_up(address(3));
    cluster.run_for(Duration::from_millis(50));
    assert_eq!(members_seen_by(&cluster, 1), [(1, true), (2, true), (3, false)]);
}

mod schema {
    use std::pin::pin;

    use futures::future::{Either, join_all, select};
    use starling_cql::{QueryParameters, Statement};
    use starling_model::Consistency;

    use super::*;

    fn version(cluster: &TestCluster, number: usize) -> String {
        cluster.node(number).status().schema_version
    }

    fn tables(cluster: &TestCluster, number: usize) -> Vec<String> {
        let snapshot = cluster.node(number).views.load();
        snapshot
            .schema
            .tables("ks")
            .map(|table| table.name.clone())
            .collect()
    }

    fn create(cluster: &TestCluster, number: usize, table: &str) -> Result<(), Error> {
        cluster
            .cql(number, &format!("CREATE TABLE ks.{table} (k int PRIMARY KEY)"))
            .map(drop)
    }

    #[test]
    fn a_change_is_everywhere_when_its_statement_ends() {
        let cluster = TestCluster::new(3);
        cluster.make_table(3);
        for number in 1..=3 {
            assert_eq!(tables(&cluster, number), ["t"], "n{number}");
            assert!(cluster.node(number).is_ready(), "n{number} sees agreement");
        }
    }

    #[test]
    fn concurrent_changes_converge_after_a_partition() {
        let cluster = TestCluster::new(3);
        cluster.make_table(3);
        cluster.partition(&[1], &[2, 3], Link::Silent);
        cluster.run_for(LATER);
        create(&cluster, 1, "left").expect("alone, a node can change its schema");
        create(&cluster, 2, "right").expect("so can the others");
        create(&cluster, 1, "both").expect("made here");
        create(&cluster, 3, "both").expect("and made there");
        assert_ne!(version(&cluster, 1), version(&cluster, 2));
        cluster.partition(&[1], &[2, 3], Link::Good);
        cluster.run_for(LATER);
        let ids: Vec<_> = (1..=3)
            .map(|number| {
                assert_eq!(
                    tables(&cluster, number),
                    ["both", "left", "right", "t"],
                    "n{number}"
                );
                assert_eq!(version(&cluster, number), version(&cluster, 1));
                let snapshot = cluster.node(number).views.load();
                snapshot.schema.table("ks", "both").expect("it exists").id
            })
            .collect();
        assert!(
            ids.iter().all(|id| *id == ids[0]),
            "one of the two tables won everywhere"
        );
    }

    #[test]
    fn a_schema_survives_a_restart_and_is_pulled_by_who_missed_it() {
        let mut cluster = TestCluster::new(3);
        cluster.make_table(3);
        cluster.kill(3);
        cluster.run_for(LATER);
        create(&cluster, 1, "late").expect("the others are enough");
        for number in [1, 2] {
            cluster.kill(number);
        }
        for number in 1..=3 {
            cluster.restart(number);
        }
        cluster.run_for(LATER);
        for number in 1..=3 {
            assert_eq!(tables(&cluster, number), ["late", "t"], "n{number}");
        }
    }

    #[test]
    fn a_dropped_table_leaves_no_data() {
        let cluster = TestCluster::new(3);
        let table = cluster.make_table(3);
        let row = crate::testing::insert(table, "a", 1, "x", 10);
        cluster
            .write(1, row, starling_model::Consistency::All)
            .expect("the write succeeds");
        cluster.cql(2, "DROP TABLE ks.t").expect("the table is dropped");
        cluster.run_for(LATER);
        for number in 1..=3 {
            let left = cluster.stored(number, table, &crate::testing::key("a"));
            assert!(left.is_empty(), "n{number}");
        }
    }

    #[test]
    fn a_change_that_the_disk_refuses_is_not_made() {
        let cluster = TestCluster::new(1);
        cluster.make_table(1);
        let before = version(&cluster, 1);
        cluster.disk(1).set_faults(full_disk());
        let error = create(&cluster, 1, "more").expect_err("the disk is full");
        assert_eq!(error.kind, ErrorKind::Server);
        assert!(error.message.contains("nothing was changed"), "{}", error.message);
        assert_eq!(cluster.node(1).status().counters.store_failures, 1);
        assert_eq!(version(&cluster, 1), before);
        assert_eq!(tables(&cluster, 1), ["t"]);
    }

    #[test]
    fn a_peer_that_can_t_store_a_change_takes_it_once_its_disk_works() {
        let cluster = TestCluster::new(2);
        cluster.make_table(2);
        cluster.disk(2).set_faults(full_disk());
        let made = cluster.cql(1, "CREATE TABLE ks.more (k int PRIMARY KEY)");
        let warnings = made.expect("n1 has it").warnings;
        assert!(
            warnings.iter().any(|warning| warning.contains("10.0.0.2")),
            "{warnings:?}"
        );
        assert_eq!(tables(&cluster, 2), ["t"]);
        assert!(!cluster.node(1).is_ready() || version(&cluster, 1) != version(&cluster, 2));
        cluster.disk(2).set_faults(Faults::default());
        cluster.run_for(LATER);
        assert_eq!(tables(&cluster, 2), ["more", "t"]);
    }

    #[test]
    fn changes_made_while_the_disk_is_slow_are_all_stored() {
        let mut cluster = TestCluster::new(1);
        cluster.make_table(1);
        cluster.envs[0].set_disk_delay(Duration::from_secs(1));
        let made: Vec<_> = (0..3)
            .map(|n| {
                let node = Arc::clone(cluster.node(1));
                let query = format!("CREATE TABLE ks.more{n} (k int PRIMARY KEY)");
                async move {
                    let parameters = QueryParameters::with_consistency(Consistency::One);
                    node.execute(Statement::Text(query), parameters, false).await
                }
            })
            .collect();
        // The first client goes away while its change is being stored: it is made all the same.
        let mut made = made.into_iter();
        let first = made.next().expect("there are three");
        let executor = cluster.world.executor.clone();
        let sleep = executor.sleep(Duration::from_millis(500));
        let finished =
            executor.run(async move { matches!(select(pin!(first), pin!(sleep)).await, Either::Left(_)) });
        assert!(!finished);
        for outcome in executor.run(join_all(made)) {
            outcome.expect("the change is made");
        }
        let all = ["more0", "more1", "more2", "t"];
        assert_eq!(tables(&cluster, 1), all);
        cluster.kill(1);
        cluster.restart(1);
        assert_eq!(tables(&cluster, 1), all);
    }

    #[test]
    fn clocks_that_disagree_do_not_lose_a_change() {
        let mut cluster = TestCluster::prepared(2);
        cluster.envs[1].skew = -30_000_000;
        cluster.start(1).expect("a node starts");
        cluster.start(2).expect("a node starts");
        cluster.run_for(LATER);
        cluster.make_table(1);
        // n2's clock is half a minute behind, and yet its later change wins.
        cluster.cql(2, "DROP TABLE ks.t").expect("the table is dropped");
        for number in 1..=2 {
            assert!(tables(&cluster, number).is_empty(), "n{number}");
        }
        let wall = |n: usize| -> Timestamp { cluster.envs[n].wall() };
        assert!(wall(1) < wall(0));
    }
}
