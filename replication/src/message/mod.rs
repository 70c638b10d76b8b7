//! What nodes say to each other, and how it is written.
//!
//! ```text
//! message   version (2 bytes, big-endian), then one MessagePack value: the envelope
//! request   [sender, ring, epoch, clock, deadline_ms, tracing, era, body]
//! response  [sender, clock, trace, body]
//! ```
//!
//! Mutations, pages and schema entries travel as opaque byte strings in their own layouts, so that a
//! node that only passes them on never looks inside. A message longer than [`MAX_MESSAGE_BYTES`] is
//! refused before it is decoded.

mod damage;
mod encoded;
mod pages;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use starling_model::{NodeId, ReadCommand, Seconds, TableId, Timestamp, TokenRange};

pub use damage::DamageRequest;
pub use encoded::Encoded;
pub use pages::page_digest;

use crate::{
    anti_entropy::wire::{SessionAnswer, SessionRequest},
    streaming::{StreamReply, StreamRequest},
    topology::{TopologyRequest, TopologyResponse},
    tracing::TraceEvent,
};

/// The version of the peer protocol that this build speaks.
pub const VERSION: u16 = 3;

/// The largest encoded message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// How deep a message may nest: what is legitimate stays below ten.
const MAX_DEPTH: usize = 64;

/// A request to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequest {
    /// The node that asks.
    pub sender: NodeId,
    /// Digest of the ring that the sender planned the request on, its members and those after the change that
    /// is under way; 0 if it has none yet.
    pub ring: u64,
    /// How much the sender knew of the ring's history then. A replica that knows more refuses clients' writes
    /// and reads that were planned on another ring: [`Failure::OldRing`].
    pub epoch: u64,
    /// The sender's hybrid logical clock.
    pub clock: Timestamp,
    /// For how long the sender will still wait for the answer when it sends this, in milliseconds.
    /// The receiver drops the work when that time has passed.
    pub deadline_ms: u32,
    /// The sender wants to know what the receiver did: see [`PeerResponse::trace`].
    pub tracing: bool,
    /// The sender's era in which it began what it asks for: the write, or the read that a repair comes from. Each truncation
    /// begins another one at each node; they grow, also from start to start of a node, and are compared with others of
    /// the same node alone. A replica that was truncated since refuses the write: [`Failure::Truncated`]. 0 where nothing
    /// is written.
    pub era: u64,
    /// What is asked.
    pub body: Request,
}

/// A peer's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerResponse {
    /// The node that answers.
    pub sender: NodeId,
    /// Its hybrid logical clock.
    pub clock: Timestamp,
    /// What it did, if the request was traced.
    pub trace: Vec<TraceEvent>,
    /// The answer.
    pub body: Response,
}

/// What a peer is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A gossip message. Answered with [`Response::Done`]; gossip's own replies are requests of their own.
    Gossip {
        /// Where the sender is reached.
        reply_to: SocketAddr,
        /// The message in `gossip`'s encoding.
        message: Bytes,
    },
    /// A node that starts asks a member who it would join.
    Join(JoinRequest),
    /// Apply these writes (each as `Mutation::encode` wrote it): from a coordinator, read repair, a hint
    /// or a batch log.
    Write {
        /// The mutations.
        mutations: Vec<Bytes>,
        /// Why.
        reason: WriteReason,
    },
    /// Read one page.
    Read {
        /// What.
        command: ReadCommand,
        /// Answer with the page's digest only.
        digest: bool,
    },
    /// Remove all data of a table: the second round of a truncation. [`Failure::Invalid`], and nothing is removed, where the first
    /// one is not known.
    Truncate {
        /// The table.
        table: TableId,
        /// Names the truncation.
        id: u128,
        /// All members, and of each the era that it answered to [`Request::ForgetHints`]: what it began in an earlier one is to be
        /// refused from now on.
        eras: Vec<(NodeId, u64)>,
    },
    /// Learn these schema entries (MessagePack of `Vec<SchemaEntry>`).
    SchemaPush(Bytes),
    /// Send all schema entries.
    SchemaPull,
    /// Keep a logged batch until it is removed, and carry it out if its coordinator does not.
    BatchStore {
        /// Names the batch.
        id: u128,
        /// Its mutations.
        mutations: Vec<Bytes>,
    },
    /// The batch was carried out: forget it.
    BatchRemove(u128),
    /// Send what is remembered of a trace.
    Trace(TraceQuery),
    /// Say that this process is alive: any answer proves it.
    Ping,
    /// Apply these client's writes, which the sender stamped itself. Answered with [`Response::Done`], or with
    /// [`Response::Behind`] if the stamp may be too old.
    WriteStamped {
        /// The mutations.
        mutations: Vec<Bytes>,
        /// The newest timestamp that the sender gave to them.
        stamp: Timestamp,
    },
    /// Apply these writes that the receiver missed, in this order, but for those that are too old by now.
    Hints(Vec<Hint>),
    /// About the ring and its changes.
    Topology(TopologyRequest),
    /// A question of a session of anti-entropy.
    AntiEntropy(SessionRequest),
    /// Forget the hints, and what kept batches would write, of a table that is about to be truncated, keep none for a write
    /// that began before, and repair nothing there until [`Request::Truncated`] or the deadline: the first round of a
    /// truncation. Answered with [`Response::Forgotten`].
    ForgetHints {
        /// The table.
        table: TableId,
        /// Names the truncation.
        id: u128,
    },
    /// Part with a range's data. Answered with [`Response::Stream`].
    Stream(StreamRequest),
    /// About what is damaged there.
    Damage(DamageRequest),
    /// The table was truncated on all nodes, or that was given up: the third round of a truncation. Reads repair again, but
    /// for those that began before. [`Failure::Invalid`] where the truncation is not known.
    Truncated {
        /// The table.
        table: TableId,
        /// Names the truncation.
        id: u128,
    },
}

/// A write that a replica missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// When it missed it, by the clock of the node that kept it.
    pub at: Seconds,
    /// The mutation, as `Mutation::encode` wrote it.
    pub mutation: Bytes,
}

/// Why a replica is asked to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteReason {
    /// A client's write.
    Client,
    /// The coordinator of a read found the replica stale.
    Repair,
    /// The replica missed the write when it was made.
    Hint,
    /// Replay of a logged batch.
    Batch,
}

/// Which traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceQuery {
    /// One session, by its id.
    Session(u128),
    /// All that are remembered.
    All,
}

/// Who wants to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Its cluster's name.
    pub cluster: String,
    /// Its partitioner.
    pub partitioner: String,
    /// Who it is.
    pub id: NodeId,
}

/// What a joining node must know of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinReply {
    /// The cluster's name.
    pub cluster: String,
    /// Its partitioner.
    pub partitioner: String,
    /// The ring as the member knows it: a [`RingState`](crate::topology::RingState).
    pub ring: Bytes,
    /// Where the members that are alive listen.
    pub members: Vec<SocketAddr>,
}

/// What a peer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Done, durably.
    Done,
    /// To [`Request::Join`].
    Join(JoinReply),
    /// To [`Request::Read`]: the page, as [`EncodedPage::into_bytes`](starling_model::EncodedPage::into_bytes) gives it.
    Page(Bytes),
    /// To [`Request::Read`]: the page's digest.
    Digest(u128),
    /// To [`Request::SchemaPull`]: MessagePack of `Vec<SchemaEntry>`.
    Schema(Bytes),
    /// To [`Request::Trace`].
    Traces(Vec<crate::tracing::Trace>),
    /// It was not done.
    Failed(Failure),
    /// To [`Request::WriteStamped`]: done, durably; but something as new as this was written to the same rows
    /// before, or may have been. The stamp must be greater for the write to prevail.
    Behind(Timestamp),
    /// To [`Request::Topology`].
    Topology(TopologyResponse),
    /// To [`Request::AntiEntropy`].
    AntiEntropy(SessionAnswer),
    /// To [`Request::Stream`].
    Stream(StreamReply),
    /// To [`DamageRequest::Tell`]: tokens that can't be read; they do not wrap.
    Damaged(Vec<TokenRange>),
    /// To [`Request::ForgetHints`]: done, durably. The node's era now: nothing that it began in an earlier one comes from a hint or
    /// a batch any more.
    Forgotten(u64),
}

/// Why a peer did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// Too much is in flight there. Nothing changed.
    #[error("the replica is overloaded")]
    Overloaded,
    /// The deadline had passed before the work began. Nothing changed.
    #[error("the request came too late")]
    Late,
    /// The node is starting or stopping. Nothing changed.
    #[error("the node does not serve requests now")]
    NotServing,
    /// The node does not know the table (yet). Nothing changed.
    #[error("the replica does not know table {0}")]
    UnknownTable(TableId),
    /// The request makes no sense. Nothing changed.
    #[error("{0}")]
    Invalid(String),
    /// The storage failed; a write may or may not survive.
    #[error("{0}")]
    Storage(String),
    /// The request was planned on another ring than the replica's, which is not older. Nothing changed; ask
    /// the replica for its ring and plan again.
    #[error("the request was planned on an old ring; the replica's is of epoch {epoch}")]
    OldRing {
        /// How much the replica knows.
        epoch: u64,
    },
    /// What is asked for was found damaged there: another replica has to be asked. Nothing changed.
    #[error("{0}")]
    Damaged(String),
    /// The node's release does not know such a request: the sender's is a newer one. Nothing changed. A release that does not
    /// know this answer either never gets it, for it is older than who gives it.
    #[error("the node's release does not know this request: {0}")]
    NotUnderstood(String),
    /// The table was truncated since what is asked for began, or is being truncated. Nothing changed.
    #[error("the table was truncated meanwhile")]
    Truncated,
}

/// Bytes that are no message of this protocol. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The message is longer than [`MAX_MESSAGE_BYTES`].
    #[error("a message of {0} bytes; at most {MAX_MESSAGE_BYTES} are accepted")]
    TooLong(usize),
    /// The peer speaks a version that this build does not know.
    #[error("version {0} of the peer protocol is unknown here; this node speaks version {VERSION}")]
    Version(u16),
    /// The bytes are malformed.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// The message is whole, and a request, but what it asks for is nothing that this build knows: to be answered
    /// [`Failure::NotUnderstood`], with these words, which are few.
    #[error("a request that this release does not know: {0}")]
    Unknown(String),
}

/// All of a request but what is asked for.
type Envelope = (NodeId, u64, u64, Timestamp, u32, bool, u64, IgnoredAny);

/// How much is said of why a request was not understood, in characters: a sender may give things long names.
const MAX_PROBLEM: usize = 100;

/// A page ends after about so many bytes, and one row at most beyond: so it fits a message, and nobody has
/// to hold more.
pub const MAX_PAGE_BYTES: u32 = 8 << 20;

/// The largest page that is sent, encoded: so much that a message has room for what is around it.
pub const MAX_SENT_PAGE_BYTES: usize = MAX_MESSAGE_BYTES - (1 << 20);

impl PeerRequest {
    /// The bytes on the wire.
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// The bytes on the wire; large parts are shared with the request, not copied.
    pub fn encode_sharing(&self) -> Encoded {
        let large = match &self.body {
            Request::Write { mutations, .. }
            | Request::WriteStamped { mutations, .. }
            | Request::BatchStore { mutations, .. } => &mutations[..],
            Request::SchemaPush(entries) => std::slice::from_ref(entries),
            _ => &[],
        };
        encoded::encode(self, large)
    }

    /// Reads what [`encode`](Self::encode) wrote; arbitrary bytes are an error, never a panic.
    pub fn decode(bytes: Bytes) -> Result<Self, MessageError> {
        decode(&bytes).map_err(|error| match error {
            MessageError::Malformed(problem) if decode::<Envelope>(&bytes).is_ok() => {
                MessageError::Unknown(problem.chars().take(MAX_PROBLEM).collect())
            }
            error => error,
        })
    }
}

impl PeerResponse {
    /// The bytes on the wire.
    pub fn encode(&self) -> Bytes {
        encode(self)
    }

    /// The bytes on the wire; large parts are shared with the answer, not copied.
    pub fn encode_sharing(&self) -> Encoded {
        let large = match &self.body {
            Response::Page(bytes)
            | Response::Schema(bytes)
            | Response::Stream(StreamReply::Piece { bytes, .. }) => std::slice::from_ref(bytes),
            _ => &[],
        };
        encoded::encode(self, large)
    }

    /// Reads what [`encode`](Self::encode) wrote; arbitrary bytes are an error, never a panic.
    pub fn decode(bytes: Bytes) -> Result<Self, MessageError> {
        decode(&bytes)
    }
}

fn encode<T: Serialize>(message: &T) -> Bytes {
    encoded::encode(message, &[]).into_bytes()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(MessageError::TooLong(bytes.len()));
    }
    let Some((version, body)) = bytes.split_first_chunk::<2>() else {
        return Err(MessageError::Malformed("it is too short".to_owned()));
    };
    let version = u16::from_be_bytes(*version);
    if version != VERSION {
        return Err(MessageError::Version(version));
    }
    decode_value(body).map_err(MessageError::Malformed)
}

/// One MessagePack value that fills `bytes`, with bounded nesting.
pub(crate) fn decode_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut rest = bytes;
    let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
    deserializer.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    let left = rest.len();
    if left > 0 {
        return Err(format!("{left} bytes follow the end"));
    }
    Ok(value)
}
