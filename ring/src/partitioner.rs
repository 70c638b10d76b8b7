//! From a partition key to its token.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use starling_model::Token;
use xxhash_rust::xxh3::xxh3_64;

use crate::murmur3;

/// The hash that places partitions on the ring. Fixed when a cluster is created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Partitioner {
    /// Cassandra's `Murmur3Partitioner`, bit by bit: drivers compute the same tokens and route by them.
    #[default]
    Murmur3,
    /// XXH3 (64 bits): faster on long keys. Drivers do not know it and fall back to asking any node.
    Xxh3,
}

impl Partitioner {
    /// The token of a serialized partition key.
    ///
    /// Never [`Token::MIN`] for a key that is not empty (that hash is moved to [`Token::MAX`], as in
    /// Cassandra). The empty key, which no partition has, gives `MIN`, so that `token('')` is the start
    /// of the ring.
    pub fn token(self, key: &[u8]) -> Token {
        if key.is_empty() {
            return Token::MIN;
        }
        let hash = match self {
            Self::Murmur3 => murmur3::hash(key),
            Self::Xxh3 => xxh3_64(key) as i64,
        };
        Self::normalized(hash)
    }

    /// The token of a hash: itself, but for the value that no key may have.
    pub(crate) fn normalized(hash: i64) -> Token {
        if hash == i64::MIN { Token::MAX } else { Token(hash) }
    }

    /// The class name that `system.local` shows to drivers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Murmur3 => "org.apache.cassandra.dht.Murmur3Partitioner",
            Self::Xxh3 => "starling.Xxh3Partitioner",
        }
    }
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no partitioner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a partitioner; use 'murmur3' (which drivers know) or 'xxh3'")]
pub struct UnknownPartitioner(pub String);

impl FromStr for Partitioner {
    type Err = UnknownPartitioner;

    /// The short name, the class name, or the full class name; case does not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let class = text.rsplit('.').next().unwrap_or(text).to_ascii_lowercase();
        match class.strip_suffix("partitioner").unwrap_or(&class) {
            "murmur3" => Ok(Self::Murmur3),
            "xxh3" => Ok(Self::Xxh3),
            _ => Err(UnknownPartitioner(text.to_owned())),
        }
    }
}
