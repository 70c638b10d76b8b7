//! A write to one partition of one table.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{DecodeError, Reader, Writer},
    ids::TableId,
    key::{DecoratedKey, MAX_PARTITION_KEY_BYTES},
    partition::Partition,
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
