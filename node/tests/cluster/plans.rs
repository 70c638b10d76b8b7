//! What a change of the ring would move, as `starling topology plan` tells it, of nodes in racks.

use starling::config::Settings;
use starling_client::Session;
use starling_replication::Estimate;

use crate::{
    harness::{Cluster, block_on},
    topology::{refused, run, tokens},
};

/// The node that dies, the only one beside its rack's other.
const DEAD: usize = 3;

const RACKS: [&str; 4] = ["a", "b", "c", "c"];

const REPLICATION: &str = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}";

async fn fill(session: &Session) {
    let keyspace = format!("CREATE KEYSPACE k WITH replication = {REPLICATION}");
    for statement in [&keyspace, "CREATE TABLE k.t (id int PRIMARY KEY, v int)"] {
        session.query(statement).await.unwrap();
    }
    for id in 0..300 {
        let text = format!("INSERT INTO k.t (id, v) VALUES ({id}, {id})");
        let statement = session.statement(text).with_idempotent(true);
        session.query(statement).await.unwrap();
    }
}

/// The plan of a change, after a look at what of it is printed.
fn plan(cluster: &Cluster, change: &[&str]) -> Estimate {
    let arguments = [&["topology", "plan"], change].concat();
    let text = run(cluster, 0, &arguments);
    let said = [
        "Plan: ",
        " move in about ",
        "(at 8.00 MiB/s for each node that fetches)",
        "Nothing was changed.",
        "\nfrom ",
        "\nnode ",
        "owns then",
    ];
    for said in said {
        assert!(text.contains(said), "{change:?}, {said}: {text}");
    }
    let text = run(cluster, 0, &[&arguments[..], &["--format", "json"]].concat());
    let plan: Estimate = serde_json::from_str(&text).unwrap();
    let sum: u64 = plan.moves.iter().map(|moved| moved.bytes).sum();
    assert!(plan.bytes > 0 && plan.bytes == sum, "{plan:?}");
    assert!(plan.seconds > 0 && plan.rate == 8 << 20, "{plan:?}");
    for share in [
        plan.nodes.iter().map(|node| node.share_before).sum::<f64>(),
        plan.nodes.iter().map(|node| node.share_after).sum::<f64>(),
    ] {
        assert!((share - 1.0).abs() < 1e-6, "{plan:?}");
    }
    assert!(
        plan.moves
            .iter()
            .all(|moved| moved.from != moved.to && moved.ranges > 0)
    );
    plan
}

/// Who fetches by it, each once; the node that comes in is `None`.
fn gainers(plan: &Estimate, ids: &[String]) -> Vec<Option<usize>> {
    let place = |id: &String| ids.iter().position(|known| known == id);
    let mut all: Vec<Option<usize>> = plan.moves.iter().map(|moved| place(&moved.to)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn every_change_is_first_a_plan() {
    let settings = Settings {
        stream_rate: Some(8),
        ..Settings::default()
    };
    let mut cluster = Cluster::prepared(4, &settings);
    for (node, rack) in cluster.nodes.iter_mut().zip(RACKS) {
        node.start_with(&["--rack", rack]);
    }
    cluster.start_all();
    block_on(async { fill(&cluster.patient_session(&[0]).await).await });
    let status = |node: usize| cluster.nodes[node].status().unwrap().node;
    let ids: Vec<String> = (0..4).map(|node| status(node).id.to_string()).collect();
    let listen: Vec<String> = cluster.nodes.iter().map(|node| node.listen.to_string()).collect();

    // Beside the only one of its rack, of whose data it gets a part.
    let joins = plan(&cluster, &["join", "--rack", "a"]);
    assert!(joins.change.contains("rack 'a'"), "{joins:?}");
    assert_eq!(gainers(&joins, &ids), [None]);
    let first = joins.nodes.iter().find(|node| node.node == ids[0]).unwrap();
    assert!(first.bytes_after < first.bytes_before, "{joins:?}");

    // Who stays behind alone in its rack gets all that the other had.
    let moves = plan(&cluster, &["move", &listen[DEAD], "--rack", "a"]);
    assert!(gainers(&moves, &ids).contains(&Some(2)), "{moves:?}");
    assert!(!gainers(&moves, &ids).contains(&None), "{moves:?}");

    // Four replicas: the two of rack c get what only the other one had.
    let four = format!(
        "ALTER KEYSPACE k WITH replication = {}",
        REPLICATION.replace('3', "4")
    );
    let altered = plan(&cluster, &["alter", &four]);
    assert_eq!(gainers(&altered, &ids), [Some(2), Some(3)]);
    let held: Vec<u64> = altered.nodes.iter().map(|node| node.bytes_after).collect();
    assert!(held.iter().all(|bytes| *bytes > 0), "{altered:?}");

    let why = refused(&cluster, 0, &["topology", "plan", "replace", &listen[DEAD]]);
    assert!(why.contains("is alive"), "{why}");
    cluster.nodes[DEAD].kill();
    cluster.nodes[0].wait(|status| status.node.members.iter().any(|member| !member.up));

    // In its place, whoever is asked: all that it had, and nothing else, comes from the living.
    let replaced = plan(&cluster, &["replace", &listen[DEAD]]);
    assert_eq!(gainers(&replaced, &ids), [None], "{replaced:?}");
    assert!(replaced.moves.iter().all(|moved| moved.from != ids[DEAD]));
    // In another rack the one that is left in its own has to take over too.
    let elsewhere = plan(&cluster, &["replace", &listen[DEAD], "--rack", "a"]);
    assert_eq!(gainers(&elsewhere, &ids), [None, Some(2)], "{elsewhere:?}");

    let quiet = run(&cluster, 0, &["topology"]);
    assert!(
        quiet.starts_with("No change of the ring is under way."),
        "{quiet}"
    );
    assert_eq!(tokens(&cluster, 0), 4 * 16);
}
