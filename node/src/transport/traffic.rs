//! What a node and its peers have said to one another, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use starling_cql::native::HEADER_BYTES;

use super::frame::Frame;

/// Frames and their bytes since the start, in both directions.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Requests of this node, and what takes them back.
    pub requests_sent: Count,
    /// Requests of peers, and what takes them back.
    pub requests_received: Count,
    /// Answers to peers.
    pub answers_sent: Count,
    /// Answers of peers.
    pub answers_received: Count,
    /// What nobody answers: gossip.
    pub casts_sent: Count,
    /// The same of peers.
    pub casts_received: Count,
}

/// Frames that went one way.
#[derive(Debug, Default)]
pub struct Count {
    frames: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
}

impl Count {
    /// How many there were.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Their bytes with the frames' headers, before encryption.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How often some were given to QUIC together. Not known of what was received.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Some frames leave together.
    pub(super) fn leave(&self, frames: &[Frame]) {
        if frames.is_empty() {
            return;
        }
        let bytes = frames.iter().map(|frame| HEADER_BYTES + frame.payload.len());
        self.frames.fetch_add(frames.len() as u64, Ordering::Relaxed);
        self.bytes
            .fetch_add(bytes.sum::<usize>() as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// A frame came, with so many bytes of payload.
    pub(super) fn came(&self, payload: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes
            .fetch_add((HEADER_BYTES + payload) as u64, Ordering::Relaxed);
    }
}
