//! One column's value in one row, or its tombstone.

use std::cmp::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    ids::ColumnId,
    time::{Seconds, Timestamp},
};

/// The longest value of a cell, in bytes: 16 MiB, so that a mutation fits a frame.
pub const MAX_VALUE_BYTES: usize = 16 << 20;

/// Which element of a non-frozen collection a cell is: the map key, set element, or list position, in
/// byte-comparable or plain form as the type wants it. `None` is the column itself.
pub type CellPath = Option<Bytes>;

/// The end of a value's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Expiry {
    /// The first second at which the value is no longer read.
    pub at: Seconds,
    /// The TTL it was written with, in seconds; what `TTL(column)` counts down from.
    pub ttl: u32,
}

/// What a cell holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CellValue {
    /// A value in its CQL serialization, perhaps with an end.
    Live {
        /// The value in its CQL serialization.
        value: Bytes,
        /// When it ends; `None` is never.
        expiry: Option<Expiry>,
    },
    /// The column or the element was deleted at this second.
    Tombstone(Seconds),
}

/// What a cell holds, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// A value in its CQL serialization, perhaps with an end.
    Live {
        /// The value in its CQL serialization.
        value: &'a [u8],
        /// When it ends; `None` is never.
        expiry: Option<Expiry>,
    },
    /// The column or the element was deleted at this second.
    Tombstone(Seconds),
}

impl CellValue {
    /// The same, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Live { value, expiry } => ValueRef::Live {
                value,
                expiry: *expiry,
            },
            Self::Tombstone(at) => ValueRef::Tombstone(*at),
        }
    }
}

/// A cell: a column or a collection's element, its timestamp, and its value or tombstone.
///
/// A cell without a path is about the whole column: of a collection it shadows the elements that were written
/// at its timestamp or earlier, be it a tombstone (the usual case) or a value. Were it only the tombstone, a
/// value that replaced it would let old elements come back, depending on the order of merging.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Which column.
    pub column: ColumnId,
    /// Which element of it, for non-frozen collections.
    pub path: CellPath,
    /// When it was written.
    pub timestamp: Timestamp,
    /// The value or the tombstone.
    pub value: CellValue,
}

impl Cell {
    /// Whether a reader at `now` sees a value here.
    pub fn is_live(&self, now: Seconds) -> bool {
        match &self.value {
            CellValue::Live { expiry, .. } => expiry.is_none_or(|expiry| expiry.at > now),
            CellValue::Tombstone(_) => false,
        }
    }

    /// Whether it is a tombstone of a whole collection or a plain column, rather than of an element.
    pub fn is_column_tombstone(&self) -> bool {
        self.path.is_none() && matches!(self.value, CellValue::Tombstone(_))
    }

    /// Whether this cell is about the whole column and hides `element`, which must be of the same row.
    pub fn shadows(&self, element: &Self) -> bool {
        self.path.is_none()
            && element.path.is_some()
            && self.column == element.column
            && element.timestamp <= self.timestamp
    }

    /// Cells of a row are ordered by column, then by path, with the column itself first.
    pub fn order(&self, other: &Self) -> Ordering {
        self.column
            .cmp(&other.column)
            .then_with(|| self.path.cmp(&other.path))
    }

    /// The merge law for two cells of the same column and path: the greater one stays.
    ///
    /// Newest timestamp; then a tombstone beats a value; then the larger bytes; then the later expiry
    /// (never is latest), the longer TTL, the later tombstone. A total order, so the merge is
    /// commutative, associative and idempotent. It does not look at the present time: an expired value
    /// keeps its rank until it is purged.
    pub fn precedence(&self, other: &Self) -> Ordering {
        precedence(
            (self.timestamp, self.value.as_ref()),
            (other.timestamp, other.value.as_ref()),
        )
    }

    /// Rough size in memory, in bytes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.content_len()
    }

    /// About as many bytes as the encoding takes: flags, numbers and lengths, and the content.
    pub(crate) fn encoded_hint(&self) -> usize {
        24 + self.content_len()
    }

    fn content_len(&self) -> usize {
        let value = match &self.value {
            CellValue::Live { value, .. } => value.len(),
            CellValue::Tombstone(_) => 0,
        };
        value + self.path.as_ref().map_or(0, Bytes::len)
    }
}

/// [`Cell::precedence`] on timestamps and values.
pub(crate) fn precedence(a: (Timestamp, ValueRef<'_>), b: (Timestamp, ValueRef<'_>)) -> Ordering {
    a.0.cmp(&b.0).then_with(|| match (a.1, b.1) {
        (ValueRef::Tombstone(a), ValueRef::Tombstone(b)) => a.cmp(&b),
        (ValueRef::Tombstone(_), ValueRef::Live { .. }) => Ordering::Greater,
        (ValueRef::Live { .. }, ValueRef::Tombstone(_)) => Ordering::Less,
        (ValueRef::Live { value: a, expiry: x }, ValueRef::Live { value: b, expiry: y }) => {
            a.cmp(b).then_with(|| compare_expiry(x, y))
        }
    })
}

/// Orders expiries so that the one that lasts longer is greater.
pub(crate) fn compare_expiry(a: Option<Expiry>, b: Option<Expiry>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(&b),
    }
}
