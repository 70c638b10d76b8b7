//! The versions of the protocol that are spoken here.

use std::fmt;

/// A version of the native protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Version 4 (Cassandra 2.2 and later).
    V4,
    /// Version 5 (Cassandra 4.0 and later): segments with checksums, result metadata ids.
    V5,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V5];

    /// The one that an answer to an unknown version is written in.
    pub const HIGHEST: Self = Self::V5;

    /// The number in the header, without the direction bit.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }

    /// The version with a number; `None` if it is not spoken here.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.number() == number)
    }

    /// What a client is told whose version is not spoken here. Drivers look for "unsupported protocol
    /// version" in it, and try a lower one.
    pub fn unsupported(number: u8) -> String {
        format!("Invalid or unsupported protocol version ({number}); supported versions are (4/v4, 5/v5)")
    }
}

impl fmt::Display for Version {
    /// As SUPPORTED lists it: `4/v4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0}/v{0}", self.number())
    }
}
