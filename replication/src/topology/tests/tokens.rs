//! Which tokens newcomers take while the ring changes.

use std::{collections::BTreeMap, time::Duration};

use starling_model::NodeId;
use starling_ring::{Partitioner, Ring, Strategy};

use super::scene::{id, phase, release, ring_of, until, with_data};
use crate::testing::TestCluster;

/// The share of the ring that each member is the first replica of, in means.
fn shares(cluster: &TestCluster) -> BTreeMap<NodeId, f64> {
    let members = cluster.node(1).ring_state().members();
    let count = members.len() as f64;
    let ring = Ring::new(Partitioner::Murmur3, members);
    let mut shares = BTreeMap::new();
    for (range, replicas) in ring.placement(&Strategy::Simple { factor: 1 }).ranges() {
        let width = range.end.0.abs_diff(range.start.0) as f64;
        *shares.entry(replicas[0]).or_insert(0.0) += width * count / u64::MAX as f64;
    }
    shares
}

#[test]
fn tokens_are_chosen_anew_if_the_ring_changed_meanwhile() {
    let (mut cluster, _) = with_data(5);
    // It takes its time to choose, on a ring of three.
    cluster.envs[4].set_disk_delay(Duration::from_secs(5));
    cluster.start(5).expect("it finds the cluster");
    cluster.start(4).expect("it finds the cluster");
    until(&cluster, "another was faster", || {
        ring_of(&cluster, 1).len() == 4 && phase(&cluster, 1).is_none()
    });
    assert!(!cluster.node(1).ring_state().serves(id(&cluster, 5)));
    cluster.run_for(Duration::from_secs(1));
    release(&cluster, 5);
    until(&cluster, "both are in", || ring_of(&cluster, 1).len() == 5);
    let shares = shares(&cluster);
    // Of two that chose on the same ring the later one would get what the other leaves of the same arcs.
    assert!(
        shares.values().all(|share| (0.8..1.15).contains(share)),
        "{shares:?}"
    );
}
