//! How much of what was read may wait to be written, in bytes: pieces differ in size a hundredfold.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for pieces in memory.
#[derive(Debug)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    bytes: u32,
}

impl Room {
    pub(super) fn new(bytes: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(bytes as usize)),
            bytes,
        }
    }

    /// Waits for room, in turn, and has it until what this returns is dropped. What is larger than all there is takes all.
    pub(super) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes);
        // It is never closed.
        Arc::clone(&self.free).acquire_many_owned(bytes).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_has_no_room_waits_and_what_is_larger_than_all_takes_all() {
        let room = Room::new(100);
        let first = room.take(60).now_or_never().flatten();
        assert!(first.is_some());
        assert!(room.take(50).now_or_never().is_none());
        drop(first);
        let all = room.take(1 << 40).now_or_never().flatten();
        assert!(all.is_some());
        assert!(room.take(1).now_or_never().is_none());
        drop(all);
        assert!(room.take(100).now_or_never().is_some());
    }
}
