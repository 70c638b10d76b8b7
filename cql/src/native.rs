//! The messages of Starling's own client protocol: MessagePack over QUIC.
//!
//! A client opens one bidirectional stream per connection and pipelines frames on it, each a 4-byte
//! big-endian length, an 8-byte big-endian request id, and one MessagePack value. The length counts the
//! bytes of the value alone. Structs may come as arrays or as maps (a reader takes both).
//! Requests have ids from 1; answers come in any order, under the id of their request. The server keeps no state of a client but its prepared
//! statements, which any client may use: everything a request needs travels with it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use starling_model::NodeId;

use crate::{
    error::{Error, ErrorKind},
    request::{BatchRequest, QueryParameters, Statement},
    result::{PreparedMetadata, QueryResult, SchemaChange},
};

/// The version of this protocol that this build speaks; the first frame each way is a [`Request::Hello`].
pub const VERSION: u16 = 1;

/// The application protocol's name in the TLS handshake (ALPN).
pub const ALPN: &[u8] = b"starling-client/1";

/// The port of a node's QUIC listener, unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 7000;

/// The largest frame, in bytes: longer ones end the connection.
pub const MAX_FRAME_BYTES: usize = 32 << 20;

/// Bytes of a frame before its value: the length of the value, then the request id.
pub const HEADER_BYTES: usize = 12;

/// Appends a frame to `out`. On an error (larger than [`MAX_FRAME_BYTES`]) `out` is as it was.
pub fn encode_frame<T: Serialize>(id: u64, message: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&id.to_be_bytes());
    let written = rmp_serde::encode::write(out, message);
    let length = out.len() - start - HEADER_BYTES;
    if written.is_err() || length > MAX_FRAME_BYTES {
        out.truncate(start);
        return Err(Error::invalid(format!(
            "a message of {length} bytes does not fit into a frame, which holds {MAX_FRAME_BYTES} bytes"
        )));
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

/// The length of the value and the request id. A length above [`MAX_FRAME_BYTES`] must end the connection.
pub fn decode_header(header: [u8; HEADER_BYTES]) -> (usize, u64) {
    let [a, b, c, d, id @ ..] = header;
    (u32::from_be_bytes([a, b, c, d]) as usize, u64::from_be_bytes(id))
}

/// How deep a message may nest. Types within types are the only recursion, and CQL's limit is far below.
const MAX_DEPTH: usize = 96;

/// Reads the value of a frame. Malformed bytes cost no more memory than their own size, and no stack.
pub fn decode<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(value);
    reader.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut reader)
        .map_err(|error| Error::new(ErrorKind::Protocol, format!("malformed message: {error}")))
}

/// From a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The first request on a connection.
    Hello {
        /// The highest version the client speaks.
        version: u16,
        /// For logs: name and version of the client.
        client: String,
    },
    /// Prepares a statement.
    Prepare {
        /// CQL text.
        query: String,
        /// The keyspace of unqualified names.
        keyspace: Option<String>,
    },
    /// Carries out a statement.
    Execute {
        /// Which.
        statement: Statement,
        /// How.
        parameters: QueryParameters,
        /// Record a trace and return its id.
        tracing: bool,
    },
    /// Carries out a batch.
    Batch(BatchRequest),
    /// Asks for the ring.
    Topology,
}

/// From a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Hello`].
    Welcome {
        /// The version that both speak.
        version: u16,
        /// The node's release.
        release: String,
    },
    /// To [`Request::Prepare`].
    Prepared(PreparedMetadata),
    /// To [`Request::Execute`] and [`Request::Batch`].
    Result {
        /// The outcome.
        result: QueryResult,
        /// The trace's id (a UUID), if one was asked for.
        trace: Option<u128>,
        /// What the user should know.
        warnings: Vec<String>,
    },
    /// To [`Request::Topology`].
    Topology(Topology),
    /// The request failed.
    Error(Error),
    /// Unasked, under request id 0: the schema or the ring changed.
    Event(Event),
}

/// The ring, as a client needs it to route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// The cluster's name.
    pub cluster: String,
    /// The partitioner's full class name, as `system.local` has it.
    pub partitioner: String,
    /// All members, up or not.
    pub nodes: Vec<TopologyNode>,
    /// Each keyspace's replication options, as in CQL: name, then `class` and the rest.
    pub keyspaces: Vec<(String, Vec<(String, String)>)>,
}

/// A member of the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyNode {
    /// Its id.
    pub id: NodeId,
    /// Where its QUIC listener for clients and peers is.
    pub address: SocketAddr,
    /// Where its CQL listener is.
    pub cql_address: SocketAddr,
    /// Its datacenter.
    pub datacenter: String,
    /// Its rack.
    pub rack: String,
    /// Its tokens.
    pub tokens: Vec<i64>,
    /// Whether the node that answers believes it alive.
    pub up: bool,
}

/// Something that clients want to hear of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The schema changed.
    Schema(SchemaChange),
    /// Members came, went, or changed their state: ask for the [`Topology`] again.
    Topology,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back() {
        let request = Request::Hello {
            version: VERSION,
            client: "test".to_owned(),
        };
        let mut out = b"before".to_vec();
        encode_frame(7, &request, &mut out).unwrap();
        let header: [u8; HEADER_BYTES] = out[6..18].try_into().unwrap();
        assert_eq!(decode_header(header), (out.len() - 18, 7));
        assert_eq!(decode::<Request>(&out[18..]).unwrap(), request);
        assert!(decode::<Request>(&out[18..out.len() - 1]).is_err());
    }

    #[test]
    fn what_is_too_long_for_a_frame_is_refused_and_leaves_no_trace() {
        let mut out = b"before".to_vec();
        assert!(encode_frame(7, &"x".repeat(MAX_FRAME_BYTES), &mut out).is_err());
        assert_eq!(out, b"before");
    }
}
