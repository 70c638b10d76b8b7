//! What is done to a cluster that was healed once: each act makes a coincidence that chance seldom gives, and leaves the
//! cluster healed again.

mod bearer;
mod bereavement;
mod clocks;
mod decay;
mod emptying;
mod fullness;
mod isolation;
mod orphans;
mod outage;
mod parts;
mod quarrel;

use std::time::Duration;

use super::{PATIENCE, verdict};
use crate::{
    checkers::Violation,
    cluster::Cluster,
    executor::Handle,
    store::SimStore,
    trace::Place,
    workload::{Client, Recorder, Space},
};

pub(super) use self::{
    bearer::restart_bearer,
    bereavement::bereave,
    clocks::turn_back,
    decay::{await_mended, decay},
    emptying::empty,
    fullness::fill_up,
    isolation::{isolate, look_around},
    orphans::orphan_batches,
    outage::fail_at_once,
    parts::orphan_parts,
    quarrel::quarrel,
};

/// How often a node that does not come up is started again, at most, and the pause between.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// How long it takes until everything is flushed, and until it is compacted.
const WORK: Duration = Duration::from_secs(10);

/// Where the acts are played.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) handle: &'a Handle,
    pub(super) cluster: &'a Cluster,
    pub(super) space: Space,
    pub(super) recorder: &'a Recorder,
}

impl Stage<'_> {
    /// The machines whose nodes are in the ring and up.
    fn serving(&self) -> Vec<usize> {
        let serving = self.cluster.serving();
        serving.iter().map(|(number, _)| *number).collect()
    }

    /// The storages of those machines.
    fn stores(&self) -> Vec<(usize, SimStore)> {
        let serving = self.serving().into_iter();
        let stores = serving.filter_map(|number| Some((number, self.cluster.store(number)?)));
        stores.collect()
    }

    fn client(&self) -> Client {
        Client::new(self.handle, self.cluster, self.space, self.recorder, usize::MAX)
    }

    fn note(&self, kind: &str, text: impl FnOnce() -> String) {
        let trace = self.handle.trace();
        trace.event(self.handle.now(), Place::World, kind, &[], text);
    }

    /// Cuts a node off from all others.
    fn cut_off(&self, lonely: usize) {
        let network = self.cluster.network();
        for other in self.serving().into_iter().filter(|other| *other != lonely) {
            let (one, two) = (self.cluster.address(lonely), self.cluster.address(other));
            network.block(one, two);
            network.block(two, one);
        }
    }

    /// Everything goes to files, and those of some tables are compacted: what may be purged is purged.
    async fn compact(&self, tables: &[&str]) {
        let stores = self.stores();
        self.note("compact", String::new);
        for (_, store) in &stores {
            store.flush_all();
        }
        self.handle.sleep(WORK).await;
        for name in tables {
            // A node that can't tell does not keep the others from it.
            if let Ok(table) = verdict::table_id(self.cluster, name).await {
                for (_, store) in &stores {
                    store.compact(table);
                }
            }
        }
        self.handle.sleep(WORK).await;
    }

    async fn start(&self, number: usize) {
        self.cluster.start_surely(number, ATTEMPTS, PAUSE).await;
    }

    /// Waits until the cluster is whole; it is a violation if it is not in time.
    async fn heal(&self, after: &str) -> Result<(), Violation> {
        if self.cluster.await_whole(PATIENCE).await {
            return Ok(());
        }
        let what = format!("the cluster does not become whole after {after}");
        Err(verdict::not_whole(self.cluster, &what))
    }
}
