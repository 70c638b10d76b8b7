//! A node misses writes and the hints for it are lost: `starling repair` makes the replicas equal.

use std::{
    fs,
    process::{Command, Output},
};

use starling::{admin, config::Settings};
use starling_client::{Consistency, Session};
use starling_replication::RepairProgress;

use crate::{
    harness::{Cluster, Node, STARLING, block_on, create_table},
    topology::run,
};

const ROWS: i32 = 1_000;
/// Rows that one node misses: of each five one is deleted, the others are changed.
const MISSED: i32 = 50;

/// `starling repair` at a node, and what it told.
fn repair(node: &Node, arguments: &[&str]) -> (Output, Vec<RepairProgress>) {
    let output = Command::new(STARLING)
        .args(["repair", "--format", "json", "--admin", &node.admin.to_string()])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let progress = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let progress = progress.collect();
    (output, progress)
}

/// The last word of a repair that went well.
fn repaired(node: &Node, arguments: &[&str]) -> RepairProgress {
    let (output, progress) = repair(node, arguments);
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{problem}");
    let last = progress.last().unwrap().clone();
    assert!(last.finished && last.incomplete == 0, "{last:?}");
    assert_eq!(last.done, last.ranges);
    last
}

async fn fill(session: &Session) {
    let insert = session
        .prepare("INSERT INTO k.t (id, v) VALUES (?, ?)")
        .await
        .unwrap()
        .with_consistency(Consistency::All);
    for id in 0..ROWS {
        session.execute(&insert, (id, id)).await.unwrap();
    }
}

/// What the replica that is left misses.
async fn change(session: &Session) {
    for id in 0..MISSED {
        let text = match id % 5 {
            0 => format!("DELETE FROM k.t WHERE id = {id}"),
            _ => format!("UPDATE k.t SET v = {} WHERE id = {id}", -id),
        };
        // The connection to the node that was killed may not have been found broken yet.
        let statement = session.statement(text).with_idempotent(true);
        session.query(statement).await.unwrap();
    }
}

/// Whether a node alone has what was written.
async fn check_alone(cluster: &Cluster, node: usize) {
    let session = cluster.session(&[node]).await;
    for id in 0..ROWS {
        let text = format!("SELECT v FROM k.t WHERE id = {id}");
        let statement = session.statement(text).with_consistency(Consistency::One);
        let result = session.query(statement).await.unwrap();
        let value = result.rows().unwrap().first::<(i32,)>().unwrap();
        let expected = match id {
            id if id >= MISSED => Some((id,)),
            id if id % 5 == 0 => None,
            id => Some((-id,)),
        };
        assert_eq!(value, expected, "row {id}");
    }
}

#[test]
fn repair_brings_a_node_what_it_missed() {
    let settings = Settings {
        repair_interval_s: Some(0),
        ..Settings::default()
    };
    let mut cluster = Cluster::start_with(3, &settings);
    block_on(async {
        let session = cluster.patient_session(&[0]).await;
        create_table(&session).await;
        fill(&session).await;
        cluster.nodes[2].kill();
        change(&session).await;
    });
    // The hints go with the disks that they were on.
    for node in &mut cluster.nodes[..2] {
        node.kill();
        let _none = fs::remove_dir_all(node.dir.join("data/hints"));
    }
    cluster.start_all();

    let preview = repaired(&cluster.nodes[1], &["--preview", "k"]);
    assert_eq!((preview.differing, preview.written), (MISSED as u64, 0));
    assert!(preview.rows >= ROWS as u64 - MISSED as u64 / 5, "{preview:?}");
    // The ring's two halves; the second one wraps around.
    let halves = ["0:4000000000000000000", "4000000000000000000:0"];
    let found = halves.map(|half| repaired(&cluster.nodes[2], &["--preview", "--range", half]).differing);
    assert_eq!(found.iter().sum::<u64>(), MISSED as u64, "{found:?}");

    let (_, progress) = repair(&cluster.nodes[2], &["k.t"]);
    assert!(progress.len() > 3 && progress.is_sorted_by_key(|told| told.done));
    let last = progress.last().unwrap();
    assert_eq!((last.differing, last.written), (MISSED as u64, MISSED as u64));
    assert_eq!(repaired(&cluster.nodes[0], &[]).differing, 0);

    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    block_on(check_alone(&cluster, 2));
}

#[test]
fn the_background_brings_a_node_what_it_missed() {
    let settings = Settings {
        repair_interval_s: Some(1),
        ..Settings::default()
    };
    let mut cluster = Cluster::start_with(3, &settings);
    block_on(async {
        let session = cluster.patient_session(&[0]).await;
        create_table(&session).await;
        fill(&session).await;
        cluster.nodes[2].kill();
        change(&session).await;
    });
    // That it can't be compared is told to operators and their tools, until it was.
    cluster.nodes[0].wait(|status| {
        let ranges = || status.node.divergence.iter().flat_map(|table| &table.diverged);
        let is_down = |problem: &String| problem.ends_with(" is down");
        // Of a session during which it died it is told that its connection broke.
        ranges().count() > 0 && ranges().all(|range| range.problem.as_ref().is_some_and(is_down))
    });
    let told = run(&cluster, 0, &["status"]);
    let down = format!(
        "(the replica {} is down), the first for ",
        cluster.nodes[2].listen
    );
    assert!(told.contains(&down), "{told}");
    let (_, metrics) = admin::client::get(cluster.nodes[0].admin, "/metrics").unwrap();
    let since = "\nstarling_repair_diverged_since_seconds{table=\"k.t\"} ";
    assert!(metrics.contains(since), "{metrics}");
    // Of which ranges, and since when.
    let range = "\nstarling_repair_range_diverged_since_seconds{table=\"k.t\",range=\"";
    assert!(metrics.contains(range), "{metrics}");
    let down = format!(": the replica {} is down", cluster.nodes[2].listen);
    let is_range = |line: &str| line.starts_with("  ") && line.contains(&down);
    assert!(told.lines().any(is_range), "{told}");
    let json: serde_json::Value =
        serde_json::from_str(&run(&cluster, 0, &["status", "--format", "json"])).unwrap();
    assert!(json["divergence"][0]["diverged"][0]["since"].is_u64(), "{json}");
    assert_eq!(json["members"].as_array().map(Vec::len), Some(3), "{json}");
    for node in &mut cluster.nodes[..2] {
        node.kill();
        let _none = fs::remove_dir_all(node.dir.join("data/hints"));
    }
    cluster.start_all();
    for node in &mut cluster.nodes {
        node.wait(|status| {
            let told = &status.node.divergence;
            !told.is_empty()
                && told
                    .iter()
                    .all(|table| table.agreed == table.ranges && table.diverged_since.is_none())
        });
    }
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    block_on(check_alone(&cluster, 2));
}

#[test]
fn what_can_not_be_repaired_is_refused() {
    let cluster = Cluster::start(1);
    for (arguments, told) in [
        (&["nope"][..], "nope"),
        (&["--range", "a:b"], "START:END"),
        (&["a.b.c"], "a"),
    ] {
        let (output, progress) = repair(&cluster.nodes[0], arguments);
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && progress.is_empty(), "{arguments:?}");
        assert!(problem.contains(told), "{problem}");
    }
}
