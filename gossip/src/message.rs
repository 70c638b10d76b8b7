//! What travels between two nodes, and how large it gets.
//!
//! One exchange is three messages. The one who starts sends [`Body::Syn`]: what it knows, as digests. The other
//! answers [`Body::Ack`]: what the first lacks, and digests of what it lacks itself. The first ends with
//! [`Body::Ack2`]: that.
//!
//! Sizes are upper bounds of what `rmp_serde::to_vec` (compact MessagePack) makes; a test compares.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use starling_model::NodeId;

use crate::{event::Refusal, state::StateKey};

/// The smallest bound on messages: three eighths of it hold the largest state (see [`crate::reconcile`]).
pub const MIN_MESSAGE_BYTES: usize = 24 << 10;

/// The longest name of a cluster or partitioner, in bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// At most what a message takes beside its names and its lists.
pub(crate) const HEADER_BYTES: usize = 192;

/// At most what a digest takes.
pub(crate) const DIGEST_BYTES: usize = 40;

/// At most what a delta takes beside its updates.
pub(crate) const DELTA_BYTES: usize = 112;

/// At most what an update takes beside its value.
pub(crate) const UPDATE_BYTES: usize = 20;

/// A message, with what every message says of its sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The sender's cluster.
    pub cluster: String,
    /// The sender's partitioner.
    pub partitioner: String,
    /// The sender.
    pub sender: NodeId,
    /// Which start of its process.
    pub generation: u64,
    /// Where to answer. Not where the message came from: a connection may have any port.
    pub address: SocketAddr,
    /// What it is about.
    pub body: Body,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Starts an exchange.
    Syn {
        /// What the sender knows.
        digests: Vec<Digest>,
        /// Of which members it would have sent a digest if it knew them.
        span: Span,
    },
    /// The answer to it.
    Ack {
        /// What the sender wants: news after these.
        wanted: Vec<Digest>,
        /// What the other lacks.
        deltas: Vec<Delta>,
    },
    /// The end of it; also sent alone, to tell of a shutdown.
    Ack2 {
        /// What the other lacks.
        deltas: Vec<Delta>,
    },
    /// The sender will not talk to the receiver.
    Refuse(Refusal),
    /// Asks the receiver to start an exchange with a member that the sender does not hear from, and to pass on
    /// what comes of it, as [`Body::Ack2`].
    Probe {
        /// What the sender knows of it.
        of: Digest,
    },
}

/// How much of a member is known: everything up to `version` of this generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Which member.
    pub id: NodeId,
    /// Its generation; 0 with version 0 if nothing is known.
    pub generation: u64,
    /// Its version.
    pub version: u64,
}

/// A section of the members in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Span {
    /// All of them.
    All,
    /// From `first` (included) to `until` (excluded); around the end of the ids if `first >= until`.
    Between {
        /// The first.
        first: NodeId,
        /// The first that is not in the section.
        until: NodeId,
    },
}

impl Span {
    /// Whether a member is in the section.
    pub fn holds(self, id: NodeId) -> bool {
        match self {
            Self::All => true,
            Self::Between { first, until } if first < until => first <= id && id < until,
            Self::Between { first, until } => first <= id || id < until,
        }
    }
}

/// What is new about a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Which member.
    pub id: NodeId,
    /// Its generation.
    pub generation: u64,
    /// Where it is reached; there if `after` is 0 (it does not change within a generation).
    pub address: Option<SocketAddr>,
    /// Only of use to who knows everything up to this version.
    pub after: u64,
    /// With the updates, everything up to this version is known.
    pub upto: u64,
    /// All present values that are newer than `after` and not newer than `upto`, by version.
    pub updates: Vec<Update>,
}

/// A state's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which state.
    pub key: StateKey,
    /// When it was set.
    pub version: u64,
    /// The value.
    pub value: String,
}

impl Update {
    pub(crate) fn bytes(&self) -> usize {
        UPDATE_BYTES + self.value.len()
    }
}

impl Delta {
    pub(crate) fn bytes(&self) -> usize {
        DELTA_BYTES + self.updates.iter().map(Update::bytes).sum::<usize>()
    }
}

impl Message {
    /// At most so many bytes does the message take in compact MessagePack.
    pub fn bytes(&self) -> usize {
        let deltas = |deltas: &[Delta]| deltas.iter().map(Delta::bytes).sum::<usize>();
        let body = match &self.body {
            Body::Syn { digests, .. } => digests.len() * DIGEST_BYTES,
            Body::Ack { wanted, deltas: news } => wanted.len() * DIGEST_BYTES + deltas(news),
            Body::Ack2 { deltas: news } => deltas(news),
            Body::Refuse(_) => 4 * MAX_NAME_BYTES,
            Body::Probe { .. } => DIGEST_BYTES,
        };
        HEADER_BYTES + self.cluster.len() + self.partitioner.len() + body
    }
}
