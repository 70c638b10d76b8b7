//! Rows as they are encoded, looked at in place.

use std::cmp::Ordering;

use super::{DecodeError, Input};
use crate::{
    cell::{Cell, Expiry, ValueRef, precedence},
    ids::ColumnId,
    row::{Marker, Row},
    time::{Deletion, Seconds, Timestamp},
};

/// A cell in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellView<'a> {
    /// Which column.
    pub column: ColumnId,
    /// Which element of it, for non-frozen collections.
    pub path: Option<&'a [u8]>,
    /// When it was written.
    pub timestamp: Timestamp,
    /// The value or the tombstone.
    pub value: ValueRef<'a>,
    /// All of the cell as it is encoded.
    pub encoded: &'a [u8],
}

impl<'a> CellView<'a> {
    fn take(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        let start = input.rest();
        let flags = input.flags(7)?;
        let column = ColumnId(input.number()?);
        let path = if flags & 4 != 0 {
            Some(input.bytes()?)
        } else {
            None
        };
        let timestamp = input.timestamp()?;
        let value = match flags & 3 {
            0 => ValueRef::Live {
                value: input.bytes()?,
                expiry: None,
            },
            1 => ValueRef::Tombstone(input.seconds()?),
            2 => {
                let expiry = Some(input.expiry()?);
                ValueRef::Live {
                    value: input.bytes()?,
                    expiry,
                }
            }
            _ => return Err(DecodeError::Flags(flags)),
        };
        Ok(Self {
            column,
            path,
            timestamp,
            value,
            encoded: &start[..start.len() - input.rest().len()],
        })
    }

    /// Whether a reader at `now` sees a value here.
    pub fn is_live(&self, now: Seconds) -> bool {
        match self.value {
            ValueRef::Live { expiry, .. } => expiry.is_none_or(|expiry| expiry.at > now),
            ValueRef::Tombstone(_) => false,
        }
    }

    /// The order of the cells of a row, as [`Cell::order`] has it.
    pub fn order(&self, other: &Self) -> Ordering {
        self.column
            .cmp(&other.column)
            .then_with(|| self.path.cmp(&other.path))
    }

    /// The merge law, see [`Cell::precedence`].
    pub fn precedence(&self, other: &Self) -> Ordering {
        precedence((self.timestamp, self.value), (other.timestamp, other.value))
    }

    /// See [`Cell::shadows`].
    pub fn shadows(&self, element: &Self) -> bool {
        self.path.is_none()
            && element.path.is_some()
            && self.column == element.column
            && element.timestamp <= self.timestamp
    }

    fn content_len(&self) -> usize {
        let value = match self.value {
            ValueRef::Live { value, .. } => value.len(),
            ValueRef::Tombstone(_) => 0,
        };
        value + self.path.map_or(0, <[u8]>::len)
    }
}

/// A row in place: what stands before its cells, and the way to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowView<'a> {
    /// The row exists by an INSERT.
    pub marker: Option<Marker>,
    /// The row was deleted.
    pub deletion: Option<Deletion>,
    /// How many cells it has.
    pub count: usize,
    cells: &'a [u8],
}

impl<'a> RowView<'a> {
    /// Looks at one encoded row, to the end of `bytes`. Of its cells nothing is checked yet.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::begin(&mut Input::new(bytes))
    }

    fn begin(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        let flags = input.flags(7)?;
        let marker = match flags & 3 {
            0 => None,
            2 => return Err(DecodeError::Flags(flags)),
            kind => Some(Marker {
                timestamp: input.timestamp()?,
                expiry: if kind == 3 { Some(input.expiry()?) } else { None },
            }),
        };
        let deletion = if flags & 4 != 0 {
            Some(input.deletion()?)
        } else {
            None
        };
        Ok(Self {
            marker,
            deletion,
            count: input.count()?,
            cells: input.rest(),
        })
    }

    /// Takes one encoded row from the start of `input` and checks all of it: what
    /// [`Reader::row`](super::Reader::row) does, without making anything.
    pub fn take(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        let mut row = Self::begin(input)?;
        if let (Some(deletion), Some(marker)) = (row.deletion, row.marker)
            && deletion.covers(marker.timestamp)
        {
            return Err(DecodeError::NotCanonical);
        }
        let mut last: Option<CellView<'a>> = None;
        let mut column: Option<CellView<'a>> = None;
        for _ in 0..row.count {
            let cell = CellView::take(input)?;
            let ordered = last.is_none_or(|last| last.order(&cell).is_lt());
            let hidden = column.is_some_and(|column| column.shadows(&cell))
                || row
                    .deletion
                    .is_some_and(|deletion| deletion.covers(cell.timestamp));
            if !ordered || hidden {
                return Err(DecodeError::NotCanonical);
            }
            if cell.path.is_none() {
                column = Some(cell);
            }
            last = Some(cell);
        }
        row.cells = &row.cells[..row.cells.len() - input.rest().len()];
        Ok(row)
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.marker.is_none() && self.deletion.is_none() && self.count == 0
    }

    /// The cells, in order. After an error there are no more.
    pub fn cells(&self) -> Cells<'a> {
        Cells {
            left: self.count,
            input: Input::new(self.cells),
        }
    }

    /// Whether a reader at `now` sees the row.
    pub fn is_live(&self, now: Seconds) -> Result<bool, DecodeError> {
        let ends = |expiry: Option<Expiry>| expiry.is_some_and(|expiry| expiry.at <= now);
        if self.marker.is_some_and(|marker| !ends(marker.expiry)) {
            return Ok(true);
        }
        for cell in self.cells() {
            if cell?.is_live(now) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `deletion`, made outside of the row, covers nothing of it.
    pub fn survives(&self, deletion: Deletion) -> Result<bool, DecodeError> {
        if self.deletion.is_some_and(|own| own <= deletion)
            || self
                .marker
                .is_some_and(|marker| deletion.covers(marker.timestamp))
        {
            return Ok(false);
        }
        for cell in self.cells() {
            if deletion.covers(cell?.timestamp) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The oldest and the newest timestamp in it; `None` if it is empty.
    pub fn timestamps(&self) -> Result<Option<(Timestamp, Timestamp)>, DecodeError> {
        let mut found: Option<(Timestamp, Timestamp)> = None;
        let mut add = |timestamp: Timestamp| {
            let (oldest, newest) = found.unwrap_or((timestamp, timestamp));
            found = Some((oldest.min(timestamp), newest.max(timestamp)));
        };
        self.marker.iter().for_each(|marker| add(marker.timestamp));
        self.deletion.iter().for_each(|deletion| add(deletion.timestamp));
        for cell in self.cells() {
            add(cell?.timestamp);
        }
        Ok(found)
    }

    /// What the decoded row would weigh, see [`Row::weight`].
    pub fn weight(&self) -> Result<usize, DecodeError> {
        let mut weight = size_of::<Row>() + self.count.min(self.cells.len()) * size_of::<Cell>();
        for cell in self.cells() {
            weight += cell?.content_len();
        }
        Ok(weight)
    }
}

/// The cells of a [`RowView`].
#[derive(Debug, Clone, Default)]
pub struct Cells<'a> {
    left: usize,
    input: Input<'a>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<CellView<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let cell = CellView::take(&mut self.input);
        if cell.is_err() {
            self.left = 0;
        }
        Some(cell)
    }
}
