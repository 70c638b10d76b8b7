//! The CQL native protocol, versions 4 and 5 (`native_protocol_v4.spec`, `native_protocol_v5.spec`):
//! bytes to messages and back, without I/O.
//!
//! A connection's bytes go through three layers, each with its own module:
//!
//! ```text
//! bytes ── segment (v5 after the handshake: length, CRC24, payload, CRC32, perhaps LZ4)
//!       └─ envelope (9-byte header: version, flags, stream, opcode, length; v4: body perhaps compressed)
//!          └─ message (request or response)
//! ```
//!
//! [`Decoder`] turns bytes into [`Envelope`]s, [`Encoder`] messages into bytes; both know both versions
//! and switch when the handshake says so. [`RequestFrame::decode`] and [`ResponseFrame::decode`] read an
//! envelope's body.
//!
//! Contract:
//! 1. No input panics, and none makes a decoder allocate more than the configured bound on a body plus
//!    a constant. Lengths are checked against what is there before anything is allocated.
//! 2. Values that are read share the envelope's memory.
//! 3. After an error that is not [fatal](FrameError::fatal) the decoder stands at the next envelope.

pub mod checksum;
pub mod column_type;
pub mod compression;
pub mod decoder;
pub mod encoder;
mod error_body;
pub mod event;
pub mod header;
pub mod malformed;
pub mod metadata;
mod parameters;
pub mod prepared;
pub mod reader;
pub mod request;
pub mod response;
mod rows;
pub mod segment;
pub mod version;
pub mod writer;

#[cfg(test)]
mod tests;

pub use compression::Compression;
pub use decoder::{Decoder, Direction, FrameError, FrameErrorKind, Incoming};
pub use encoder::Encoder;
pub use event::{Event, EventKind, StatusChange, TopologyChange};
pub use header::{Envelope, Flags, Opcode};
pub use malformed::Malformed;
pub use metadata::metadata_id;
pub use request::{Request, RequestFrame};
pub use response::{Response, ResponseFrame, ResultBody, RowsBody};
pub use version::Version;
pub use writer::TooLarge;
