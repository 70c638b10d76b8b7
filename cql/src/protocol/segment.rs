//! Segments: what v5 wraps envelopes in after the handshake ("frames" in v5 section 2.2).
//!
//! ```text
//! plain, 6 bytes:       17 bits payload length, 1 bit self-contained, 6 bits zero, CRC-24
//! compressed, 8 bytes:  17 bits payload length, 17 bits uncompressed length (0: stored plain),
//!                       1 bit self-contained, 5 bits zero, CRC-24
//! then                  payload, CRC-32 of it
//! ```
//!
//! All little-endian. A self-contained segment holds whole envelopes; one that isn't holds a piece of
//! one large envelope.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    checksum::{crc24, crc32},
    compression::{DecompressError, compress_lz4, decompress_lz4},
};

/// The longest payload, in bytes, before and after compression.
pub const MAX_PAYLOAD_BYTES: usize = (128 << 10) - 1;

const LENGTH_BITS: u32 = 17;
const CRC24_BYTES: usize = 3;
const CRC32_BYTES: usize = 4;

/// A segment whose checksums hold, decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Whether the payload is whole envelopes.
    pub self_contained: bool,
    /// The envelopes, or the piece of one.
    pub payload: Bytes,
}

/// Bytes that are no segment: the connection has lost its step and must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The header's checksum is wrong.
    #[error("the CRC-24 of a segment's header is {found:#08x}, not {expected:#08x}")]
    HeaderChecksum {
        /// What it is by the bytes.
        expected: u32,
        /// What the sender wrote.
        found: u32,
    },
    /// The payload's checksum is wrong.
    #[error("the CRC-32 of a segment's payload is {found:#010x}, not {expected:#010x}")]
    PayloadChecksum {
        /// What it is by the bytes.
        expected: u32,
        /// What the sender wrote.
        found: u32,
    },
    /// The payload does not decompress to the length that the header has.
    #[error("a segment's payload: {0}")]
    Decompress(#[from] DecompressError),
}

fn header_bytes(compressed: bool) -> usize {
    if compressed { 5 } else { 3 }
}

/// Takes the first segment from `input`, or nothing if it isn't complete yet. `compressed` is what the
/// handshake agreed on.
pub fn decode(input: &mut BytesMut, compressed: bool) -> Result<Option<Segment>, SegmentError> {
    let header = header_bytes(compressed);
    if input.len() < header + CRC24_BYTES {
        return Ok(None);
    }
    let mut wide = [0; 8];
    wide[..header].copy_from_slice(&input[..header]);
    let bits = u64::from_le_bytes(wide);
    let mut checksum = [0; 4];
    checksum[..CRC24_BYTES].copy_from_slice(&input[header..header + CRC24_BYTES]);
    let (expected, found) = (crc24(&input[..header]), u32::from_le_bytes(checksum));
    if expected != found {
        return Err(SegmentError::HeaderChecksum { expected, found });
    }
    let mask = MAX_PAYLOAD_BYTES as u64;
    let length = (bits & mask) as usize;
    let (uncompressed, flag) = if compressed {
        (((bits >> LENGTH_BITS) & mask) as usize, 2 * LENGTH_BITS)
    } else {
        (0, LENGTH_BITS)
    };
    let start = header + CRC24_BYTES;
    if input.len() < start + length + CRC32_BYTES {
        return Ok(None);
    }
    input.advance(start);
    let stored = input.split_to(length).freeze();
    let (expected, found) = (crc32(&stored), input.get_u32_le());
    if expected != found {
        return Err(SegmentError::PayloadChecksum { expected, found });
    }
    let payload = if uncompressed == 0 {
        stored
    } else {
        decompress_lz4(&stored, uncompressed, MAX_PAYLOAD_BYTES)?
    };
    Ok(Some(Segment {
        self_contained: (bits >> flag) & 1 == 1,
        payload,
    }))
}

/// Appends a segment to `out`. A payload that does not shrink is stored plain.
///
/// # Panics
/// If the payload is longer than [`MAX_PAYLOAD_BYTES`].
pub fn encode(payload: &[u8], self_contained: bool, compressed: bool, out: &mut Vec<u8>) {
    assert!(
        payload.len() <= MAX_PAYLOAD_BYTES,
        "a segment's payload is too long"
    );
    let header = header_bytes(compressed);
    let start = out.len();
    let body = start + header + CRC24_BYTES;
    out.resize(body, 0);
    let mut uncompressed = 0;
    if compressed {
        compress_lz4(payload, out);
        if out.len() - body < payload.len() {
            uncompressed = payload.len();
        } else {
            out.truncate(body);
        }
    }
    if uncompressed == 0 {
        out.extend_from_slice(payload);
    }
    let flag = u64::from(self_contained);
    let length = (out.len() - body) as u64;
    let bits = if compressed {
        length | (uncompressed as u64) << LENGTH_BITS | flag << (2 * LENGTH_BITS)
    } else {
        length | flag << LENGTH_BITS
    };
    out[start..start + header].copy_from_slice(&bits.to_le_bytes()[..header]);
    let checksum = crc24(&out[start..start + header]).to_le_bytes();
    out[start + header..body].copy_from_slice(&checksum[..CRC24_BYTES]);
    let checksum = crc32(&out[body..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}
