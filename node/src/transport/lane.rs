//! Classes of traffic to a peer, each with a stream of its own.

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
