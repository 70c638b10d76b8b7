//! A page as it is put together: encoded partitions, one behind the other in one buffer.

use starling_model::{
    Clustering, DecodeError, Deletion, EncodedPage, Limits, PageWriter, Position, RangeTombstone,
    RangeTombstones, encoding::Writer,
};

use super::name::Name;

/// Memory that a page begins with, in bytes, at most, and as much for each row that is asked for.
const MOST_BYTES: usize = 64 << 10;
const ROW_BYTES: usize = 192;

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    page: PageWriter,
    /// Rows of the partition that is being read, encoded with their clusterings.
    rows: Writer,
    /// Where each of them begins.
    starts: Vec<usize>,
    /// Of a partition whose rows go into the page at once: where their number stands.
    count: usize,
    pub(super) next: Option<Position>,
}

/// What of a partition is not its rows.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) deletion: Option<Deletion>,
    /// Encoded.
    pub(super) static_row: Option<Vec<u8>>,
    /// Of each slice, in the order of the read.
    pub(super) ranges: Vec<Vec<RangeTombstone>>,
}

impl Assembly {
    /// Makes room for as many rows as are wanted, within reason.
    pub(super) fn expect(&mut self, limits: &Limits) {
        let rows = (limits.rows as usize).saturating_mul(ROW_BYTES);
        self.page.reserve(rows.min(limits.bytes as usize).min(MOST_BYTES));
    }

    /// Adds a row to the partition that is being read.
    pub(super) fn row(&mut self, clustering: &[u8], row: &[u8]) -> Result<(), DecodeError> {
        self.starts.push(self.rows.as_slice().len());
        self.rows.bytes(clustering);
        self.rows.encoded_row(row)
    }

    /// Completes the partition that is being read. One with nothing in it is left out.
    pub(super) fn partition(&mut self, name: &Name, frame: Frame, reversed: bool, cut: Option<&Clustering>) {
        let mut ranges = RangeTombstones::default();
        if !frame.ranges.is_empty() {
            // Ascending, so that each is added at the end of the list.
            let mut all: Vec<RangeTombstone> = frame.ranges.into_iter().flatten().collect();
            all.sort_by(|a, b| a.range.start.cmp(&b.range.start));
            ranges = all.into_iter().collect();
        }
        let nothing = frame.deletion.is_none() && frame.static_row.is_none() && ranges.is_empty();
        if nothing && self.starts.is_empty() {
            return;
        }
        self.page.begin(name.token(), &name.key);
        let out = self.page.content();
        out.partition_head(
            frame.deletion,
            frame.static_row.as_deref(),
            &ranges,
            self.starts.len(),
        );
        let rows = self.rows.as_slice();
        if reversed {
            let mut end = rows.len();
            for start in self.starts.iter().rev() {
                out.fixed(&rows[*start..end]);
                end = *start;
            }
        } else {
            out.fixed(rows);
        }
        self.page.end(cut);
        self.rows.clear();
        self.starts.clear();
    }

    /// Begins a partition that has rows only, and comes first row first: they go into the page at once.
    #[inline]
    pub(super) fn begin_rows(&mut self, name: &Name) {
        self.page.begin(name.token(), &name.key);
        let out = self.page.content();
        // No deletion, no static row, no range tombstones; one row, until more are known of.
        out.fixed(&[0, 0, 1]);
        self.count = out.as_slice().len() - 1;
    }

    /// The next row of it.
    #[inline]
    pub(super) fn next_row(&mut self, clustering: &[u8], row: &[u8]) -> Result<(), DecodeError> {
        let out = self.page.content();
        out.bytes(clustering);
        out.encoded_row(row)
    }

    /// Completes it.
    #[inline]
    pub(super) fn end_rows(&mut self, rows: usize, cut: Option<&Clustering>) {
        if rows != 1 {
            let mut count = Writer::default();
            count.varint(rows as u64);
            self.page
                .content()
                .replace(self.count..self.count + 1, count.as_slice());
        }
        self.page.end(cut);
    }

    /// The page.
    pub(super) fn finish(self) -> EncodedPage {
        self.page.finish(self.next)
    }
}
