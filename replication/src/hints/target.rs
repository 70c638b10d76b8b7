//! What is known of one target's hints without waiting for its disk.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::channel::oneshot;
use parking_lot::Mutex;
use starling_model::Seconds;

use super::{
    load::Load,
    segment::{self, Life},
    store::Segments,
};

/// The hints of one node.
pub(super) struct Target {
    queue: Vec<Queued>,
    /// Bytes that are queued or just being written.
    queued_bytes: u64,
    /// Bytes on disk, as of the last work there.
    stored_bytes: u64,
    /// Locked by blocking work only, and before the state of all hints.
    segments: Arc<Mutex<Segments>>,
    /// Held while hints are on their way to the node.
    turn: Arc<futures::lock::Mutex<()>>,
    /// A task is delivering, or looking at the age.
    pub(super) delivering: bool,
    /// How much the node takes at a time.
    pub(super) load: Load,
    /// Since when the node is seen to be out of the ring, by the monotonic clock.
    pub(super) gone_since: Option<Duration>,
    /// When the age of the hints was looked at last.
    pub(super) aged_at: Seconds,
}

/// A hint that is not durable yet.
pub(super) struct Queued {
    life: Life,
    mutation: Bytes,
    done: oneshot::Sender<bool>,
}

impl Target {
    pub(super) fn new(segments: Segments) -> Self {
        Self {
            queue: Vec::new(),
            queued_bytes: 0,
            stored_bytes: segments.bytes(),
            segments: Arc::new(Mutex::new(segments)),
            turn: Arc::default(),
            delivering: false,
            load: Load::new(),
            gone_since: None,
            aged_at: Seconds(0),
        }
    }

    /// Bytes on disk and in the queue.
    pub(super) fn bytes(&self) -> u64 {
        self.stored_bytes + self.queued_bytes
    }

    /// Bytes in the queue, or just being written.
    pub(super) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    pub(super) fn segments(&self) -> Arc<Mutex<Segments>> {
        Arc::clone(&self.segments)
    }

    pub(super) fn turn(&self) -> Arc<futures::lock::Mutex<()>> {
        Arc::clone(&self.turn)
    }

    pub(super) fn enqueue(&mut self, life: Life, mutation: Bytes, done: oneshot::Sender<bool>) {
        self.queued_bytes += segment::record_bytes(mutation.len());
        self.queue.push(Queued { life, mutation, done });
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes the queue to be written; its bytes count until [`settle`](Self::settle).
    pub(super) fn take_queue(&mut self) -> Vec<Queued> {
        std::mem::take(&mut self.queue)
    }

    /// So many bytes of the queue were written or given up, and so many are on disk now.
    pub(super) fn settle(&mut self, taken: u64, stored: u64) {
        self.queued_bytes -= taken;
        self.stored_bytes = stored;
    }
}

impl Queued {
    /// What is to be written.
    pub(super) fn hint(&self) -> (Life, &[u8]) {
        (self.life, &self.mutation)
    }

    /// How many bytes of the queue it takes.
    pub(super) fn bytes(&self) -> u64 {
        segment::record_bytes(self.mutation.len())
    }

    /// Tells who waits; it may have gone.
    pub(super) fn tell(self, durable: bool) {
        let _ = self.done.send(durable);
    }
}
