mod damage;
mod delivery;
mod disk;
mod scene;

use std::{path::Path, sync::Arc, time::Duration};

use starling_model::{Consistency, NodeId, Seconds, TableId};
use starling_sstable::fs::{Fs, memory::Faults};

use crate::{
    env::StoreError,
    message::{Hint, Request},
    testing::{Link, TestCluster, address, clustering, insert, key, rows_of, whole_partition},
    tracing::Tracer,
};
use scene::{LATER, left_alone, without_last, write_rows};

/// Keeps a hint at n1 for a node that is not in the ring any more.
fn keep_for_departed(cluster: &TestCluster, table: TableId) -> NodeId {
    let hints = Arc::clone(&cluster.node(1).hints);
    let mutation = insert(table, "a", 1, "x", 10).encode();
    let departed = NodeId(99);
    let executor = &cluster.world.executor;
    assert!(executor.run(async move { hints.keep(departed, None, 0, mutation).await }));
    departed
}

#[test]
fn hints_are_bounded_and_what_is_dropped_is_counted() {
    let mut config = TestCluster::config(1);
    config.bounds.hint_bytes_per_node = 400;
    let (mut cluster, table) = left_alone(2, config);
    write_rows(&cluster, table, 0..10);
    cluster.run_for(Duration::from_millis(100));
    let counters = cluster.node(1).status().counters;
    assert!(counters.hints_written > 0 && counters.hints_dropped > 0);
    assert_eq!(counters.hints_written + counters.hints_dropped, 10);
    cluster.restart(2);
    cluster.run_for(LATER);
    let rows = cluster.stored(2, table, &key("a")).rows.len();
    assert_eq!(rows as u64, counters.hints_written, "what was kept was delivered");
}

#[test]
fn old_hints_expire() {
    let mut config = TestCluster::config(1);
    config.bounds.hint_age = Duration::from_mins(10);
    let (cluster, table) = left_alone(2, config);
    write_rows(&cluster, table, 1..2);
    cluster.run_for(Duration::from_secs(800));
    let status = cluster.node(1).status();
    assert!(status.members.iter().all(|member| member.hint_bytes == 0));
    assert_eq!(status.counters.hints_expired, 1);
}

#[test]
fn a_truncated_table_gets_no_old_rows_back() {
    let (mut cluster, table) = without_last(3);
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::Quorum)
        .expect("two are enough");
    cluster.run_for(Duration::from_millis(100));
    // n3 is back and its hint is not delivered yet when the table is truncated.
    cluster.restart(3);
    cluster.run_for(Duration::from_millis(300));
    cluster.cql(1, "TRUNCATE ks.t").expect("all are alive");
    cluster.run_for(LATER);
    for number in 1..=3 {
        assert!(cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
    }
}

/// A hint of a departed node is on its way to a replica when its table is truncated: that waits until it has come.
#[test]
fn a_truncated_table_gets_no_rows_back_from_a_node_that_left() {
    let cluster = TestCluster::new(2);
    let table = cluster.make_table(2);
    keep_for_departed(&cluster, table);
    let slow = |delay| {
        cluster.world.set_link(address(1), address(2), Link::Slow(delay));
    };
    slow(Duration::from_millis(900));
    // It is rerouted after half a minute: then it is at n1, and on its way to n2.
    while cluster.stored(1, table, &key("a")).is_empty() && cluster.stored(2, table, &key("a")).is_empty() {
        cluster.run_for(Duration::from_millis(100));
    }
    assert_eq!(
        cluster.node(1).status().counters.hints_rerouted,
        0,
        "n2 has not answered"
    );
    slow(Duration::ZERO);
    cluster.cql(1, "TRUNCATE ks.t").expect("all are alive");
    cluster.run_for(LATER);
    for number in 1..=2 {
        assert!(cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
    }
}

#[test]
fn a_hint_that_was_not_synced_was_not_promised() {
    let (cluster, table) = without_last(2);
    cluster.disk(1).set_faults(Faults {
        fail_syncs: true,
        ..Default::default()
    });
    // With its own storage broken too, the hint is all that ANY could count on.
    let broken = StoreError::Disk("it burns".to_owned());
    cluster.envs[0].store.set_fault(Some(broken));
    let error = cluster.write(1, insert(table, "a", 1, "x", 10), Consistency::Any);
    assert!(error.is_err(), "nothing is durable anywhere");
}

#[test]
fn a_quorum_does_not_wait_for_the_disk_that_hints_are_on() {
    let (mut cluster, table) = without_last(3);
    cluster.envs[0].set_disk_delay(Duration::from_secs(10));
    let began = cluster.world.executor.now();
    for row in 0..50 {
        cluster
            .write(1, insert(table, "a", row, "x", 10), Consistency::Quorum)
            .expect("two of three are enough");
    }
    let took = cluster.world.executor.now().saturating_sub(began);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(
        cluster.node(1).status().counters.hints_written,
        0,
        "none is durable"
    );
    assert!(
        cluster
            .node(1)
            .status()
            .members
            .iter()
            .any(|member| member.hint_bytes > 0),
        "what is queued or being written counts"
    );
    // However many they are, they share the syncs of at most two groups.
    cluster.run_for(Duration::from_secs(21));
    assert_eq!(cluster.node(1).status().counters.hints_written, 50);
    cluster.restart(3);
    cluster.run_for(Duration::from_mins(2));
    assert_eq!(cluster.stored(3, table, &key("a")).rows.len(), 50);
}

#[test]
fn all_hints_together_are_bounded() {
    let mut config = TestCluster::config(1);
    config.bounds.hint_bytes = 400;
    let (cluster, table) = left_alone(3, config);
    write_rows(&cluster, table, 0..10);
    cluster.run_for(Duration::from_millis(100));
    let status = cluster.node(1).status();
    let bytes: u64 = status.members.iter().map(|member| member.hint_bytes).sum();
    assert!(bytes > 0 && bytes <= 400, "{bytes}");
    assert!(status.counters.hints_dropped > 0);
}

#[test]
fn any_is_served_by_hints_alone_and_a_restart_of_the_coordinator_delivers_them() {
    let mut cluster = TestCluster::new(2);
    cluster
        .cql(
            1,
            "CREATE KEYSPACE one WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        )
        .expect("the keyspace is made");
    cluster
        .cql(
            1,
            "CREATE TABLE one.t (k text, c int, v text, PRIMARY KEY (k, c))",
        )
        .expect("the table is made");
    cluster.run_for(LATER);
    let snapshot = cluster.node(1).views.load();
    let table = snapshot.schema.table("one", "t").expect("it exists").id;
    let other = cluster.node(2).id;
    let placement = snapshot.placement("one").expect("it exists");
    let names: Vec<String> = (0..100)
        .map(|n| format!("k{n}"))
        .filter(|name| placement.replicas(key(name).token) == [other])
        .take(10)
        .collect();
    cluster.kill(2);
    cluster.run_for(LATER);
    for name in &names {
        cluster
            .write(1, insert(table, name, 1, "x", 10), Consistency::One)
            .expect_err("its only replica is down");
        cluster
            .write(1, insert(table, name, 1, "x", 10), Consistency::Any)
            .expect("a hint is enough");
    }
    // Both were down, and the hints are all that is left of the writes.
    cluster.kill(1);
    cluster.restart(1);
    cluster.restart(2);
    cluster.run_for(LATER);
    for name in &names {
        assert_eq!(cluster.stored(2, table, &key(name)).rows.len(), 1, "{name}");
    }
    let status = cluster.node(1).status();
    assert!(status.members.iter().all(|member| member.hint_bytes == 0));
}

#[test]
fn a_deliverer_that_dies_does_not_begin_its_segment_anew() {
    let mut config = TestCluster::config(1);
    // A chunk takes seconds, so that the deliverer dies in between.
    config.bounds.hint_rate = 64 << 10;
    let (mut cluster, table) = left_alone(2, config.clone());
    let value = "x".repeat(100_000);
    for row in 0..35 {
        cluster
            .write(1, insert(table, "a", row, &value, 10), Consistency::One)
            .expect("one is enough");
    }
    cluster.run_for(Duration::from_secs(1));
    assert_eq!(cluster.node(1).status().counters.hints_written, 35);
    cluster.restart(2);
    cluster.run_for(Duration::from_secs(25));
    let before = cluster.node(1).status().counters.hints_delivered;
    assert!((12..35).contains(&before), "{before}");
    cluster.kill(1);
    cluster.reconnect(1);
    cluster.start_with(1, config).expect("it starts again");
    cluster.run_for(Duration::from_mins(3));
    let after = cluster.node(1).status().counters.hints_delivered;
    assert!(after < 35, "all were sent again");
    assert_eq!(cluster.stored(2, table, &key("a")).rows.len(), 35);
}

#[test]
fn who_has_lost_a_range_passes_its_hints_on() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(1);
    let names: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    cluster.deliver_hints(2, table, &names);
    for name in &names {
        let page = cluster.read(3, whole_partition(table, name, cluster.now()), Consistency::One);
        let rows = rows_of(&page.expect("all are alive"), cluster.now());
        assert_eq!(rows.len(), 1, "{name} is where nobody looks for it");
    }
    let counters = cluster.node(2).status().counters;
    assert!((1..20).contains(&counters.hints_rerouted), "{counters:?}");
    assert_eq!(counters.hints_taken, 20);
}

#[test]
fn the_receiver_drops_hints_beyond_the_horizon_too() {
    let cluster = TestCluster::new(2);
    let table = cluster.make_table(2);
    let horizon = TestCluster::config(1).bounds.hint_horizon().as_secs() as u32;
    let now = cluster.now();
    let hint = |row, age| Hint {
        at: Seconds(now.0 - age),
        mutation: insert(table, "a", row, "x", 10).encode(),
    };
    let request = Request::Hints(vec![hint(1, horizon + 5), hint(2, horizon - 5)]);
    let peers = Arc::clone(&cluster.node(1).peers);
    cluster
        .world
        .executor
        .run(async move {
            let tracer = Tracer::OFF;
            peers.ask_address(address(2), request, LATER, &tracer).await
        })
        .expect("it is taken");
    let rows = cluster.stored(2, table, &key("a")).rows;
    assert_eq!(rows.into_keys().collect::<Vec<_>>(), [clustering(2)]);
    let counters = cluster.node(2).status().counters;
    assert_eq!((counters.hints_taken, counters.hints_late), (1, 1));
}

#[test]
fn hints_of_a_departed_node_are_seen_until_they_are_placed_and_leave_no_directory() {
    let cluster = TestCluster::new(2);
    let table = cluster.make_table(2);
    let departed = keep_for_departed(&cluster, table);
    let status = cluster.node(1).status();
    assert!(status.hint_bytes > 0 && status.members.iter().all(|member| member.hint_bytes == 0));
    let [seen] = &status.departed[..] else {
        panic!("{:?}", status.departed);
    };
    assert_eq!((seen.id, seen.hint_bytes), (departed, status.hint_bytes));
    let disk = cluster.disk(1);
    let dir = Path::new("hints").join(departed.to_string());
    assert!(disk.exists(&dir).expect("the disk works"));
    cluster.run_for(Duration::from_mins(1));
    let status = cluster.node(1).status();
    assert_eq!((status.hint_bytes, status.departed.len()), (0, 0));
    assert_eq!(status.counters.hints_rerouted, 1);
    assert!(!disk.exists(&dir).expect("the disk works"));
    for number in 1..=2 {
        assert!(!cluster.stored(number, table, &key("a")).is_empty(), "n{number}");
    }
}

#[test]
fn a_disk_that_is_nearly_full_takes_no_hints() {
    let (cluster, table) = without_last(2);
    let reserve = TestCluster::config(1).bounds.hint_reserve;
    cluster.disk(1).set_faults(Faults {
        capacity: Some(reserve),
        ..Default::default()
    });
    cluster
        .write(1, insert(table, "a", 1, "x", 10), Consistency::One)
        .expect("one is enough");
    cluster.run_for(Duration::from_millis(100));
    let status = cluster.node(1).status();
    assert_eq!(
        (status.counters.hints_written, status.counters.hints_dropped),
        (0, 1)
    );
    assert_eq!(status.hint_bytes, 0);
}
