//! What a node says about itself.

use serde::{Deserialize, Serialize};

/// The longest value of a state, in bytes.
pub const MAX_VALUE_BYTES: usize = 8 << 10;

/// The most states of one member.
pub const MAX_STATES: usize = 64;

/// What a value is about. Travels as a number; numbers that this release does not know are kept and passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u16", into = "u16")]
pub enum StateKey {
    /// What the node does at present: one of [`status`].
    Status,
    /// Its datacenter.
    Datacenter,
    /// Its rack.
    Rack,
    /// Its tokens, as decimal numbers with commas.
    Tokens,
    /// Where CQL clients reach it.
    CqlAddress,
    /// The digest of its schema, as a UUID.
    SchemaVersion,
    /// Its release.
    Release,
    /// Bytes on its disk.
    Load,
    /// Where clients of the native protocol reach it.
    NativeAddress,
    /// How many shards it has.
    Shards,
    /// The newest state of the ring that the node knows: its epoch and its digest, as decimal numbers with a colon
    /// between them. Who knows an older one asks the node for it; gossip itself only carries it.
    Epoch,
    /// The host id of the dead node whose place the node waits to take, for as long as it waits.
    Replaces,
    /// A key of a later release, or one that only the caller knows.
    Unknown(u16),
}

impl From<u16> for StateKey {
    fn from(number: u16) -> Self {
        match number {
            0 => Self::Status,
            1 => Self::Datacenter,
            2 => Self::Rack,
            3 => Self::Tokens,
            4 => Self::CqlAddress,
            5 => Self::SchemaVersion,
            6 => Self::Release,
            7 => Self::Load,
            8 => Self::NativeAddress,
            9 => Self::Shards,
            33 => Self::Epoch,
            34 => Self::Replaces,
            unknown => Self::Unknown(unknown),
        }
    }
}

impl From<StateKey> for u16 {
    fn from(key: StateKey) -> Self {
        match key {
            StateKey::Status => 0,
            StateKey::Datacenter => 1,
            StateKey::Rack => 2,
            StateKey::Tokens => 3,
            StateKey::CqlAddress => 4,
            StateKey::SchemaVersion => 5,
            StateKey::Release => 6,
            StateKey::Load => 7,
            StateKey::NativeAddress => 8,
            StateKey::Shards => 9,
            StateKey::Epoch => 33,
            StateKey::Replaces => 34,
            StateKey::Unknown(number) => number,
        }
    }
}

/// Values of [`StateKey::Status`].
pub mod status {
    /// The node takes its part of the data over and does not serve reads of it yet.
    pub const JOINING: &str = "JOINING";
    /// The node serves.
    pub const NORMAL: &str = "NORMAL";
    /// The node gives its part of the data away.
    pub const LEAVING: &str = "LEAVING";
    /// The node takes other tokens.
    pub const MOVING: &str = "MOVING";
    /// The node has left for good.
    pub const LEFT: &str = "LEFT";
    /// Others took the node out for good, because it is dead. Only [`crate::Gossip::remove`] says it.
    pub const REMOVED: &str = "REMOVED";
    /// The process ends. Who hears it takes the node for dead at once.
    pub const SHUTDOWN: &str = "SHUTDOWN";
}

/// A value and when its node set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The value; at most [`MAX_VALUE_BYTES`].
    pub value: String,
    /// The node's version at that time; no two of its values have the same.
    pub version: u64,
}

/// The value is longer than gossip carries. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value of {key:?} has {length} bytes; gossip carries at most {MAX_VALUE_BYTES}")]
pub struct ValueTooLong {
    /// The key.
    pub key: StateKey,
    /// The value's length in bytes.
    pub length: usize,
}
