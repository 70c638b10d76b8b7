//! Reading every byte of a table, to learn whether it is whole.

use std::{ops::Range, sync::Arc};

use starling_model::{
    DecodeError,
    encoding::{Input, RowView},
};

use super::{
    Cursor, Properties, Table, entry, filter,
    key::{self, Kind},
    properties::{Collector, LargeRows},
};
use crate::Error;

/// What a table that is whole consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Entries of all kinds.
    pub entries: u64,
    /// Data blocks.
    pub blocks: u64,
    /// Stripes.
    pub stripes: u64,
    /// Bytes of the data blocks.
    pub data_bytes: u64,
    /// Bytes of indexes and filters.
    pub stripe_bytes: u64,
}

/// Reads all of a table: every byte belongs to something, every checksum fits, keys are in order and where the
/// index says, every partition is in the filter, every row can be read, the statistics are those of the data.
///
/// # Errors
///
/// [`Error::Corrupt`] for the first thing that is wrong.
pub fn verify(table: &Arc<Table>) -> Result<Verified, Error> {
    let verified = cover(table)?;
    let (entries, mut properties) = entries(table)?;
    // Builds before tables told of them left them out.
    if table.properties().large_rows == LargeRows::default() {
        properties.large_rows = LargeRows::default();
    }
    if properties != *table.properties() {
        let what = "the statistics are not those of the data";
        return Err(Error::corrupt(table.path(), 0, what));
    }
    Ok(Verified { entries, ..verified })
}

/// Sees that the parts of the file lie side by side, with nothing but zeros where stripes are aligned.
fn cover(table: &Arc<Table>) -> Result<Verified, Error> {
    let mut verified = Verified {
        entries: 0,
        blocks: 0,
        stripes: table.stripes() as u64,
        data_bytes: 0,
        stripe_bytes: 0,
    };
    let mut parts: Vec<Range<u64>> = table.frame().collect();
    for stripe in 0..table.stripes() {
        let handle = table.stripe_handle(stripe);
        parts.push(handle.offset..handle.offset + u64::from(handle.length));
        verified.stripe_bytes += u64::from(handle.length);
        let view = table.stripe(stripe)?;
        for block in 0..view.blocks() {
            let range = view.block(block).ok_or_else(|| table.malformed(handle.offset))?;
            verified.data_bytes += range.end - range.start;
            verified.blocks += 1;
            parts.push(range);
        }
    }
    parts.sort_unstable_by_key(|part| part.start);
    let mut end = 0;
    for part in parts {
        if part.start < end || part.end > table.bytes() {
            return Err(Error::corrupt(
                table.path(),
                part.start,
                "parts of the file overlap",
            ));
        }
        if !table.is_zero(end..part.start) {
            return Err(Error::corrupt(table.path(), end, "bytes that belong to nothing"));
        }
        end = part.end;
    }
    Ok(verified)
}

/// Reads all entries; returns how many there are, and their statistics.
fn entries(table: &Arc<Table>) -> Result<(u64, Properties), Error> {
    let mut collector = Collector::new(table.properties().last);
    let mut cursor = table.cursor();
    let mut last: Vec<u8> = Vec::new();
    let mut prefix = Vec::new();
    let (mut count, mut raw_bytes) = (0, 0);
    let mut more = cursor.first()?;
    while more {
        let key = cursor.key().unwrap_or_default();
        let parts = key::parts(key).ok_or_else(|| cursor.malformed("malformed key"))?;
        if key <= &last[..] {
            return Err(cursor.malformed("keys are out of order"));
        }
        if parts.prefix != prefix {
            prefix.clear();
            prefix.extend_from_slice(parts.prefix);
            collector.partition(&prefix);
            if !table.may_hold(&prefix, filter::hash(&prefix))? {
                return Err(cursor.malformed("a partition is missing in the filter"));
            }
        }
        if !cursor.is_where_the_index_leads()? {
            return Err(cursor.malformed("the index does not lead to an entry"));
        }
        let value = cursor.value_bytes();
        check(&cursor, parts.kind, parts.clustering)
            .and_then(|()| collector.entry(parts.kind, parts.clustering, value))
            .map_err(|error| cursor.malformed(error.to_string()))?;
        raw_bytes += (key.len() + value.len()) as u64;
        last.clear();
        last.extend_from_slice(key);
        count += 1;
        more = cursor.next()?;
    }
    Ok((count, collector.finish(raw_bytes)))
}

/// Sees that the value of the entry under the cursor can be read.
fn check(cursor: &Cursor, kind: Kind, clustering: &[u8]) -> Result<(), DecodeError> {
    match kind {
        Kind::Partition => entry::head(cursor.value().unwrap_or_default()).map(|_| ()),
        Kind::Range => entry::range(clustering, cursor.value().unwrap_or_default()).map(|_| ()),
        Kind::Static | Kind::Row => {
            let mut input = Input::new(cursor.value_bytes());
            RowView::take(&mut input)?;
            input.end()
        }
    }
}
