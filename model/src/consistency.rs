//! Consistency levels, as CQL has them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many replicas must answer before the coordinator does (CQL native protocol v4, section 3,
/// `[consistency]`). The discriminant is the code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u16)]
pub enum Consistency {
    /// Writes only: any node, also one that only keeps a hint.
    Any = 0x00,
    /// One replica.
    One = 0x01,
    /// Two replicas.
    Two = 0x02,
    /// Three replicas.
    Three = 0x03,
    /// A majority of all replicas.
    Quorum = 0x04,
    /// Every replica.
    All = 0x05,
    /// A majority of the replicas in the coordinator's datacenter.
    LocalQuorum = 0x06,
    /// A majority of the replicas in each datacenter.
    EachQuorum = 0x07,
    /// Linearizable, over all datacenters.
    Serial = 0x08,
    /// Linearizable, within the coordinator's datacenter.
    LocalSerial = 0x09,
    /// One replica in the coordinator's datacenter.
    LocalOne = 0x0A,
}

impl Consistency {
    /// Every level, in wire order.
    pub const EVERY: [Self; 11] = [
        Self::Any,
        Self::One,
        Self::Two,
        Self::Three,
        Self::Quorum,
        Self::All,
        Self::LocalQuorum,
        Self::EachQuorum,
        Self::Serial,
        Self::LocalSerial,
        Self::LocalOne,
    ];

    /// The code of the native protocol.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The level with a code of the native protocol; `None` for an unknown one.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::EVERY.get(usize::from(code)).copied()
    }

    /// Whether only replicas of the coordinator's datacenter count.
    pub fn is_local(self) -> bool {
        matches!(self, Self::LocalOne | Self::LocalQuorum | Self::LocalSerial)
    }

    /// Whether this is one of the two levels of conditional (Paxos) reads.
    pub fn is_serial(self) -> bool {
        matches!(self, Self::Serial | Self::LocalSerial)
    }

    /// The name in CQL, in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "ANY",
            Self::One => "ONE",
            Self::Two => "TWO",
            Self::Three => "THREE",
            Self::Quorum => "QUORUM",
            Self::All => "ALL",
            Self::LocalQuorum => "LOCAL_QUORUM",
            Self::EachQuorum => "EACH_QUORUM",
            Self::Serial => "SERIAL",
            Self::LocalSerial => "LOCAL_SERIAL",
            Self::LocalOne => "LOCAL_ONE",
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no consistency level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a consistency level; the levels are ANY, ONE, TWO, THREE, QUORUM, ALL, LOCAL_QUORUM, EACH_QUORUM, SERIAL, LOCAL_SERIAL and LOCAL_ONE"
)]
pub struct UnknownConsistency(pub String);

impl FromStr for Consistency {
    type Err = UnknownConsistency;

    /// Case does not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::EVERY
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownConsistency(text.to_owned()))
    }
}
