//! What operators ask of a node's storage, by their commands: flush, compact, snapshots.

use std::{fs, io::Read, io::Write, net::TcpStream};

use starling::config::Settings;
use starling_client::{Consistency, Session};

use crate::{
    harness::{Cluster, Node, block_on, until},
    topology::{make_table, read, refused, run},
};

#[test]
fn a_node_is_flushed_compacted_and_kept_as_it_is() {
    let cluster = Cluster::start(1);
    block_on(async {
        let session = cluster.session(&[0]).await;
        make_table(&session, 1).await;
        let shards = || cluster.nodes[0].status().unwrap().shards;
        let sum = |figure: fn(&starling::admin::ShardView) -> u64| shards().iter().map(figure).sum::<u64>();

        let said = tokio::task::block_in_place(|| run(&cluster, 0, &["flush"]));
        assert!(said.contains("is in tables"), "{said}");
        assert!(shards().iter().all(|shard| shard.memtable_bytes == 0));
        let flushed = sum(|shard| shard.flushes);
        assert!(flushed >= 2, "{flushed} of two shards");

        session.query("DELETE FROM k.t WHERE id = 7").await.unwrap();
        session
            .query("INSERT INTO k.t (id, v) VALUES (8, 88)")
            .await
            .unwrap();
        let said = tokio::task::block_in_place(|| run(&cluster, 0, &["compact", "k.t"]));
        assert!(said.contains("of 1 tables of the schema"), "{said}");
        assert!(sum(|shard| shard.compactions) >= 1);
        let files = shards().iter().map(|shard| shard.tables).collect::<Vec<_>>();
        assert_eq!(files, [1, 1]);
        assert_eq!(read(&session, 7, Consistency::One).await, None);
        assert_eq!(read(&session, 8, Consistency::One).await, Some(88));
        let why = refused(&cluster, 0, &["compact", "k.nothing"]);
        assert!(why.contains("no table 'nothing'"), "{why}");

        let said = tokio::task::block_in_place(|| {
            run(&cluster, 0, &["snapshot", "create", "k.t", "--tag", "before"])
        });
        assert!(said.contains("Snapshot before of k.t: 2 tables"), "{said}");
        let place = cluster.nodes[0].dir.join("data/snapshots/before");
        let schema = fs::read_to_string(place.join("schema.cql")).unwrap();
        assert!(
            schema.contains("CREATE KEYSPACE k ") && schema.contains("CREATE TABLE k.t "),
            "{schema}"
        );
        let said = run(&cluster, 0, &["snapshot", "list"]);
        assert!(
            said.contains("before") && said.contains(place.to_str().unwrap()),
            "{said}"
        );
        for wrong in ["../up", "a/b", "..", "a b"] {
            let why = refused(&cluster, 0, &["snapshot", "create", "--tag", wrong]);
            assert!(why.contains("can't be the name of a snapshot"), "{why}");
            let why = refused(&cluster, 0, &["snapshot", "delete", wrong]);
            assert!(why.contains("can't be the name of a snapshot"), "{why}");
            let (code, _) = ask(
                &cluster,
                &format!("/snapshots/create?tag={}", wrong.replace(' ', "+")),
                "",
            );
            assert_eq!(code, 400);
        }
        let why = refused(&cluster, 0, &["snapshot", "create", "--tag", "before"]);
        assert!(why.contains("already"), "{why}");
        let said = run(&cluster, 0, &["snapshot", "delete", "before"]);
        assert!(said.contains("is deleted"), "{said}");
        assert!(!place.exists());
        let said = run(&cluster, 0, &["snapshot", "list"]);
        assert!(said.contains("There are no snapshots."), "{said}");
    });
}

#[test]
fn a_web_page_gives_no_orders() {
    let cluster = Cluster::start(1);
    for path in [
        "/flush",
        "/compact",
        "/snapshots/create",
        "/snapshots/delete?tag=x",
        "/snapshots/restore?dir=/x",
    ] {
        let (code, body) = ask(&cluster, path, "Origin: http://elsewhere\r\n");
        assert_eq!(code, 400, "{path}: {body}");
        assert!(body.contains("not taken from web pages"), "{path}: {body}");
    }
    assert!(!cluster.nodes[0].dir.join("data/snapshots").exists());
}

/// Posts to a page, with more headers; the status code and the body.
fn ask(cluster: &Cluster, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(cluster.nodes[0].admin).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: node\r\n{headers}Content-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Rows of `k.t`, by id, with their notes.
async fn rows(session: &Session) -> Vec<(i32, Option<i32>, Option<String>)> {
    let statement = session.statement("SELECT id, v, note FROM k.t");
    let rows = session
        .query(statement.with_consistency(Consistency::Quorum))
        .await
        .unwrap()
        .rows()
        .unwrap();
    let mut rows: Vec<_> = rows
        .typed::<(i32, Option<i32>, Option<String>)>()
        .map(Result::unwrap)
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn a_snapshot_is_restored_after_a_truncation_and_into_another_cluster() {
    let cluster = Cluster::start(1);
    block_on(async {
        let session = cluster.session(&[0]).await;
        make_table(&session, 1).await;
        // A column that was added has another id wherever the table is made anew.
        for statement in [
            "ALTER TABLE k.t ADD note text",
            "INSERT INTO k.t (id, note) VALUES (1, 'kept')",
            "DELETE FROM k.t WHERE id = 2",
            "DELETE v FROM k.t WHERE id = 3",
        ] {
            session.query(statement).await.unwrap();
        }
        let kept = rows(&session).await;
        let command = |arguments: &[&str]| tokio::task::block_in_place(|| run(&cluster, 0, arguments));
        command(&["snapshot", "create", "--tag", "s"]);
        let place = cluster.nodes[0].dir.join("data/snapshots/s");
        let dir = place.to_str().unwrap();

        // What is newer stays, deletions too.
        session
            .query("INSERT INTO k.t (id, v) VALUES (4, -4)")
            .await
            .unwrap();
        session.query("DELETE FROM k.t WHERE id = 5").await.unwrap();
        let newer = rows(&session).await;
        let said = command(&["snapshot", "restore", dir]);
        assert!(said.contains("are written"), "{said}");
        assert_eq!(rows(&session).await, newer);

        // Nothing of it is left, and all comes back.
        session.query("TRUNCATE k.t").await.unwrap();
        assert_eq!(rows(&session).await, []);
        command(&["snapshot", "restore", dir, "k.t"]);
        assert_eq!(rows(&session).await, kept);

        let other = Cluster::start_with(
            3,
            &Settings {
                partitioner: Some("xxh3".to_owned()),
                ..Settings::default()
            },
        );
        let why = tokio::task::block_in_place(|| refused(&other, 0, &["snapshot", "restore", dir]));
        assert!(why.contains("k.t does not exist"), "{why}");
        let there = other.session(&[0, 1, 2]).await;
        let statements = fs::read_to_string(place.join("schema.cql")).unwrap();
        for statement in statements.split(";\n").filter(|text| !text.trim().is_empty()) {
            let three = statement.replace("'replication_factor': '1'", "'replication_factor': '3'");
            there.query(three.as_str()).await.unwrap();
        }
        let said = tokio::task::block_in_place(|| run(&other, 1, &["snapshot", "restore", dir]));
        assert!(said.contains("are written"), "{said}");
        assert_eq!(rows(&there).await, kept);
        // Each has all of it, or gets what it missed as hints.
        until("all replicas have it", || {
            let writes = |node: &Node| -> u64 {
                let shards = node.status().map_or_else(Vec::new, |status| status.shards);
                shards.iter().map(|shard| shard.writes).sum()
            };
            let all = kept.len() as u64;
            other.nodes.iter().all(|node| writes(node) >= all).then_some(())
        });
        let why = refused(&other, 0, &["snapshot", "restore", "/nowhere/at/all"]);
        assert!(why.contains("there is no snapshot"), "{why}");
    });
}

#[test]
fn incremental_backups_hold_what_compaction_and_truncation_took() {
    let mut cluster = Cluster::start_with(
        1,
        &Settings {
            incremental_backups: Some(true),
            ..Settings::default()
        },
    );
    let place = cluster.nodes[0].dir.join("data/backups");
    let dir = place.to_str().unwrap().to_owned();
    let kept = block_on(async {
        let session = cluster.session(&[0]).await;
        make_table(&session, 1).await;
        session.query("ALTER TABLE k.t ADD note text").await.unwrap();
        let command = |arguments: &[&str]| tokio::task::block_in_place(|| run(&cluster, 0, arguments));
        command(&["flush"]);
        for statement in [
            "INSERT INTO k.t (id, note) VALUES (1, 'second flush')",
            "DELETE FROM k.t WHERE id = 2",
        ] {
            session.query(statement).await.unwrap();
        }
        command(&["flush"]);
        let linked = links(&place);
        assert!(linked >= 3, "{linked} of two flushes");
        command(&["compact"]);
        assert_eq!(links(&place), linked, "what a compaction made is nothing new");
        until("the schema is stored", || {
            let schema = fs::read_to_string(place.join("schema.cql")).ok()?;
            schema.contains("note text").then_some(())
        });
        rows(&session).await
    });
    let before = links(&place);
    cluster.nodes[0].stop();
    cluster.start_all();
    // What the compaction made is linked now.
    assert!(links(&place) > before);
    block_on(async {
        let session = cluster.session(&[0]).await;
        session.query("TRUNCATE k.t").await.unwrap();
        tokio::task::block_in_place(|| run(&cluster, 0, &["snapshot", "restore", &dir]));
        assert_eq!(rows(&session).await, kept);
    });
}

/// How many tables there are below a directory.
fn links(dir: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let count = |path: std::path::PathBuf| match path.extension() {
        Some(suffix) if suffix == "table" => 1,
        _ => links(&path),
    };
    entries.map(|entry| count(entry.unwrap().path())).sum()
}
