//! Cells as they are encoded, looked at in place, and written one after the other.

use std::cmp::Ordering;

use super::{DecodeError, Input, Writer, older, row_layout as layout};
use crate::{
    cell::{Cell, Expiry, ValueRef, precedence},
    ids::ColumnId,
    row::Marker,
    time::{Seconds, Timestamp},
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
}

impl<'a> CellView<'a> {
    pub(super) fn of(cell: &'a Cell) -> Self {
        Self {
            column: cell.column,
            path: cell.path.as_deref(),
            timestamp: cell.timestamp,
            value: cell.value.as_ref(),
        }
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

    pub(super) fn content_len(&self) -> usize {
        let value = match self.value {
            ValueRef::Live { value, .. } => value.len(),
            ValueRef::Tombstone(_) => 0,
        };
        value + self.path.map_or(0, <[u8]>::len)
    }
}

/// What a cell leaves out if it is as it was before in the row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Before {
    column: u32,
    /// Of the cell before; of the first, the marker's.
    timestamp: Option<Timestamp>,
    /// Of the last cell before that expires; else the marker's.
    expiry: Option<Expiry>,
}

impl Before {
    fn new(marker: Option<Marker>) -> Self {
        Self {
            column: 0,
            timestamp: marker.map(|marker| marker.timestamp),
            expiry: marker.and_then(|marker| marker.expiry),
        }
    }

    /// Takes a cell of the present layout, which says nothing that it could have left out.
    #[inline]
    fn take<'a>(&mut self, input: &mut Input<'a>) -> Result<CellView<'a>, DecodeError> {
        let head = input.byte()?;
        let mut step = u32::from(head >> 4);
        if step == layout::FAR_COLUMN.into() {
            step = input
                .number::<u32>()?
                .checked_add(step)
                .ok_or(DecodeError::Number)?;
        }
        self.column = self.column.checked_add(step).ok_or(DecodeError::Number)?;
        let path = if head & layout::PATH != 0 {
            Some(input.bytes()?)
        } else {
            None
        };
        if head & layout::STAMP != 0 {
            let timestamp = Some(input.stamp()?);
            if timestamp == self.timestamp {
                return Err(DecodeError::NotCanonical);
            }
            self.timestamp = timestamp;
        }
        let value = match head & layout::EXPIRES_ALIKE {
            layout::TOMBSTONE => ValueRef::Tombstone(input.seconds()?),
            0 => ValueRef::Live {
                value: input.bytes()?,
                expiry: None,
            },
            expires => {
                if expires == layout::CELL_EXPIRES {
                    let expiry = Some(input.expiry()?);
                    if expiry == self.expiry {
                        return Err(DecodeError::NotCanonical);
                    }
                    self.expiry = expiry;
                }
                ValueRef::Live {
                    expiry: Some(self.expiry.ok_or(DecodeError::NotCanonical)?),
                    value: input.bytes()?,
                }
            }
        };
        Ok(CellView {
            column: ColumnId(self.column),
            path,
            timestamp: self.timestamp.ok_or(DecodeError::NotCanonical)?,
            value,
        })
    }
}

/// The cells of a [`RowView`](super::RowView).
#[derive(Debug, Clone, Default)]
pub struct Cells<'a> {
    left: usize,
    input: Input<'a>,
    /// `None`: the layout is the one before.
    before: Option<Before>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(count: usize, input: Input<'a>, marker: Option<Marker>, present: bool) -> Self {
        Self {
            left: count,
            input,
            before: present.then(|| Before::new(marker)),
        }
    }

    /// What follows those that were taken.
    pub(super) fn rest(&self) -> Input<'a> {
        self.input
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<CellView<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let cell = match &mut self.before {
            Some(before) => before.take(&mut self.input),
            None => older::cell(&mut self.input),
        };
        if cell.is_err() {
            self.left = 0;
        }
        Some(cell)
    }
}

/// Writes the cells of a row, in their order, behind [`Writer::row_head`].
#[derive(Debug, Clone)]
pub struct CellWriter {
    before: Before,
}

impl CellWriter {
    /// For a row with this marker.
    pub fn new(marker: Option<Marker>) -> Self {
        Self {
            before: Before::new(marker),
        }
    }

    /// Writes the next cell.
    ///
    /// # Panics
    ///
    /// In builds with debug assertions, if its column is smaller than that of the cell before.
    #[inline]
    pub fn put(&mut self, out: &mut Writer, cell: &CellView<'_>) {
        let before = &mut self.before;
        debug_assert!(cell.column.0 >= before.column);
        let step = cell.column.0.wrapping_sub(before.column);
        let near = step.min(layout::FAR_COLUMN.into());
        let same = before.timestamp == Some(cell.timestamp);
        let life = match cell.value {
            ValueRef::Tombstone(_) => layout::TOMBSTONE,
            ValueRef::Live { expiry: None, .. } => 0,
            ValueRef::Live { expiry, .. } if expiry == before.expiry => layout::EXPIRES_ALIKE,
            ValueRef::Live { .. } => layout::CELL_EXPIRES,
        };
        let path = if cell.path.is_some() { layout::PATH } else { 0 };
        let stamp = if same { 0 } else { layout::STAMP };
        out.byte(life | path | stamp | (near as u8) << 4);
        if near == layout::FAR_COLUMN.into() {
            out.varint((step - near).into());
        }
        if let Some(path) = cell.path {
            out.bytes(path);
        }
        if !same {
            out.stamp(cell.timestamp);
        }
        match cell.value {
            ValueRef::Tombstone(at) => out.varint(at.0.into()),
            ValueRef::Live { value, expiry } => {
                if let Some(expiry) = expiry.filter(|_| life == layout::CELL_EXPIRES) {
                    out.expiry(expiry);
                    before.expiry = Some(expiry);
                }
                out.bytes(value);
            }
        }
        before.column = cell.column.0;
        before.timestamp = Some(cell.timestamp);
    }
}
