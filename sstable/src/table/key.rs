//! The flat key space of a table.
//!
//! ```text
//! 8   token, big-endian, sign flipped
//! ..  partition key, escaped and terminated (model::ordered::put_bytes)
//! 1   kind: 1 partition, 2 static row, 3 range tombstone, 4 row
//! ..  clustering of the row, or start of the range tombstone; else nothing
//! ```
//!
//! `memcmp` orders entries by token, partition key, kind, clustering. What comes before the kind is the
//! partition's prefix; since it ends in a terminator, none is the start of another.

use starling_model::{DecoratedKey, Token, ordered};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The start of a partition, with its deletion.
    Partition = 1,
    /// The static row.
    Static = 2,
    /// A range tombstone, under the start of its range.
    Range = 3,
    /// A row.
    Row = 4,
}

/// After every kind.
const AFTER_KINDS: u8 = 5;

impl Kind {
    /// The kind of this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Partition,
            2 => Self::Static,
            3 => Self::Range,
            4 => Self::Row,
            _ => return None,
        })
    }
}

/// The prefix of a partition's entries.
pub fn prefix(key: &DecoratedKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + key.key.len() + 2 + 1);
    put_prefix(&mut out, key);
    out
}

/// Appends the prefix of a partition's entries.
pub fn put_prefix(out: &mut Vec<u8>, key: &DecoratedKey) {
    out.extend_from_slice(&key.token.ordered_bytes());
    ordered::put_bytes(out, &key.key);
}

/// The key of an entry.
pub fn entry(prefix: &[u8], kind: Kind, clustering: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + 2 + clustering.len());
    out.extend_from_slice(prefix);
    out.push(kind as u8);
    out.extend_from_slice(clustering);
    out
}

/// The first key after all entries of a kind in a partition.
pub fn after_kind(prefix: &[u8], kind: Kind) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len() + 1);
    out.extend_from_slice(prefix);
    out.push(kind as u8 + 1);
    out
}

/// The first key after all entries of a partition.
pub fn after_partition(prefix: &[u8]) -> Vec<u8> {
    let mut out = prefix.to_vec();
    out.push(AFTER_KINDS);
    out
}

/// An entry's key in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The partition's prefix.
    pub prefix: &'a [u8],
    /// What the entry is.
    pub kind: Kind,
    /// The clustering, or the start of the range.
    pub clustering: &'a [u8],
}

/// Takes an entry's key apart; `None` if it is not one.
pub fn parts(key: &[u8]) -> Option<Parts<'_>> {
    let mut at = 8;
    loop {
        match (key.get(at)?, key.get(at + 1)?) {
            (0, 0) => break,
            (0, 1) => at += 2,
            (0, _) => return None,
            _ => at += 1,
        }
    }
    parts_at(key, at + 2)
}

/// Takes an entry's key apart whose prefix has `prefix` bytes; `None` if it is not one.
pub fn parts_at(key: &[u8], prefix: usize) -> Option<Parts<'_>> {
    let (prefix, rest) = key.split_at_checked(prefix)?;
    let (kind, clustering) = rest.split_first()?;
    Some(Parts {
        prefix,
        kind: Kind::from_byte(*kind)?,
        clustering,
    })
}

/// The partition key of a prefix; `None` if it is not one.
pub fn partition_key(prefix: &[u8]) -> Option<DecoratedKey> {
    let token = Token::from_ordered_bytes(*prefix.first_chunk()?);
    let mut rest = &prefix[8..];
    let key = ordered::take_bytes(&mut rest).ok()?;
    rest.is_empty().then(|| DecoratedKey {
        token,
        key: key.into(),
    })
}
