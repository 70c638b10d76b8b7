//! A node that others fetch from: what it makes for them is bounded, whatever becomes of them.

use std::{path::Path, sync::Arc, time::Duration};

use starling_model::{Consistency, TableId, TokenRange};
use starling_sstable::fs::Fs;

use crate::{
    message::{Failure, Response},
    streaming::{
        StreamReply, StreamRequest,
        source::{DIRECTORY, MAX_OPEN},
    },
    testing::{TestCluster, insert},
};

/// A node with something in a table, whose storage takes until it is let go on.
fn slow() -> (TestCluster, TableId) {
    let cluster = TestCluster::new(1);
    let table = cluster.make_table(1);
    let written = cluster.write(1, insert(table, "key", 1, "v", 10), Consistency::One);
    written.expect("it is written");
    cluster.store(1).exports().hold(true);
    (cluster, table)
}

fn ask(cluster: &TestCluster, request: StreamRequest) -> Result<StreamReply, Failure> {
    let streaming = Arc::clone(&cluster.node(1).streaming);
    let asked = async move { streaming.serve(request, false).await };
    match cluster.world.executor.run(asked)? {
        Response::Stream(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

fn open(cluster: &TestCluster, stream: u128, table: TableId) -> Result<StreamReply, Failure> {
    let open = StreamRequest::OpenAnew {
        stream,
        table,
        tokens: TokenRange::ALL.into(),
        shards: 1,
    };
    ask(cluster, open)
}

fn close(cluster: &TestCluster, stream: u128) {
    assert_eq!(
        ask(cluster, StreamRequest::Close { stream }),
        Ok(StreamReply::Closed)
    );
}

/// Lets the storage take a step, and what follows from it happen.
fn step(cluster: &TestCluster) {
    cluster.store(1).exports().step();
    cluster.run_for(Duration::from_millis(10));
}

/// Nothing is left of any stream.
fn check_clear(cluster: &TestCluster) {
    assert_eq!(cluster.node(1).status().streams.serving, 0);
    let left = cluster.disk(1).list(Path::new(DIRECTORY)).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_stream_that_was_closed_counts_until_all_that_is_done_for_it_has_ended() {
    let (cluster, table) = slow();
    for stream in 0..100 {
        let opened = open(&cluster, stream, table);
        let expected = if stream < MAX_OPEN as u128 {
            Ok(StreamReply::Making)
        } else {
            Err(Failure::Overloaded)
        };
        assert_eq!(opened, expected, "{stream}");
        close(&cluster, stream);
    }
    assert_eq!(cluster.store(1).exports().counts(), (MAX_OPEN, 0));
    // Nobody comes back.
    cluster.run_for(Duration::from_secs(20));
    assert_eq!(
        open(&cluster, 100, table),
        Err(Failure::Overloaded),
        "they are still at it"
    );
    step(&cluster);
    assert_eq!(cluster.store(1).exports().counts(), (MAX_OPEN, MAX_OPEN));
    check_clear(&cluster);
    assert_eq!(open(&cluster, 100, table), Ok(StreamReply::Making));
}

#[test]
fn what_nobody_asks_about_is_given_up_while_it_is_made() {
    let (cluster, table) = slow();
    assert_eq!(open(&cluster, 1, table), Ok(StreamReply::Making));
    cluster.run_for(Duration::from_secs(50));
    step(&cluster);
    assert_eq!(
        cluster.store(1).exports().counts(),
        (1, 0),
        "it may be asked about yet"
    );
    cluster.run_for(Duration::from_secs(20));
    step(&cluster);
    assert_eq!(cluster.store(1).exports().counts(), (1, 1));
    check_clear(&cluster);
}

#[test]
fn whoever_asks_again_gets_what_is_being_made() {
    let (cluster, table) = slow();
    assert_eq!(open(&cluster, 1, table), Ok(StreamReply::Making));
    close(&cluster, 1);
    cluster.run_for(Duration::from_secs(11));
    assert_eq!(open(&cluster, 1, table), Ok(StreamReply::Making));
    cluster.run_for(Duration::from_secs(20));
    step(&cluster);
    cluster.store(1).exports().hold(false);
    cluster.run_for(Duration::from_millis(10));
    let files = open(&cluster, 1, table);
    assert!(
        matches!(&files, Ok(StreamReply::Files(files)) if files.len() == 1),
        "{files:?}"
    );
    assert_eq!(
        cluster.store(1).exports().counts(),
        (1, 1),
        "it was not begun twice"
    );
    close(&cluster, 1);
    cluster.run_for(Duration::from_millis(10));
    check_clear(&cluster);
}

#[test]
fn what_is_ready_after_it_was_closed_is_cleared_away() {
    let (cluster, table) = slow();
    assert_eq!(open(&cluster, 1, table), Ok(StreamReply::Making));
    close(&cluster, 1);
    cluster.store(1).exports().hold(false);
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(cluster.store(1).exports().counts(), (1, 1));
    check_clear(&cluster);
}

#[test]
fn nobody_gets_what_was_begun_before_a_truncation() {
    let (cluster, table) = slow();
    assert_eq!(open(&cluster, 1, table), Ok(StreamReply::Making));
    step(&cluster);
    cluster.node(1).streaming.forget_table(table);
    assert_eq!(open(&cluster, 1, table), Ok(StreamReply::Making));
    cluster.run_for(Duration::from_millis(10));
    assert_eq!(cluster.store(1).exports().counts(), (1, 0), "not beside it");
    step(&cluster);
    assert_eq!(cluster.store(1).exports().counts(), (1, 1), "it is given up");
    check_clear(&cluster);
    assert_eq!(open(&cluster, 1, table), Ok(StreamReply::Making));
    cluster.store(1).exports().hold(false);
    cluster.run_for(Duration::from_millis(10));
    assert!(matches!(open(&cluster, 1, table), Ok(StreamReply::Files(_))));
    assert_eq!(cluster.store(1).exports().counts(), (2, 2));
}
