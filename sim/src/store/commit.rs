//! Group commit: one sync of a shard's log for all writes that wait for it.

use std::sync::Arc;

use super::shard::Shard;

/// Syncs whenever someone waits, and wakes who waited. A log that fails, or whose disk is full, is tried again until it
/// does not.
pub(super) async fn run(shard: Arc<Shard>) {
    loop {
        if shard.log().is_refusing() {
            shard.pause().await;
        } else {
            shard.wanted().await;
        }
        // What is appended while the disk works is in the same sync or the next: the engine says which.
        shard.sync_time().await;
        let synced = shard.log().sync();
        shard.report(synced.err());
    }
}
