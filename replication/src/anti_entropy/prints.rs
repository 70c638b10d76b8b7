//! The digests of the partitions of a small range, as they travel.
//!
//! ```text
//! prints   for each token at which there is anything, in order:
//!          varint distance from the token before it (at first from the range's start),
//!          varint of twice the rows, and one more where something is left out that may be purged,
//!          sum (16 bytes, little-endian)
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_model::{
    Token, TokenRange,
    encoding::{DecodeError, Reader, Writer},
};

use super::digest::Digest;

/// The most tokens of one range that are told.
const MOST: usize = 4096;

/// The digest of each token of a range at which there is anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prints(Bytes);

/// The digest of the partitions at a token: one, but for keys whose hashes are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) token: Token,
    pub(crate) sum: u128,
    pub(crate) rows: u64,
    /// Whether there is something besides that may be purged and is not in the sum.
    pub(crate) leaves_out: bool,
}

impl Prints {
    /// Of digests by ascending tokens, all within the range; `None` if they are too many.
    pub(crate) fn of(range: TokenRange, digests: &[(Token, Digest)]) -> Option<Self> {
        if digests.len() > MOST {
            return None;
        }
        let mut out = Writer::with_capacity(digests.len() * 25);
        let mut before = range.start;
        for (token, digest) in digests {
            out.varint(token.0.wrapping_sub(before.0) as u64);
            out.varint(digest.rows << 1 | u64::from(digest.leaves_out()));
            out.fixed(&digest.sum.to_le_bytes());
            before = *token;
        }
        Some(Self(out.finish()))
    }

    /// Reads what [`of`](Self::of) wrote for that range. Tokens ascend and lie within it; anything else is an error.
    pub(crate) fn decode(&self, range: TokenRange) -> Result<Vec<Print>, DecodeError> {
        let mut reader = Reader::new(self.0.clone());
        let mut prints = Vec::new();
        let mut before = range.start;
        while reader.remaining() > 0 {
            let room = range.end.0.wrapping_sub(before.0) as u64;
            let distance = reader.varint()?;
            if distance == 0 || distance > room || prints.len() == MOST {
                return Err(DecodeError::Number);
            }
            before = Token(before.0.wrapping_add(distance as i64));
            let rows = reader.varint()?;
            let (rows, leaves_out) = (rows >> 1, rows & 1 == 1);
            let sum = u128::from_le_bytes(reader.fixed()?);
            prints.push(Print {
                token: before,
                sum,
                rows,
                leaves_out,
            });
        }
        Ok(prints)
    }
}
