//! Data on its way, in a small cluster: whoever dies, what arrives is whole.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use starling_model::{Consistency, NodeId, TableId, Timestamp, TokenRange};
use starling_ring::Ring;
use starling_sstable::fs::Fs;

use crate::{
    env::{Damaged, Env, StoreError},
    testing::{Link, TestCluster, insert, key},
    topology::{Change, ChangeKind, Phase},
};

const ROWS: usize = 60;

/// Nodes with a table of two replicas, in which every row is on both.
fn filled(nodes: usize) -> (TestCluster, TableId) {
    let cluster = TestCluster::new(nodes);
    let table = cluster.make_table(2);
    for row in 0..ROWS {
        let mutation = insert(table, &format!("k{row}"), 1, "v", 10);
        cluster
            .write(1, mutation, Consistency::All)
            .expect("it is written");
    }
    (cluster, table)
}

fn id(cluster: &TestCluster, number: usize) -> NodeId {
    cluster.node(number).id
}

/// Lets a node see that a change is under way, which nobody carries through.
fn show(cluster: &TestCluster, number: usize, kind: &ChangeKind) -> Change {
    let change = Change {
        id: 7,
        kind: kind.clone(),
        coordinator: id(cluster, 2),
        since: Timestamp(1),
        phase: Phase::Pending,
        lost: BTreeSet::new(),
    };
    let node = cluster.node(number);
    let state = node.book.load();
    if state.change().is_none() {
        let begun = state.with_change(&change, Phase::Pending);
        assert!(node.book.replace(&state, begun));
        node.membership.ring_changed();
    }
    change
}

/// Begins to fetch; tells whether it is over.
fn begin_fetch(
    cluster: &TestCluster,
    number: usize,
    kind: &ChangeKind,
) -> Arc<parking_lot::Mutex<Option<Result<(), String>>>> {
    let change = show(cluster, number, kind);
    let streaming = Arc::clone(&cluster.node(number).streaming);
    let outcome = Arc::new(parking_lot::Mutex::new(None));
    let told = Arc::clone(&outcome);
    cluster.envs[number - 1].spawn(async move {
        let fetched = streaming.fetch(&change).await;
        *told.lock() = Some(fetched);
    });
    outcome
}

/// Who must have each row afterwards: the nodes that stay, where the new ring says.
fn check(cluster: &TestCluster, table: TableId, number: usize, kind: &ChangeKind) {
    let ring = Arc::clone(&cluster.node(number).views.load().cluster.ring);
    let next = Ring::new(ring.partitioner(), kind.next(ring.members()));
    let placement = next.placement(&starling_ring::Strategy::Simple { factor: 2 });
    let mut has = 0;
    for row in 0..ROWS {
        let key = key(&format!("k{row}"));
        if placement.replicas(key.token).contains(&id(cluster, number)) {
            let rows = cluster.stored(number, table, &key).rows.len();
            assert_eq!(rows, 1, "n{number} has {key:?}");
            has += 1;
        }
    }
    assert!(has > ROWS / 4, "n{number} gained something");
}

#[test]
fn those_who_stay_fetch_what_a_leaver_had() {
    let (cluster, table) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    for number in [1, 2] {
        let fetched = begin_fetch(&cluster, number, &leave);
        cluster.run_for(Duration::from_secs(2));
        assert_eq!(*fetched.lock(), Some(Ok(())));
        check(&cluster, table, number, &leave);
        let status = cluster.node(number).status().streams;
        assert!(!status.fetching);
        assert!(
            status.bytes_done > 0 && status.bytes_done == status.bytes_total,
            "{status:?}"
        );
        assert_eq!(status.parts_done, status.parts_total);
    }
    // What was made for it goes.
    assert_eq!(cluster.node(3).status().streams.serving, 0);
    for number in 1..=3 {
        for place in ["streams/out", "streams/in"] {
            let left = cluster
                .disk(number)
                .list(std::path::Path::new(place))
                .unwrap_or_default();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

#[test]
fn a_dead_node_s_ranges_come_from_the_others() {
    let (mut cluster, table) = filled(3);
    let remove = ChangeKind::Remove(vec![id(&cluster, 3)]);
    cluster.kill(3);
    for number in [1, 2] {
        let fetched = begin_fetch(&cluster, number, &remove);
        cluster.run_for(Duration::from_secs(2));
        assert_eq!(*fetched.lock(), Some(Ok(())));
        check(&cluster, table, number, &remove);
    }
}

#[test]
fn a_source_that_can_t_now_is_waited_for() {
    let (cluster, table) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    cluster
        .store(3)
        .set_fault(Some(StoreError::Disk("no room".to_owned())));
    let fetched = begin_fetch(&cluster, 1, &leave);
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(*fetched.lock(), None);
    let waits = cluster.node(1).status().streams.waits_for;
    assert!(waits.is_some_and(|what| what.contains(&id(&cluster, 3).to_string())));
    cluster.store(3).set_fault(None);
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(*fetched.lock(), Some(Ok(())));
    check(&cluster, table, 1, &leave);
}

#[test]
fn a_source_that_is_away_for_a_moment_is_waited_for() {
    let (cluster, table) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    cluster.partition(&[1], &[3], Link::Refused);
    let fetched = begin_fetch(&cluster, 1, &leave);
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(*fetched.lock(), None);
    cluster.partition(&[1], &[3], Link::Good);
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(*fetched.lock(), Some(Ok(())));
    check(&cluster, table, 1, &leave);
}

#[test]
fn a_change_that_is_given_up_ends_the_fetch() {
    let (cluster, _) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    cluster
        .store(3)
        .set_fault(Some(StoreError::Disk("no room".to_owned())));
    let fetched = begin_fetch(&cluster, 1, &leave);
    cluster.run_for(Duration::from_secs(1));
    assert_eq!(*fetched.lock(), None);
    give_up(&cluster);
    cluster.run_for(Duration::from_secs(3));
    assert!(matches!(&*fetched.lock(), Some(Err(why)) if why.contains("over")));
    assert!(!cluster.node(1).status().streams.fetching);
}

/// How many of the rows a node stores.
fn owned(cluster: &TestCluster, number: usize, table: TableId) -> usize {
    let keys = (0..ROWS).map(|row| key(&format!("k{row}")));
    keys.filter(|key| !cluster.stored(number, table, key).is_empty())
        .count()
}

/// The third node is about to leave, and the first has noted what it will hold then; how many rows it stores before.
fn about_to_leave(cluster: &TestCluster, table: TableId) -> (usize, ChangeKind, Change) {
    cluster.run_for(Duration::from_secs(15));
    let before = owned(cluster, 1, table);
    let leave = ChangeKind::Leave(id(cluster, 3));
    let change = show(cluster, 1, &leave);
    let (streaming, ready) = (Arc::clone(&cluster.node(1).streaming), change.clone());
    let noted = async move { streaming.ready_for(Some(&ready)).await };
    cluster.world.executor.run(noted).expect("it is noted");
    (before, leave, change)
}

/// The first node hears that the change is given up.
fn give_up(cluster: &TestCluster) {
    let node = cluster.node(1);
    let state = node.book.load();
    assert!(node.book.replace(&state, state.aborted()));
    node.membership.ring_changed();
}

/// The disk is so slow that a part is on it only when the change was given up long ago, and all was cleaned up.
#[test]
fn what_came_for_a_change_that_was_given_up_is_not_taken_in() {
    let (cluster, table) = filled(3);
    let (before, leave, _) = about_to_leave(&cluster, table);
    let fetched = begin_fetch(&cluster, 1, &leave);
    let streaming = Arc::clone(&cluster.node(1).streaming);
    while streaming.status().bytes_done == 0 {
        cluster.envs[0].set_disk_delay(Duration::from_mins(1));
        cluster.run_for(Duration::from_micros(100));
        cluster.envs[0].set_disk_delay(Duration::ZERO);
    }
    assert_eq!(owned(&cluster, 1, table), before, "it is on its way to the disk");
    give_up(&cluster);
    cluster.run_for(Duration::from_secs(30));
    assert_eq!(*fetched.lock(), None);
    cluster.run_for(Duration::from_mins(5));
    assert!(matches!(&*fetched.lock(), Some(Err(why)) if why.contains("over")));
    assert_eq!(owned(&cluster, 1, table), before);
}

/// A part that is being taken in when its change is given up is cleaned up only when it is there.
#[test]
fn nothing_is_forgotten_while_something_is_taken_in() {
    let (cluster, table) = filled(3);
    let (before, _, change) = about_to_leave(&cluster, table);
    let streaming = Arc::clone(&cluster.node(1).streaming);
    let arriving = streaming.cleanup.arriving.enter();
    give_up(&cluster);
    cluster.run_for(Duration::from_secs(30));
    let refused = async move { streaming.prepare(&change).await };
    let refused = cluster.world.executor.run(refused);
    assert!(refused.is_err_and(|why| why.contains("takes in")));
    for row in 0..ROWS {
        cluster
            .store(1)
            .apply_now(insert(table, &format!("k{row}"), 1, "v", 10));
    }
    drop(arriving);
    cluster.run_for(Duration::from_secs(30));
    assert_eq!(owned(&cluster, 1, table), before);
}

#[test]
fn a_source_with_damage_is_replaced_by_the_other_replicas() {
    let (cluster, table) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    cluster.store(3).damage(Damaged {
        table,
        tokens: TokenRange::ALL,
    });
    let fetched = begin_fetch(&cluster, 1, &leave);
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(*fetched.lock(), Some(Ok(())));
    check(&cluster, table, 1, &leave);
    // What the failed exports made is gone.
    let left = cluster.disk(3).list(Path::new(super::super::source::DIRECTORY));
    assert_eq!(left.unwrap_or_default(), Vec::<PathBuf>::new());
}

#[test]
fn what_comes_damaged_is_made_anew_by_its_source() {
    let (mut cluster, table) = filled(3);
    let remove = ChangeKind::Remove(vec![id(&cluster, 3)]);
    cluster.kill(3);
    // Nobody else has it.
    let tokens = TokenRange::ALL;
    cluster
        .store(2)
        .damage_unnoticed(Damaged { table, tokens }, false);
    let fetched = begin_fetch(&cluster, 1, &remove);
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(*fetched.lock(), Some(Ok(())));
    check(&cluster, table, 1, &remove);
}

#[test]
fn a_source_finds_its_damage_when_it_is_told_that_it_came_damaged() {
    let (cluster, table) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    let tokens = TokenRange::ALL;
    cluster.store(3).damage_unnoticed(Damaged { table, tokens }, true);
    let fetched = begin_fetch(&cluster, 1, &leave);
    cluster.run_for(Duration::from_secs(10));
    assert_eq!(*fetched.lock(), Some(Ok(())), "the others have it");
    check(&cluster, table, 1, &leave);
    assert!(cluster.node(3).status().counters.healed > 0);
    for row in 0..ROWS {
        let key = key(&format!("k{row}"));
        let ring = &cluster.node(3).views.load().cluster.ring;
        let placement = ring.placement(&starling_ring::Strategy::Simple { factor: 2 });
        if placement.replicas(key.token).contains(&id(&cluster, 3)) {
            assert_eq!(cluster.stored(3, table, &key).rows.len(), 1, "{key:?} is back");
        }
    }
}

#[test]
fn a_newcomer_that_dies_goes_on_where_it_was() {
    let (mut cluster, table) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    let fetched = begin_fetch(&cluster, 1, &leave);
    cluster.run_for(Duration::from_secs(2));
    assert_eq!(*fetched.lock(), Some(Ok(())));
    let before = cluster.node(1).status().counters.streamed_in_bytes;
    assert!(before > 0);
    cluster.kill(1);
    cluster.restart(1);
    cluster.run_for(Duration::from_secs(2));
    let again = begin_fetch(&cluster, 1, &leave);
    cluster.run_for(Duration::from_secs(2));
    assert_eq!(*again.lock(), Some(Ok(())));
    check(&cluster, table, 1, &leave);
    assert_eq!(
        cluster.node(1).status().counters.streamed_in_bytes,
        0,
        "all of it was noted"
    );
}

#[test]
fn a_plan_tells_what_will_move_and_moves_nothing() {
    let (cluster, _) = filled(3);
    let leave = ChangeKind::Leave(id(&cluster, 3));
    let streaming = Arc::clone(&cluster.node(1).streaming);
    let asked = leave.clone();
    let plan = cluster
        .world
        .executor
        .run(async move { streaming.estimate(&asked).await });
    let leaver = id(&cluster, 3).to_string();
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert!(
        plan.moves
            .iter()
            .all(|moved| moved.from == leaver && moved.bytes > 0),
        "{plan:?}"
    );
    let of = |node: &str| {
        plan.nodes
            .iter()
            .find(|balance| balance.node == node)
            .expect("it is told")
    };
    let gone = of(&leaver);
    assert_eq!((gone.bytes_after, gone.share_after), (0, 0.0));
    assert_eq!(plan.bytes, gone.bytes_before, "what it has goes to the others");
    let before: u64 = plan.nodes.iter().map(|balance| balance.bytes_before).sum();
    let after: u64 = plan.nodes.iter().map(|balance| balance.bytes_after).sum();
    assert_eq!(before, after, "as many replicas as before");
    let shares: f64 = plan.nodes.iter().map(|balance| balance.share_after).sum();
    assert!((shares - 1.0).abs() < 1e-6);
    assert_eq!(cluster.node(1).status().counters.streamed_in_bytes, 0);
}

#[test]
fn a_plan_warns_of_what_is_lost() {
    let (mut cluster, _) = filled(3);
    let both = ChangeKind::Remove(vec![id(&cluster, 2), id(&cluster, 3)]);
    cluster.kill(2);
    cluster.kill(3);
    let streaming = Arc::clone(&cluster.node(1).streaming);
    let plan = cluster
        .world
        .executor
        .run(async move { streaming.estimate(&both).await });
    assert!(
        plan.warnings
            .iter()
            .any(|warning| warning.contains("no other replica")),
        "{plan:?}"
    );
}

#[test]
fn a_loser_forgets_by_itself_and_a_restart_goes_on_with_it() {
    let (mut cluster, table) = filled(3);
    // The ring by which they have their data is noted once it was quiet for a while.
    cluster.run_for(Duration::from_secs(15));
    let owned = |cluster: &TestCluster, number: usize| -> usize {
        let keys = (0..ROWS).map(|row| key(&format!("k{row}")));
        keys.filter(|key| !cluster.stored(number, table, key).is_empty())
            .count()
    };
    let before = owned(&cluster, 1);
    assert!(before > 0 && before < ROWS);
    // It noted that it may hold data of a ring in which it is alone, and has some of that.
    for row in 0..ROWS {
        cluster
            .store(1)
            .apply_now(insert(table, &format!("k{row}"), 1, "v", 10));
    }
    let others = ChangeKind::Remove(vec![id(&cluster, 2), id(&cluster, 3)]);
    let change = Change {
        id: 9,
        kind: others,
        coordinator: id(&cluster, 1),
        since: Timestamp(1),
        phase: Phase::Pending,
        lost: BTreeSet::new(),
    };
    let streaming = Arc::clone(&cluster.node(1).streaming);
    let prepared = change.clone();
    cluster
        .world
        .executor
        .run(async move {
            streaming.prepare(&prepared).await?;
            streaming.ready_for(Some(&prepared)).await
        })
        .expect("it is ready");
    assert_eq!(owned(&cluster, 1), before, "it has nothing of what it would gain");
    for row in 0..ROWS {
        cluster
            .store(1)
            .apply_now(insert(table, &format!("k{row}"), 1, "v", 10));
    }
    // The change never began, and the node was restarted.
    cluster.kill(1);
    cluster.restart(1);
    cluster.run_for(Duration::from_secs(5));
    assert_eq!(owned(&cluster, 1), ROWS, "not before the ring was quiet");
    cluster.run_for(Duration::from_secs(15));
    assert_eq!(owned(&cluster, 1), before);
    assert!(cluster.node(1).status().counters.cleaned_up_bytes > 0);
}

#[test]
fn replicas_that_an_altered_keyspace_does_without_forget() {
    let (cluster, table) = filled(3);
    cluster.run_for(Duration::from_secs(15));
    cluster
        .cql(
            1,
            "ALTER KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        )
        .expect("it is altered");
    let copies = |row: usize| {
        let key = key(&format!("k{row}"));
        let holders = (1..=3).filter(|number| !cluster.stored(*number, table, &key).is_empty());
        holders.count()
    };
    assert!(
        (0..ROWS).all(|row| copies(row) == 2),
        "not before the ring was quiet"
    );
    cluster.run_for(Duration::from_secs(30));
    assert!((0..ROWS).all(|row| copies(row) == 1));
}
