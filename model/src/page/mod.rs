//! What a replica answers, and its byte layout.
//!
//! ```text
//! page       varint number of partitions, partitions, then 0, or 1 and a position
//! partition  key, 0 or 1 and the cut's bytes, the partition (see `encoding`)
//! position   key, 0 or 1 and the clustering's bytes, varint rows
//! key        token (8 bytes, big-endian), key bytes
//! ```
//!
//! Equal pages have equal bytes, whoever encoded them: so replicas that agree are known by a digest of those bytes.

mod encoded;
mod writer;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{DecodeError, Reader, Writer},
    key::{Clustering, DecoratedKey},
    partition::Partition,
    read::Position,
    token::Token,
};

pub use encoded::{EncodedPage, EncodedPartition};
pub use writer::PageWriter;

/// One partition of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPage {
    /// Which.
    pub key: DecoratedKey,
    /// Its content within the slices, **with** its tombstones and expired cells, so that replicas can
    /// be merged: the deletion, the static row, range tombstones clipped to what was covered, rows.
    /// Tombstones and the static row come with every page that touches the partition.
    pub partition: Partition,
    /// The last clustering that was covered where `rows_per_partition` or the page's end cut it short;
    /// `None`: the slices were covered to their end.
    pub cut: Option<Clustering>,
}

/// A replica's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In token order, none empty.
    pub partitions: Vec<PartitionPage>,
    /// Where to go on; `None`: the range is exhausted. May be set with no partitions at all, after many
    /// tombstones.
    pub next: Option<Position>,
}

impl Page {
    /// The same page, encoded.
    pub fn encoded(&self) -> EncodedPage {
        let mut out = PageWriter::default();
        for part in &self.partitions {
            out.begin(part.key.token, &part.key.key);
            out.content().partition(&part.partition);
            out.end(part.cut.as_ref());
        }
        out.finish(self.next.clone())
    }

    /// Reads what [`EncodedPage::into_bytes`] gave. Values share `bytes`' memory. Anything else is an error.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let count = input.count()?;
        let partitions = take_partitions(&mut input, count)?;
        let next = match input.flags(1)? {
            0 => None,
            _ => Some(Position {
                key: take_key(&mut input)?,
                clustering: take_clustering(&mut input)?,
                rows: u32::try_from(input.varint()?).map_err(|_| DecodeError::Number)?,
            }),
        };
        input.end()?;
        Ok(Self { partitions, next })
    }
}

fn take_partitions(input: &mut Reader, count: usize) -> Result<Vec<PartitionPage>, DecodeError> {
    let mut partitions: Vec<PartitionPage> = Vec::new();
    for _ in 0..count {
        let key = take_key(input)?;
        let cut = take_clustering(input)?;
        let partition = input.partition()?;
        if partitions.last().is_some_and(|last| last.key >= key) {
            return Err(DecodeError::NotCanonical);
        }
        partitions.push(PartitionPage { key, partition, cut });
    }
    Ok(partitions)
}

fn put_key(out: &mut Writer, token: Token, key: &[u8]) {
    out.fixed(&token.0.to_be_bytes());
    out.bytes(key);
}

fn take_key(input: &mut Reader) -> Result<DecoratedKey, DecodeError> {
    let token = Token(i64::from_be_bytes(input.fixed()?));
    let key = input.bytes()?;
    Ok(DecoratedKey { token, key })
}

fn put_clustering(out: &mut Writer, clustering: Option<&Clustering>) {
    out.byte(u8::from(clustering.is_some()));
    if let Some(clustering) = clustering {
        out.bytes(&clustering.0);
    }
}

fn take_clustering(input: &mut Reader) -> Result<Option<Clustering>, DecodeError> {
    Ok(match input.flags(1)? {
        0 => None,
        _ => Some(Clustering(input.bytes()?)),
    })
}
