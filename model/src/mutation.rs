//! A write to one partition of one table.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{DecodeError, Reader, Writer},
    ids::TableId,
    key::{DecoratedKey, MAX_PARTITION_KEY_BYTES},
    partition::Partition,
    range_tombstone::RangeTombstone,
    token::Token,
};

/// The largest encoded mutation, in bytes: 16 MiB (half of Cassandra's default log segment).
pub const MAX_MUTATION_BYTES: usize = 16 << 20;

/// A write to one partition: atomic and isolated on each replica. Idempotent: applying it twice, or
/// late, changes nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutation {
    /// The table.
    pub table: TableId,
    /// The partition.
    pub key: DecoratedKey,
    /// What is added to it.
    pub partition: Partition,
}

impl Mutation {
    /// The same write in pieces of about `max_bytes` ([weight](Partition::weight)) and one row at most beyond. Applied
    /// one by one, in any order, they come to the same; but a reader may see some before the others.
    pub fn pieces(self, max_bytes: usize) -> Vec<Self> {
        if self.partition.weight() <= max_bytes {
            return vec![self];
        }
        let Self {
            table,
            key,
            partition,
        } = self;
        let mut pieces = Vec::new();
        let mut piece = Partition {
            deletion: partition.deletion,
            static_row: partition.static_row,
            ..Partition::default()
        };
        let mut bytes = piece.weight();
        let mut take = |piece: &mut Partition, bytes: &mut usize, more: usize| {
            if *bytes + more > max_bytes && !piece.is_empty() {
                pieces.push(std::mem::take(piece));
                *bytes = 0;
            }
            *bytes += more;
        };
        for tombstone in &partition.ranges {
            take(
                &mut piece,
                &mut bytes,
                size_of::<RangeTombstone>() + tombstone.range.start.len() * 2,
            );
            piece.delete_range(tombstone.clone());
        }
        for (clustering, row) in partition.rows {
            take(&mut piece, &mut bytes, clustering.0.len() + 64 + row.weight());
            // A tombstone of this piece covers nothing of it: the partition was canonical.
            piece.add_row(clustering, row);
        }
        pieces.push(piece);
        let mutation = |partition| Self {
            table,
            key: key.clone(),
            partition,
        };
        pieces.into_iter().map(mutation).collect()
    }

    /// The bytes that travel between nodes and that the log stores as they came:
    ///
    /// ```text
    /// table   16 bytes, big-endian
    /// token    8 bytes, big-endian
    /// key     length (varint), bytes
    /// rest    the partition, see `encoding`
    /// ```
    pub fn encode(&self) -> Bytes {
        let mut out = Writer::with_capacity(32 + self.key.key.len() + self.partition.encoded_hint());
        out.fixed(&self.table.0.to_be_bytes());
        out.fixed(&self.key.token.0.to_be_bytes());
        out.bytes(&self.key.key);
        out.partition(&self.partition);
        out.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote. Values share `bytes`' memory.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let table = TableId(u128::from_be_bytes(input.fixed()?));
        let token = Token(i64::from_be_bytes(input.fixed()?));
        let key = input.bytes()?;
        if key.len() > MAX_PARTITION_KEY_BYTES {
            return Err(DecodeError::KeyTooLong(key.len()));
        }
        let partition = input.partition()?;
        input.end()?;
        Ok(Self {
            table,
            key: DecoratedKey { token, key },
            partition,
        })
    }
}

/// A mutation in the bytes that it travels and is stored in, with the token by which it finds its shard: encoded
/// once, and shared by all who pass it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMutation {
    token: Token,
    bytes: Bytes,
}

impl EncodedMutation {
    /// `mutation`, whose encoding is at hand: `bytes` is what it encodes to, or was decoded from.
    pub fn of(mutation: &Mutation, bytes: Bytes) -> Self {
        Self {
            token: mutation.key.token,
            bytes,
        }
    }

    /// The partition's token.
    pub fn token(&self) -> Token {
        self.token
    }

    /// As [`Mutation::encode`] encodes it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The mutation.
    ///
    /// # Errors
    /// The bytes came from elsewhere and are no mutation's.
    pub fn decode(self) -> Result<Mutation, DecodeError> {
        Mutation::decode(self.bytes)
    }
}

impl From<&Mutation> for EncodedMutation {
    fn from(mutation: &Mutation) -> Self {
        Self::of(mutation, mutation.encode())
    }
}

impl From<Mutation> for EncodedMutation {
    fn from(mutation: Mutation) -> Self {
        Self::from(&mutation)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        cell::{Cell, CellValue},
        ids::ColumnId,
        key::{Clustering, ClusteringRange},
        row::Row,
        time::{Deletion, Seconds, Timestamp},
    };

    fn row(bytes: usize, timestamp: i64) -> Row {
        let mut row = Row::default();
        row.add(Cell {
            column: ColumnId(1),
            path: None,
            timestamp: Timestamp(timestamp),
            value: CellValue::Live {
                value: vec![7; bytes].into(),
                expiry: None,
            },
        });
        row
    }

    fn tombstone(start: u8, end: u8, timestamp: i64) -> RangeTombstone {
        RangeTombstone {
            range: ClusteringRange {
                start: vec![start].into(),
                end: Some(vec![end].into()),
            },
            deletion: Deletion {
                timestamp: Timestamp(timestamp),
                at: Seconds(1),
            },
        }
    }

    proptest! {
        #[test]
        fn pieces_come_to_the_same(
            rows in prop::collection::btree_map(0_u8..100, (0_usize..300, 0_i64..100), 0..40),
            ranges in prop::collection::vec((0_u8..100, 1_u8..20, 0_i64..100), 0..10),
            fixed in 0_usize..200,
            max in 1_usize..3000,
        ) {
            let mut partition = Partition::default();
            for (start, length, timestamp) in ranges {
                partition.delete_range(tombstone(start, start + length, timestamp));
            }
            partition.add_static(row(fixed, 5));
            for (clustering, (bytes, timestamp)) in rows {
                partition.add_row(Clustering::from(vec![clustering]), row(bytes, timestamp));
            }
            let key = DecoratedKey { token: Token(1), key: "k".into() };
            let whole = Mutation { table: TableId(1), key, partition };
            let pieces = whole.clone().pieces(max);
            for piece in &pieces {
                prop_assert!(piece.partition.rows.len() <= 1 || piece.partition.weight() <= max + 600);
            }
            let mut merged = Partition::default();
            for piece in pieces.into_iter().rev() {
                merged.merge(piece.partition);
            }
            prop_assert_eq!(merged, whole.partition);
        }
    }
}
