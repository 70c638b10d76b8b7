//! The bound on the bytes that a node holds for others.
//!
//! Who is about to copy or to receive many bytes takes as many from the node's [`Budget`] first. What only
//! *refers* to memory that is counted elsewhere (a memtable's values, a mapped table's) takes nothing.
//!
//! Contract:
//! 1. What is held is given back when the [`Charge`] is dropped, and a charge can be tied to the very bytes
//!    it stands for ([`hold`]), so that it lives as long as the last reference to them.
//! 2. Who waits gets its turn in the order of asking, when there is room; who gives up waiting takes nothing.
//! 3. Waiting never takes the last part of a pool: small things that do not wait find room beside a flood.
//! 4. Something larger than a whole pool is let in alone.
//! 5. A pool is exceeded only by [`Pool::owe`] and [`Charge::resize`], by who holds a part of it already, and
//!    by the one claim at a time that is privileged ([`Pool::take_for`]).
//! 6. No cycle: each pool stands for one step of the way, and who holds a part of one waits for later ones
//!    only: request -> peer's request; peer's page -> page from a peer -> reply. The exception is a
//!    statement that holds pages of some peers and waits for those of others: the oldest such is let in
//!    without room, so that there is always one that gets on.

mod pool;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::config::DEFAULT_BUDGET_BYTES;

pub use pool::{Charge, Claim, Pool};

/// What is smaller than this, in bytes, does not wait for room: the number of such things is bounded where
/// they are made.
pub const SMALL_BYTES: usize = 64 << 10;

/// A node's budget, by the step of a request's way.
#[derive(Debug)]
pub struct Budget {
    /// Large requests of clients, arriving or being carried out, and the mutations made of them.
    pub requests: Pool,
    /// Small requests of clients: those do not wait, and large ones leave them their room.
    pub small_requests: Pool,
    /// Replies on their way to clients.
    pub replies: Pool,
    /// Requests of peers, mostly mutations.
    pub peer_requests: Pool,
    /// Answers of peers to this node's requests.
    pub peer_answers: Pool,
    /// Pages on their way to peers.
    pub pages: Pool,
}

impl Budget {
    /// So many bytes in all. Of the requests' part only a half is given to those who wait, because a request
    /// owes as much again when its mutations are encoded.
    pub fn new(bytes: usize) -> Self {
        let sixteenth = bytes / 16;
        let small = sixteenth / 2;
        let requests = 4 * sixteenth - small;
        let mostly = |bytes: usize| Pool::new(bytes, bytes - bytes / 16);
        Self {
            requests: Pool::new(requests, requests / 2),
            small_requests: Pool::new(small, small),
            replies: mostly(4 * sixteenth),
            peer_requests: mostly(4 * sixteenth),
            peer_answers: mostly(2 * sixteenth),
            pages: mostly(2 * sixteenth),
        }
    }

    /// All pools, with their names.
    pub fn pools(&self) -> [(&'static str, &Pool); 6] {
        [
            ("requests", &self.requests),
            ("small_requests", &self.small_requests),
            ("replies", &self.replies),
            ("peer_requests", &self.peer_requests),
            ("peer_answers", &self.peer_answers),
            ("pages", &self.pages),
        ]
    }

    /// Bytes held by all pools.
    pub fn held(&self) -> usize {
        self.pools().iter().map(|(_, pool)| pool.held()).sum()
    }

    /// Bytes of all pools.
    pub fn limit(&self) -> usize {
        self.pools().iter().map(|(_, pool)| pool.limit()).sum()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(DEFAULT_BUDGET_BYTES)
    }
}

/// The same bytes; the charge is given back with the last reference to them.
pub fn hold(bytes: Bytes, charge: Charge) -> Bytes {
    struct Held {
        bytes: Bytes,
        _charge: Charge,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Held {
        bytes,
        _charge: charge,
    })
}
