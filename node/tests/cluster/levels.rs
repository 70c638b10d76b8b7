//! The ring changes while clients of every level go on through every node that stays: none of their requests fails, and
//! nothing that was acknowledged is lost.

use starling::{
    admin::{self, RingEntry, TopologyView},
    config::Settings,
};
use starling_client::{Consistency, Session};

use crate::{
    harness::{Cluster, Node, block_on, until},
    joining::noise,
    lanes::{Lanes, Levels},
    topology::{ROWS, client, make_table_of, read, run},
};

/// Rows of noise, so that changes take a while at the rate of [`settings`].
const NOISE_ROWS: i32 = 24;

fn settings() -> Settings {
    Settings {
        stream_rate: Some(2),
        ..Settings::default()
    }
}

/// Three replicas of everything, as far as possible in different racks.
async fn fill(session: &Session) {
    make_table_of(session, "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}").await;
    let table = "CREATE TABLE k.noise (id int PRIMARY KEY, v blob)";
    session.query(table).await.unwrap();
    let insert = session.prepare("INSERT INTO k.noise (id, v) VALUES (?, ?)");
    let insert = insert.await.unwrap();
    for id in 0..NOISE_ROWS {
        session.execute(&insert, (id, noise(id))).await.unwrap();
    }
    // On all of them, so that any one has the old rows at any time.
    for id in 0..ROWS {
        assert_eq!(read(session, id, Consistency::All).await, Some(id));
    }
}

/// Waits until `nodes` agree that the ring has these members, in these racks, all up, and that nothing is under way.
fn wait_for_ring(cluster: &Cluster, nodes: &[usize], racks: &[(usize, &str)]) {
    let mut wanted: Vec<(String, String)> = racks
        .iter()
        .map(|(node, rack)| (cluster.nodes[*node].listen.to_string(), (*rack).to_owned()))
        .collect();
    wanted.sort_unstable();
    let agrees = |node: &Node| {
        let ring: Vec<RingEntry> = admin::client::get_json(node.admin, "/ring").ok()?;
        let view: TopologyView = admin::client::get_json(node.admin, "/topology").ok()?;
        let ready = node.status().is_some_and(|status| status.node.ready);
        let all_up = ring.iter().all(|entry| entry.up);
        let mut found: Vec<(String, String)> = ring
            .into_iter()
            .map(|entry| (entry.address.to_string(), entry.rack))
            .collect();
        found.sort_unstable();
        found.dedup();
        (ready && all_up && view.change.is_none() && found == wanted).then_some(())
    };
    until("the ring is as it should be", || {
        nodes.iter().try_for_each(|node| agrees(&cluster.nodes[*node]))
    });
}

/// Waits until `nodes` take another one for dead.
fn wait_for_death(cluster: &mut Cluster, nodes: &[usize], dead: usize) {
    let listen = cluster.nodes[dead].listen;
    for node in nodes {
        cluster.nodes[*node].wait(|status| {
            let mut members = status.node.members.iter();
            members.any(|member| member.address == listen && !member.up)
        });
    }
}

async fn assert_all_there(session: &Session, written: &[i32]) {
    for id in (0..ROWS).chain(written.iter().copied()) {
        assert_eq!(read(session, id, Consistency::All).await, Some(id), "id {id}");
    }
}

/// What blocks its thread, beside the clients' tasks.
fn beside<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

const RACK: &str = "rack1";

#[test]
fn nodes_join_also_two_at_once_and_leave_and_no_level_fails() {
    let mut cluster = Cluster::prepared(6, &settings());
    cluster.start_first(3);
    block_on(async {
        let session = cluster.patient_session(&[0, 1]).await;
        fill(&session).await;
        let mut lanes = Lanes::through(&cluster, &[0, 1, 2]).await;
        let (stop, work) = client(cluster.session(&[0, 1]).await);
        beside(|| lanes.go_round());

        let ring = |nodes: &[usize]| nodes.iter().map(|node| (*node, RACK)).collect::<Vec<_>>();
        beside(|| {
            cluster.nodes[3].start();
            wait_for_ring(&cluster, &[0, 1, 2, 3], &ring(&[0, 1, 2, 3]));
        });
        lanes.begin(&cluster, 3).await;
        beside(|| lanes.go_round());

        beside(|| {
            cluster.nodes[4].start();
            cluster.nodes[5].start();
            let all = [0, 1, 2, 3, 4, 5];
            wait_for_ring(&cluster, &all, &ring(&all));
        });
        lanes.begin(&cluster, 4).await;
        lanes.begin(&cluster, 5).await;
        beside(|| lanes.go_round());

        // Whoever has been there longest.
        lanes.end(2).await;
        let said = beside(|| run(&cluster, 2, &["decommission"]));
        assert!(said.contains("has left the ring"), "{said}");
        let left = [0, 1, 3, 4, 5];
        beside(|| {
            wait_for_ring(&cluster, &left, &ring(&left));
            cluster.nodes[2].stop();
            lanes.go_round();
        });

        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut written = lanes.stop().await;
        written.extend(ROWS..work.await.unwrap());
        assert_all_there(&session, &written).await;
    });
}

#[test]
fn a_node_moves_to_another_rack_and_a_dead_one_is_replaced_and_no_level_fails() {
    let mut cluster = Cluster::prepared(5, &settings());
    for (node, rack) in cluster.nodes.iter_mut().zip(["a", "b", "c", "c"]) {
        node.start_with(&["--rack", rack]);
    }
    cluster.start_first(4);
    block_on(async {
        let session = cluster.patient_session(&[0, 1]).await;
        fill(&session).await;
        let mut lanes = Lanes::through(&cluster, &[0, 1, 2, 3]).await;
        let (stop, work) = client(cluster.session(&[0, 1]).await);
        beside(|| lanes.go_round());

        lanes.end(3).await;
        lanes.use_levels(Levels::OneDown).await;
        beside(|| {
            cluster.nodes[3].stop();
            cluster.nodes[3].start_with(&["--rack", "a"]);
            let racks = [(0, "a"), (1, "b"), (2, "c"), (3, "a")];
            wait_for_ring(&cluster, &[0, 1, 2, 3], &racks);
        });
        lanes.use_levels(Levels::AllUp).await;
        lanes.begin(&cluster, 3).await;
        beside(|| lanes.go_round());

        // The only one of its rack. What it alone had acknowledged would go with its disk.
        lanes.end(2).await;
        lanes.use_levels(Levels::Quorums).await;
        beside(|| {
            lanes.go_round();
            cluster.nodes[2].kill();
            wait_for_death(&mut cluster, &[0, 1, 3], 2);
        });
        lanes.use_levels(Levels::OneDown).await;
        beside(|| {
            lanes.go_round();
            let dead = cluster.nodes[2].listen.to_string();
            cluster.nodes[4].start_with(&["--rack", "c", "--replace", &dead]);
            let racks = [(0, "a"), (1, "b"), (3, "a"), (4, "c")];
            wait_for_ring(&cluster, &[0, 1, 3, 4], &racks);
        });
        lanes.use_levels(Levels::AllUp).await;
        lanes.begin(&cluster, 4).await;
        beside(|| lanes.go_round());

        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut written = lanes.stop().await;
        written.extend(ROWS..work.await.unwrap());
        assert_all_there(&session, &written).await;
    });
}
