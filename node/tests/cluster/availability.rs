//! What goes on when nodes are killed.

use starling_client::{
    Consistency, Session,
    retry::{Decision, DefaultRetry, Failure, RetryPolicy},
};
use starling_cql::ErrorKind;

use crate::{
    harness::{Cluster, block_on, create_table},
    lanes::{Lanes, Levels},
    topology::{self, ROWS, make_table},
};

async fn write(session: &Session, id: i32, level: Consistency) -> Result<(), starling_client::Error> {
    let text = format!("INSERT INTO k.t (id, v) VALUES ({id}, {id})");
    session
        .query(
            session
                .statement(text)
                .with_consistency(level)
                .with_idempotent(true),
        )
        .await
        .map(drop)
}

async fn read(session: &Session, id: i32, level: Consistency) -> Result<Option<i32>, starling_client::Error> {
    let text = format!("SELECT v FROM k.t WHERE id = {id}");
    let rows = session
        .query(session.statement(text).with_consistency(level))
        .await?
        .rows()?;
    Ok(rows.first::<(i32,)>()?.map(|(v,)| v))
}

#[test]
fn quorum_outlives_one_node_and_says_so_when_two_are_gone() {
    let mut cluster = Cluster::start(3);
    block_on(async {
        let session = cluster.session(&[0]).await;
        create_table(&session).await;
        for id in 0..20 {
            write(&session, id, Consistency::All).await.unwrap();
        }

        // No pause: the first requests after the kill must not fail either.
        cluster.nodes[2].kill();
        for id in 20..60 {
            write(&session, id, Consistency::Quorum).await.unwrap();
        }
        for id in 0..60 {
            assert_eq!(
                read(&session, id, Consistency::Quorum).await.unwrap(),
                Some(id),
                "id {id}"
            );
        }

        cluster.nodes[1].kill();
        cluster.nodes[0].wait(|status| status.node.members.iter().filter(|member| member.up).count() == 1);
        // A session that knows no other node: what is asked here is what that node answers.
        let session = cluster.session(&[0]).await;
        for error in [
            write(&session, 100, Consistency::Quorum).await.unwrap_err(),
            read(&session, 1, Consistency::Quorum).await.unwrap_err(),
        ] {
            let kind = error.server().map(|error| error.kind.clone());
            let expected = ErrorKind::Unavailable {
                consistency: Consistency::Quorum,
                required: 2,
                alive: 1,
            };
            assert_eq!(kind, Some(expected), "{error}");
        }
        write(&session, 101, Consistency::One).await.unwrap();
        assert_eq!(read(&session, 101, Consistency::One).await.unwrap(), Some(101));

        // They come back, and with them what they missed.
        cluster.start_all();
        for id in (0..60).chain([101]) {
            assert_eq!(
                read(&session, id, Consistency::All).await.unwrap(),
                Some(id),
                "id {id}"
            );
        }
    });
}

#[test]
fn a_node_that_stops_answering_does_not_stop_the_others() {
    let mut cluster = Cluster::start(3);
    block_on(async {
        let session = cluster.session(&[0]).await;
        create_table(&session).await;
        // It is silent, and its connections stay: only time shows that it is gone.
        cluster.nodes[2].pause(true);
        let written = (0..400).map(|id| write(&session, id, Consistency::Quorum));
        for outcome in futures::future::join_all(written).await {
            outcome.unwrap();
        }
        for id in 0..400 {
            assert_eq!(
                read(&session, id, Consistency::Quorum).await.unwrap(),
                Some(id),
                "id {id}"
            );
        }
        cluster.nodes[2].pause(false);
        // It goes on where it was, and is brought what it missed.
        cluster.start_all();
        for node in [0, 1] {
            cluster.nodes[node]
                .wait(|status| status.node.members.iter().all(|member| member.hint_bytes == 0));
        }
        let session = cluster.session(&[2]).await;
        for id in 0..400 {
            assert_eq!(
                read(&session, id, Consistency::One).await.unwrap(),
                Some(id),
                "id {id}"
            );
        }
    });
}

/// Each time for as long as the clients through the others need for all their levels: they never need it.
#[test]
fn a_replica_that_stands_still_again_and_again_is_not_waited_for() {
    let mut cluster = Cluster::start(3);
    block_on(async {
        let session = cluster.patient_session(&[0]).await;
        make_table(&session, 3).await;
        for id in 0..ROWS {
            assert_eq!(topology::read(&session, id, Consistency::All).await, Some(id));
        }
        let speculative = || {
            let counters = |node: usize| cluster.nodes[node].status().unwrap().node.counters;
            counters(0).speculative_reads + counters(1).speculative_reads
        };
        let lanes = Lanes::through(&cluster, &[0, 1]).await;
        lanes.use_levels(Levels::Quorums).await;
        let before = speculative();
        for _ in 0..5 {
            cluster.nodes[2].pause(true);
            tokio::task::block_in_place(|| lanes.go_round());
            cluster.nodes[2].pause(false);
            tokio::task::block_in_place(|| lanes.go_round());
        }
        assert!(speculative() > before, "it was never asked first");
        let written = lanes.stop().await;
        cluster.start_all();
        for id in written {
            assert_eq!(
                topology::read(&session, id, Consistency::All).await,
                Some(id),
                "id {id}"
            );
        }
    });
}

/// Repeats what a node refused, and nothing that failed with its connection.
#[derive(Debug)]
struct NotAfterSilence;

impl RetryPolicy for NotAfterSilence {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        match failure.error.kind() {
            starling_client::ErrorKind::Connection => Decision::Fail,
            _ => DefaultRetry.decide(failure),
        }
    }
}

#[test]
fn writes_with_a_timestamp_leave_a_coordinator_that_stops() {
    let cluster = Cluster::start(3);
    block_on(async {
        let builder = cluster.session_builder(&[0]).retry(NotAfterSilence);
        let session = builder.client_timestamps(true).connect().await.unwrap();
        create_table(&session).await;
        let insert = session
            .prepare("INSERT INTO k.t (id, v) VALUES (?, ?)")
            .await
            .unwrap();
        // All nodes are replicas of all, so that each coordinates its share.
        let write_all = async |ids: std::ops::Range<i32>| {
            let writes = ids.map(|id| session.execute(&insert, (id, id)));
            for outcome in futures::future::join_all(writes).await {
                outcome.unwrap();
            }
        };
        write_all(0..60).await;
        // It never goes on. What was sent to it is sent to another node before its connection ends, or fails.
        cluster.nodes[2].pause(true);
        write_all(60..120).await;
        for id in 0..120 {
            assert_eq!(
                read(&session, id, Consistency::Quorum).await.unwrap(),
                Some(id),
                "id {id}"
            );
        }
    });
}

#[test]
fn operators_see_the_cluster() {
    let cluster = Cluster::start(3);
    let run = |command: &str| {
        let output = std::process::Command::new(crate::harness::STARLING)
            .args([command, "--admin", &cluster.nodes[1].admin.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let status = run("status");
    assert!(
        status.starts_with("cluster test: 3 of 3 up, schema agreed"),
        "{status}"
    );
    assert_eq!(
        status.lines().filter(|line| line.starts_with("up ")).count(),
        3,
        "{status}"
    );
    assert_eq!(run("ring").lines().count(), 1 + 3 * 16);
    let info = run("info");
    assert!(info.contains("node2") && info.contains("ready"), "{info}");
    let (code, metrics) = starling::admin::client::get(cluster.nodes[0].admin, "/metrics").unwrap();
    assert_eq!(code, 200);
    assert!(metrics.contains("starling_ready 1"), "{metrics}");
}
