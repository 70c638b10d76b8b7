//! The paging state: where a page ended, as clients carry it.
//!
//! ```text
//! version       1 byte, 1
//! fingerprint   8 bytes: of the statement and its values
//! target        4 bytes: which partition of an IN
//! remaining     4 bytes: rows left of LIMIT
//! matched       4 bytes: rows of the partition that PER PARTITION LIMIT counted
//! flags         1 byte: 1 there is a position, 2 it is within a partition
//! position      token (8 bytes), rows (4 bytes), key and clustering, each with a 4-byte length
//! checksum      8 bytes: XXH3 of all before
//! ```
//!
//! All numbers are big-endian. Clients can't read it and must not change it; a state that was damaged or
//! belongs to another statement is an error.

use bytes::{Buf, Bytes};
use starling_model::{Clustering, DecoratedKey, Position, Token};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind};

const VERSION: u8 = 1;

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PagingState {
    pub(super) target: u32,
    pub(super) remaining: u32,
    pub(super) matched: u32,
    pub(super) after: Option<Position>,
}

impl PagingState {
    pub(super) fn encode(&self, fingerprint: u64) -> Bytes {
        let mut out = vec![VERSION];
        out.extend_from_slice(&fingerprint.to_be_bytes());
        for number in [self.target, self.remaining, self.matched] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        match &self.after {
            None => out.push(0),
            Some(position) => {
                out.push(1 | if position.clustering.is_some() { 2 } else { 0 });
                out.extend_from_slice(&position.key.token.0.to_be_bytes());
                out.extend_from_slice(&position.rows.to_be_bytes());
                let clustering = position.clustering.as_ref().map(|clustering| &clustering.0[..]);
                for part in [&position.key.key[..], clustering.unwrap_or_default()] {
                    out.extend_from_slice(&(part.len() as u32).to_be_bytes());
                    out.extend_from_slice(part);
                }
            }
        }
        let checksum = xxh3_64(&out);
        out.extend_from_slice(&checksum.to_be_bytes());
        out.into()
    }

    pub(super) fn decode(state: &Bytes, fingerprint: u64) -> Result<Self, Error> {
        let damaged = || {
            Error::new(
                ErrorKind::Protocol,
                "Invalid value for the paging state: it is damaged",
            )
        };
        let body_length = state.len().checked_sub(8).ok_or_else(damaged)?;
        let mut body = state.slice(..body_length);
        if state[body_length..] != xxh3_64(&body).to_be_bytes() {
            return Err(damaged());
        }
        let version = body.try_get_u8().map_err(|_| damaged())?;
        let found = body.try_get_u64().map_err(|_| damaged())?;
        if version != VERSION || found != fingerprint {
            return Err(Error::invalid(
                "the paging state belongs to another statement, to other values, or to another release; start from the first page",
            ));
        }
        Self::read(&mut body).ok_or_else(damaged)
    }

    fn read(body: &mut Bytes) -> Option<Self> {
        let target = body.try_get_u32().ok()?;
        let remaining = body.try_get_u32().ok()?;
        let matched = body.try_get_u32().ok()?;
        let flags = body.try_get_u8().ok()?;
        let mut after = None;
        if flags & 1 != 0 {
            let token = Token(body.try_get_i64().ok()?);
            let rows = body.try_get_u32().ok()?;
            let mut part = || {
                let length = body.try_get_u32().ok()? as usize;
                (length <= body.len()).then(|| body.split_to(length))
            };
            let (key, clustering) = (part()?, part()?);
            let clustering = (flags & 2 != 0).then_some(Clustering(clustering));
            after = Some(Position {
                key: DecoratedKey { token, key },
                clustering,
                rows,
            });
        }
        body.is_empty().then_some(Self {
            target,
            remaining,
            matched,
            after,
        })
    }
}
