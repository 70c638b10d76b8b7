//! Bytes that go bad on two nodes of three while they run: each gives back what the other has lost.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use starling::config::Settings;
use starling_client::{Consistency, Session};

use crate::{
    damage::{failures, settle, tables, write},
    harness::{Cluster, PATIENCE, block_on, create_table_of},
    topology::output,
};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Three nodes that all have all rows, in files that stay as they are, and a session.
async fn filled() -> (Cluster, Session) {
    filled_with_room_for(3).await
}

/// The same, and what so many nodes need, of which the first three run.
async fn filled_with_room_for(nodes: u8) -> (Cluster, Session) {
    let settings = Settings {
        memtable_mib: Some(16),
        ..Settings::default()
    };
    let mut cluster = Cluster::prepared(nodes, &settings);
    cluster.start_first(3);
    let session = cluster.patient_session(&[0]).await;
    create_table_of(&session, "id int PRIMARY KEY, v blob").await;
    write(&session).await;
    for node in 0..3 {
        settle(&cluster, node);
    }
    (cluster, session)
}

/// Turns bits in each of a node's tables at these places, in thousandths of the file. Its rows lie in the order of their tokens.
fn damage(cluster: &Cluster, node: usize, places: impl IntoIterator<Item = u64> + Clone) {
    let files = tables(&cluster.nodes[node].dir);
    assert!(!files.is_empty());
    for file in files {
        let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
        let length = file.metadata().unwrap().len();
        for place in places.clone() {
            let offset = length * place / 1_000;
            let mut bytes = [0; 16];
            file.read_exact_at(&mut bytes, offset).unwrap();
            file.write_all_at(&bytes.map(|byte| byte ^ 0x5A), offset).unwrap();
        }
    }
}

/// Blocks of a node that it knows it can't read.
fn quarantined(cluster: &Cluster, node: usize) -> usize {
    let status = cluster.nodes[node].status();
    let shards = status.map(|status| status.shards).unwrap_or_default();
    shards.iter().map(|shard| shard.quarantined).sum()
}

/// Stretches that a node has written anew, that wait for an operator, and that were given up.
fn stretches(cluster: &Cluster, node: usize) -> (u64, u64, u64) {
    cluster.nodes[node].status().map_or((0, 0, 0), |status| {
        let (counters, damage) = (status.node.counters, status.node.damage);
        (counters.healed, damage.for_operator, counters.losses_accepted)
    })
}

#[test]
fn two_of_three_with_many_bad_blocks_become_whole_while_they_run() {
    block_on(async {
        let (cluster, session) = filled().await;
        let damaged = [1, 2];
        // Each between the other's, and, for a tenth of the tokens, both in the same place.
        for (node, first) in [(1, 50), (2, 150)] {
            let apart = (first..700).step_by(200);
            damage(&cluster, node, apart.chain((780..880).step_by(2)));
        }
        let deadline = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            let failures = failures(&session, Consistency::All).await;
            let states = damaged.map(|node| stretches(&cluster, node));
            let known: usize = damaged.iter().map(|node| quarantined(&cluster, *node)).sum();
            if failures.is_empty() && known == 0 && told {
                assert!(states.iter().all(|(healed, ..)| *healed > 0), "{states:?}");
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{} rows can't be read; {states:?}, {known} blocks",
                failures.len()
            );
            if !told {
                // Nothing of it goes without an operator.
                assert!(states.iter().all(|(.., accepted)| *accepted == 0), "{states:?}");
                told = states
                    .iter()
                    .all(|(healed, for_operator, _)| *healed > 0 && *for_operator > 0);
            }
            if told {
                // More may be found meanwhile; then it is refused, and said again.
                for node in damaged {
                    drop(output(
                        &cluster,
                        node,
                        &["repair", "k.t", "--accept-loss", "--yes"],
                    ));
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    });
}

#[test]
fn who_is_killed_as_it_heals_goes_on_when_it_is_back() {
    block_on(async {
        let (mut cluster, _) = filled().await;
        damage(&cluster, 1, (50..400).step_by(50));
        damage(&cluster, 2, (600..900).step_by(50));
        // Without the first node's answers there are too few to heal from: what is begun does not end.
        cluster.nodes[0].pause(true);
        let session = cluster.session(&[2]).await;
        let deadline = Instant::now() + PATIENCE;
        while quarantined(&cluster, 2) == 0 {
            assert!(Instant::now() < deadline, "no damage is met");
            drop(failures(&session, Consistency::One).await);
        }
        assert_eq!(stretches(&cluster, 2), (0, 0, 0));
        cluster.nodes[2].kill();
        cluster.nodes[2].start();
        cluster.nodes[0].pause(false);
        cluster.start_all();
        let session = cluster.session(&[0]).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failures = failures(&session, Consistency::All).await;
            let known = quarantined(&cluster, 1) + quarantined(&cluster, 2);
            if failures.is_empty() && known == 0 {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{} rows can't be read, {known} blocks",
                failures.len()
            );
            tokio::time::sleep(LOOK).await;
        }
        for node in [1, 2] {
            let (healed, for_operator, accepted) = stretches(&cluster, node);
            assert!(healed > 0, "n{} has healed", node + 1);
            assert_eq!((for_operator, accepted), (0, 0));
        }
    });
}

/// Nobody has met the damage when a fourth node fetches its part of the data: each of the three finds out by what it is
/// to send.
#[test]
fn a_node_joins_though_all_that_it_fetches_from_are_damaged() {
    block_on(async {
        let (mut cluster, session) = filled_with_room_for(4).await;
        for (node, first) in [(0, 50), (1, 110), (2, 170)] {
            damage(&cluster, node, (first..950).step_by(200));
        }
        tokio::task::block_in_place(|| {
            cluster.nodes[3].start();
            cluster.nodes[3].wait(|status| status.node.ready);
        });
        // What nobody fetched is met by these reads.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failures = failures(&session, Consistency::All).await;
            let known: usize = (0..4).map(|node| quarantined(&cluster, node)).sum();
            if failures.is_empty() && known == 0 {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{} rows can't be read, {known} blocks: {:?}",
                failures.len(),
                failures.first()
            );
            tokio::time::sleep(LOOK).await;
        }
        let healed: Vec<u64> = (0..3).map(|node| stretches(&cluster, node).0).collect();
        assert!(healed.iter().all(|healed| *healed > 0), "{healed:?}");
        let (healed, for_operator, accepted) = stretches(&cluster, 3);
        assert_eq!(
            (healed, for_operator, accepted),
            (0, 0, 0),
            "the newcomer got nothing damaged"
        );
    });
}
