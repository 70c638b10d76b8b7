//! Flushes and compactions, step by step.

use std::sync::Arc;

use starling_sstable::Step;

use super::shard::Shard;

/// Runs what the engine offers, with random pauses between the steps.
///
/// A job that fails (a full or dead disk) is given up; the engine offers it again. Who finds nothing to do looks again
/// after a longer pause: otherwise most of a run's time would go into looking.
pub(super) async fn run(shard: Arc<Shard>) {
    loop {
        shard.pause().await;
        let Some(mut job) = shard.next_job() else {
            shard.rest().await;
            continue;
        };
        while let Ok(Step::More) = job.step() {
            shard.pause().await;
        }
        // Also one that failed: it is given up, and the engine learns of damage.
        shard.finish(job);
    }
}
