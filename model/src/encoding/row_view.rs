//! Rows as they are encoded, looked at in place.

use bytes::Bytes;

use super::{CellView, Cells, DecodeError, Input, older, row_layout as layout};
use crate::{
    cell::{Cell, CellValue, Expiry, ValueRef},
    row::{Marker, Row},
    time::{Deletion, Seconds, Timestamp},
};

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
    /// Whether its layout is the present one.
    present: bool,
}

impl<'a> RowView<'a> {
    /// Looks at one encoded row, to the end of `bytes`. Of its cells nothing is checked yet.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::begin(&mut Input::new(bytes))
    }

    #[inline]
    fn begin(input: &mut Input<'a>) -> Result<Self, DecodeError> {
        let flags = input.byte()?;
        let present = flags & layout::PRESENT != 0;
        let (marker, deletion, count) = if present {
            head(flags, input)?
        } else {
            older::head(flags, input)?
        };
        Ok(Self {
            marker,
            deletion,
            count,
            cells: input.rest(),
            present,
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
        let mut cells = row.cells();
        for cell in cells.by_ref() {
            let cell = cell?;
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
        *input = cells.rest();
        row.cells = &row.cells[..row.cells.len() - input.rest().len()];
        Ok(row)
    }

    /// The row, decoded. What it holds are slices of `whole`, which this is a view into.
    pub(super) fn to_row(self, whole: &Bytes) -> Result<Row, DecodeError> {
        let mut cells = Vec::with_capacity(self.count.min(1024));
        for cell in self.cells() {
            let cell = cell?;
            cells.push(Cell {
                column: cell.column,
                path: cell.path.map(|path| whole.slice_ref(path)),
                timestamp: cell.timestamp,
                value: match cell.value {
                    ValueRef::Tombstone(at) => CellValue::Tombstone(at),
                    ValueRef::Live { value, expiry } => CellValue::Live {
                        value: whole.slice_ref(value),
                        expiry,
                    },
                },
            });
        }
        Ok(Row {
            marker: self.marker,
            deletion: self.deletion,
            cells,
        })
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.marker.is_none() && self.deletion.is_none() && self.count == 0
    }

    /// The cells, in order. After an error there are no more.
    pub fn cells(&self) -> Cells<'a> {
        Cells::new(self.count, Input::new(self.cells), self.marker, self.present)
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

/// What stands before the cells of the present layout, behind the flags; and how many cells follow.
#[inline]
fn head(flags: u8, input: &mut Input<'_>) -> Result<(Option<Marker>, Option<Deletion>, usize), DecodeError> {
    let marker = older::marker(flags, input, Input::stamp)?;
    let deletion = if flags & layout::DELETION != 0 {
        Some(Deletion {
            timestamp: input.stamp()?,
            at: input.seconds()?,
        })
    } else {
        None
    };
    let mut count = usize::from(flags >> 4);
    if count == layout::MANY.into() {
        count += input.count()?;
    }
    // Each cell takes a byte at least.
    if count > input.rest().len() {
        return Err(DecodeError::Truncated);
    }
    Ok((marker, deletion, count))
}
