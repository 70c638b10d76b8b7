//! Bytes that go bad in a table's file while its node runs.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use starling::config::Settings;
use starling_client::{Consistency, Session};
use starling_cql::ErrorKind;

use crate::{
    harness::{Cluster, block_on, until},
    topology::{refused, run},
};

const ROWS: i32 = 500;
const ROW_BYTES: usize = 48 << 10;

/// Files of tables in a node's data directory.
pub(crate) fn tables(dir: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(dir.join("data")).unwrap();
    shards
        .filter_map(|shard| std::fs::read_dir(shard.unwrap().path()).ok())
        .flatten()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "table"))
        .collect()
}

/// Has all that a node holds in a file for each shard that stays as it is: what is just being written has no bytes yet
/// at many places.
pub(crate) fn settle(cluster: &Cluster, node: usize) {
    let order = |order: &[&str]| tokio::task::block_in_place(|| run(cluster, node, order));
    order(&["flush"]);
    until("a file for each shard", || {
        // A table that was being compacted anyway is not compacted with the others.
        order(&["compact", "k.t"]);
        (tables(&cluster.nodes[node].dir).len() <= 2).then_some(())
    });
}

/// Turns some bits in the middle of a file.
fn damage(file: &Path) {
    let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut bytes = [0; 16];
    file.read_exact_at(&mut bytes, middle).unwrap();
    file.write_all_at(&bytes.map(|byte| byte ^ 0x5A), middle).unwrap();
}

pub(crate) async fn write(session: &Session) {
    let insert = session
        .prepare("INSERT INTO k.t (id, v) VALUES (?, ?)")
        .await
        .unwrap()
        .with_consistency(Consistency::All);
    // Bytes that don't compress: the data is what fills the file.
    let mut state = 0x5EED_u64;
    for id in 0..ROWS {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(ROW_BYTES)
        .collect();
        session.execute(&insert, (id, value)).await.unwrap();
    }
}

/// Reads every row; gives those that can't be read, with the error.
pub(crate) async fn failures(session: &Session, level: Consistency) -> Vec<(i32, starling_client::Error)> {
    let mut failures = Vec::new();
    for id in 0..ROWS {
        let text = format!("SELECT id FROM k.t WHERE id = {id}");
        match session
            .query(session.statement(text).with_consistency(level))
            .await
        {
            Ok(result) => assert_eq!(result.rows().unwrap().first::<(i32,)>().unwrap(), Some((id,))),
            Err(error) => failures.push((id, error)),
        }
    }
    failures
}

/// How many rows can't be read, and how many are there.
async fn count(session: &Session) -> (usize, usize) {
    let (mut unreadable, mut there) = (0, 0);
    for id in 0..ROWS {
        let text = format!("SELECT id FROM k.t WHERE id = {id}");
        let statement = session.statement(text).with_consistency(Consistency::One);
        match session.query(statement).await {
            Ok(result) => there += result.rows().unwrap().len(),
            Err(_) => unreadable += 1,
        }
    }
    (unreadable, there)
}

#[test]
fn what_nobody_can_give_back_is_given_up_by_an_operator() {
    let settings = Settings {
        memtable_mib: Some(16),
        ..Settings::default()
    };
    let mut cluster = Cluster::start_with(3, &settings);
    block_on(async {
        let session = cluster.patient_session(&[0]).await;
        crate::harness::create_table_of(&session, "id int PRIMARY KEY, v blob").await;
        write(&session).await;
        settle(&cluster, 2);
        let files = tables(&cluster.nodes[2].dir);
        assert!(!files.is_empty());
        for file in &files {
            damage(file);
        }
        let dead = [0, 1].map(|node: usize| cluster.nodes[node].listen.to_string());
        cluster.nodes[0].kill();
        cluster.nodes[1].kill();
        cluster.nodes[2].wait(|status| status.node.members.iter().filter(|member| member.up).count() == 1);
        let session = cluster.session(&[2]).await;
        let (unreadable, there) = count(&session).await;
        assert!(unreadable > 0 && unreadable + there == ROWS as usize);

        let why = refused(&cluster, 2, &["repair", "k.t", "--accept-loss"]);
        assert!(why.contains("is down") && why.contains("--dead"), "{why}");
        let order = [
            "repair",
            "k.t",
            "--accept-loss",
            "--dead",
            &dead[0],
            "--dead",
            &dead[1],
        ];
        let told = run(&cluster, 2, &order);
        assert!(
            told.contains("damaged tokens") && told.contains("Nothing was changed"),
            "{told}"
        );
        let accepted = || cluster.nodes[2].status().unwrap().node.counters.losses_accepted;
        assert_eq!(accepted(), 0);
        let mut order = order.to_vec();
        order.push("--yes");
        // What is damaged elsewhere may be found by later reads only.
        let mut found = (unreadable, there);
        for _ in 0..20 {
            let done = run(&cluster, 2, &order);
            assert!(
                done.contains("Given up") || done.contains("Nothing of k.t"),
                "{done}"
            );
            found = count(&session).await;
            if found.0 == 0 {
                break;
            }
        }
        assert!(found.0 == 0 && (1..ROWS as usize).contains(&found.1), "{found:?}");
        assert!(accepted() > 0);

        // They were not dead after all, and have it still.
        cluster.start_all();
        let session = cluster.session(&[2]).await;
        let failures = failures(&session, Consistency::All).await;
        assert!(failures.is_empty(), "{failures:?}");
    });
}

#[test]
fn a_damaged_block_costs_its_own_rows_on_one_replica_and_nothing_else() {
    let settings = Settings {
        memtable_mib: Some(16),
        ..Settings::default()
    };
    let mut cluster = Cluster::start_with(3, &settings);
    block_on(async {
        let session = cluster.patient_session(&[0]).await;
        crate::harness::create_table_of(&session, "id int PRIMARY KEY, v blob").await;
        write(&session).await;
        settle(&cluster, 2);
        let files = tables(&cluster.nodes[2].dir);
        assert!(!files.is_empty());
        for file in &files {
            damage(file);
        }

        // Alone, the node says of each row what it can't do, and goes on with the others.
        cluster.nodes[0].kill();
        cluster.nodes[1].kill();
        cluster.nodes[2].wait(|status| status.node.members.iter().filter(|member| member.up).count() == 1);
        let session = cluster.session(&[2]).await;
        let gone = failures(&session, Consistency::One).await;
        assert!(!gone.is_empty(), "no row was in what was damaged");
        assert!(gone.len() < ROWS as usize / 4, "{} rows are gone", gone.len());
        for (id, error) in gone {
            let kind = error.server().map(|error| error.kind.clone());
            assert!(
                matches!(kind, Some(ErrorKind::ReadFailure { failures: 1, .. })),
                "{id}: {error}"
            );
            let text = error.to_string();
            assert!(
                text.contains(".table") && text.contains("checksum"),
                "{id}: {text}"
            );
        }

        // The others have the data, whoever is asked.
        cluster.start_all();
        for node in [0, 2] {
            let session = cluster.session(&[node]).await;
            for level in [Consistency::One, Consistency::Quorum] {
                let failures = failures(&session, level).await;
                assert!(failures.is_empty(), "n{} at {level}: {failures:?}", node + 1);
            }
        }
    });
}
