//! What a plan needs from outside.

use starling_model::{DecoratedKey, Seconds, Timestamp, Token};

use crate::value;

/// Time, randomness and the partitioner, for one execution of a statement (or of a batch: share one).
pub struct Context<'a> {
    /// The timestamp of writes that have none of their own.
    pub timestamp: Timestamp,
    /// The present second: what has expired, when tombstones are made, where TTLs begin.
    pub now: Seconds,
    /// The present time in microseconds, for `now()` and list elements. Should come from a clock that
    /// never gives the same value twice, so that appends to one list keep their order.
    pub now_micros: i64,
    /// 64 random bits.
    pub random: &'a mut dyn FnMut() -> u64,
    /// The cluster's partitioner.
    pub token: &'a dyn Fn(&[u8]) -> Token,
    /// Tells this node's time UUIDs from other nodes'.
    pub node: u64,
}

impl Context<'_> {
    /// A time that is later than every one before it from the same context, in microseconds.
    pub(crate) fn tick(&mut self) -> i64 {
        let now = self.now_micros;
        self.now_micros = now.saturating_add(1);
        now
    }

    /// A new UUID of version 1.
    pub(crate) fn timeuuid(&mut self) -> u128 {
        let micros = self.tick();
        // Variant, then 14 random bits, then the node with the multicast bit that marks a random one
        // (RFC 9562, section 6.10).
        let sequence = (self.random)() & 0x3FFF;
        let node = (self.node & 0xFFFF_FFFF_FFFF) | (1 << 40);
        value::timeuuid_parts(micros, 0, 0b10 << 62 | sequence << 48 | node)
    }

    /// A new UUID of version 4.
    pub(crate) fn random_uuid(&mut self) -> u128 {
        let bits = u128::from((self.random)()) << 64 | u128::from((self.random)());
        (bits & !(0xF << 76) & !(0b11 << 62)) | 0x4 << 76 | 0b10 << 62
    }

    /// A partition key with its token.
    pub(crate) fn decorate(&self, key: bytes::Bytes) -> DecoratedKey {
        DecoratedKey {
            token: (self.token)(&key),
            key,
        }
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("timestamp", &self.timestamp)
            .field("now", &self.now)
            .field("now_micros", &self.now_micros)
            .finish_non_exhaustive()
    }
}
