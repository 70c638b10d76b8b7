//! A page as it is put together: encoded partitions, one behind the other in one buffer.

use bytes::Bytes;
use starling_model::{
    Clustering, DecoratedKey, Deletion, EncodedPage, EncodedPartition, Position, RangeTombstone,
    RangeTombstones, encoding::Writer,
};

use super::name::Name;

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    buffer: Vec<u8>,
    partitions: Vec<Placed>,
    /// Rows of the partition that is being read, encoded with their clusterings.
    rows: Vec<u8>,
    /// Where each of them begins.
    starts: Vec<usize>,
    pub(super) next: Option<Position>,
}

/// A complete partition in the buffer: its key to `content`, its content to `end`.
#[derive(Debug)]
struct Placed {
    token: starling_model::Token,
    content: usize,
    end: usize,
    cut: Option<Clustering>,
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
    /// Adds a row to the partition that is being read.
    pub(super) fn row(&mut self, clustering: &[u8], row: &[u8]) {
        self.starts.push(self.rows.len());
        let mut out = Writer::behind(std::mem::take(&mut self.rows));
        out.bytes(clustering);
        out.fixed(row);
        self.rows = out.into_vec();
    }

    /// Completes the partition that is being read. One with nothing in it is left out.
    pub(super) fn partition(&mut self, name: &Name, frame: Frame, reversed: bool, cut: Option<Clustering>) {
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
        self.buffer.extend_from_slice(&name.key);
        let content = self.buffer.len();
        let mut out = Writer::behind(std::mem::take(&mut self.buffer));
        out.partition_head(
            frame.deletion,
            frame.static_row.as_deref(),
            &ranges,
            self.starts.len(),
        );
        if reversed {
            let mut end = self.rows.len();
            for start in self.starts.iter().rev() {
                out.fixed(&self.rows[*start..end]);
                end = *start;
            }
        } else {
            out.fixed(&self.rows);
        }
        self.buffer = out.into_vec();
        self.rows.clear();
        self.starts.clear();
        self.partitions.push(Placed {
            token: name.token(),
            content,
            end: self.buffer.len(),
            cut,
        });
    }

    /// The page.
    pub(super) fn finish(self) -> EncodedPage {
        let buffer = Bytes::from(self.buffer);
        let mut start = 0;
        let partitions = self.partitions.into_iter().map(|placed| {
            let key = buffer.slice(start..placed.content);
            start = placed.end;
            EncodedPartition {
                key: DecoratedKey {
                    token: placed.token,
                    key,
                },
                partition: buffer.slice(placed.content..placed.end),
                cut: placed.cut,
            }
        });
        EncodedPage {
            partitions: partitions.collect(),
            next: self.next,
        }
    }
}
