//! Classes of traffic to a peer, each with a stream of its own.

use starling_replication::budget::SMALL_BYTES;

/// The longest payload of a frame on a lane, in bytes: what is longer takes a stream of its own.
pub(super) const LANE_FRAME_BYTES: usize = SMALL_BYTES;

/// Which stream a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Requests whose answers are small or awaited by a user.
    Requests,
    /// Requests with large answers: scans, schema, whatever may take its time.
    Bulk,
}

impl Lane {
    pub(super) const ALL: [Self; 2] = [Self::Requests, Self::Bulk];

    pub(super) fn index(self) -> usize {
        match self {
            Self::Requests => 0,
            Self::Bulk => 1,
        }
    }
}
