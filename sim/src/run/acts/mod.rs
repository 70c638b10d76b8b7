//! What is done to a cluster that was healed once: each act makes a coincidence that chance seldom gives, and leaves the
//! cluster healed again.

mod bearer;
mod bereavement;
mod clocks;
mod emptying;
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
    trace::Place,
    workload::{Client, Recorder, Space},
};

pub(super) use self::{
    bearer::restart_bearer,
    bereavement::bereave,
    clocks::turn_back,
    emptying::empty,
    isolation::{isolate, look_around},
    orphans::orphan_batches,
    outage::fail_at_once,
    parts::orphan_parts,
    quarrel::quarrel,
};

/// How often a node that does not come up is started again, at most, and the pause between.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(200);

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
