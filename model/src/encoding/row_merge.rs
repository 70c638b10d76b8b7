//! The merge law on rows as they are encoded.

use std::cmp::Ordering;

use super::{CellView, CellWriter, Cells, DecodeError, RowView, Writer};
use crate::{row::Marker, time::Deletion};

/// Merges encoded rows without decoding them. Keeps its memory between merges.
///
/// Contract: [`merge`](Self::merge) gives the encoding of what [`Row::merge`](crate::Row::merge) of the decoded
/// rows, and then [`Row::cover`](crate::Row::cover), give.
#[derive(Debug, Default)]
pub struct RowMerger {
    cells: Vec<u8>,
    result: Vec<u8>,
    /// What was merged so far, while there is more to come.
    so_far: Vec<u8>,
}

impl RowMerger {
    /// The encoding of the merge of `rows`, which are states of one row, under `cover`, a deletion made outside
    /// of it. `None` if nothing is left.
    pub fn merge(&mut self, rows: &[&[u8]], cover: Option<Deletion>) -> Result<Option<&[u8]>, DecodeError> {
        let Some((first, others)) = rows.split_first() else {
            return Ok(None);
        };
        let Some((second, others)) = others.split_first() else {
            let left = self.pair(RowView::new(first)?, None, cover)?;
            return Ok(left.then_some(&self.result[..]));
        };
        let mut left = self.pair(RowView::new(first)?, Some(RowView::new(second)?), cover)?;
        for other in others {
            std::mem::swap(&mut self.result, &mut self.so_far);
            let so_far = std::mem::take(&mut self.so_far);
            let merged = self.pair(RowView::new(&so_far)?, Some(RowView::new(other)?), cover);
            self.so_far = so_far;
            left = merged?;
        }
        Ok(left.then_some(&self.result[..]))
    }

    /// The result of the last merge, if it left anything.
    pub fn merged(&self) -> &[u8] {
        &self.result
    }

    /// The result of the last merge, with its memory. Buffers that were made for a large row are given up, too.
    pub fn take(&mut self) -> Vec<u8> {
        const KEPT_BYTES: usize = 64 << 10;
        for buffer in [&mut self.cells, &mut self.so_far] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        std::mem::take(&mut self.result)
    }

    /// Merges one or two rows into `result`; whether anything is left.
    fn pair(
        &mut self,
        a: RowView<'_>,
        b: Option<RowView<'_>>,
        cover: Option<Deletion>,
    ) -> Result<bool, DecodeError> {
        let deletion = Deletion::strongest(a.deletion, b.and_then(|b| b.deletion));
        let gone = Deletion::strongest(deletion, cover);
        let marker = strongest(a.marker, b.and_then(|b| b.marker))
            .filter(|marker| gone.is_none_or(|gone| !gone.covers(marker.timestamp)));
        let deletion = deletion.filter(|deletion| cover.is_none_or(|cover| *deletion > cover));
        let mut cells = Writer::over(std::mem::take(&mut self.cells));
        let mut put = CellWriter::new(marker);
        let mut count = 0_u64;
        let mut column: Option<CellView<'_>> = None;
        for cell in Both::new(a.cells(), b.map(|b| b.cells()))? {
            let cell = cell?;
            if gone.is_some_and(|gone| gone.covers(cell.timestamp))
                || column.is_some_and(|column| column.shadows(&cell))
            {
                continue;
            }
            if cell.path.is_none() {
                column = Some(cell);
            }
            count += 1;
            put.put(&mut cells, &cell);
        }
        self.cells = cells.into_vec();
        let mut out = Writer::over(std::mem::take(&mut self.result));
        out.row_head(marker, deletion, count);
        out.fixed(&self.cells);
        self.result = out.into_vec();
        Ok(marker.is_some() || deletion.is_some() || count > 0)
    }
}

fn strongest(a: Option<Marker>, b: Option<Marker>) -> Option<Marker> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.precedence(&b).is_lt() { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The cells of two rows in order; where both have a cell the one with precedence.
struct Both<'a> {
    left: Cells<'a>,
    right: Cells<'a>,
    next_left: Option<CellView<'a>>,
    next_right: Option<CellView<'a>>,
}

impl<'a> Both<'a> {
    fn new(mut left: Cells<'a>, right: Option<Cells<'a>>) -> Result<Self, DecodeError> {
        let mut right = right.unwrap_or_default();
        Ok(Self {
            next_left: left.next().transpose()?,
            next_right: right.next().transpose()?,
            left,
            right,
        })
    }

    fn take(&mut self) -> Result<Option<CellView<'a>>, DecodeError> {
        let order = match (&self.next_left, &self.next_right) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.order(b),
        };
        let (left, right) = (self.next_left, self.next_right);
        if order.is_le() {
            self.next_left = self.left.next().transpose()?;
        }
        if order.is_ge() {
            self.next_right = self.right.next().transpose()?;
        }
        Ok(match order {
            Ordering::Less => left,
            Ordering::Greater => right,
            Ordering::Equal => stronger(left, right),
        })
    }
}

/// Of two cells of one place, the one that stays.
fn stronger<'a>(a: Option<CellView<'a>>, b: Option<CellView<'a>>) -> Option<CellView<'a>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.precedence(&b).is_ge() { a } else { b }),
        (a, b) => a.or(b),
    }
}

impl<'a> Iterator for Both<'a> {
    type Item = Result<CellView<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take().transpose()
    }
}
