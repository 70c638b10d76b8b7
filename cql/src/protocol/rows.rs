//! RESULT of kind Rows (v5 section 4.2.5.2).

use bytes::Bytes;

use super::{
    malformed::Malformed,
    metadata::{
        GLOBAL_TABLES_SPEC, HAS_MORE_PAGES, METADATA_CHANGED, NO_METADATA, global_flag, read_columns,
        write_columns,
    },
    reader::Reader,
    response::RowsBody,
    version::Version,
    writer::Writer,
};
use crate::{request::Value, result::Rows};

pub(super) fn write(out: &mut Writer<'_>, version: Version, body: &RowsBody) {
    let rows = &body.rows;
    let changed = body.new_metadata_id.as_ref().filter(|_| version >= Version::V5);
    // New metadata is of no use without the columns.
    let skip = body.skip_metadata && changed.is_none();
    let mut flags = if skip {
        NO_METADATA
    } else {
        global_flag(&rows.columns)
    };
    if rows.paging_state.is_some() {
        flags |= HAS_MORE_PAGES;
    }
    if changed.is_some() {
        flags |= METADATA_CHANGED;
    }
    out.int(flags);
    out.count(rows.columns.len(), "a list of columns");
    if rows.paging_state.is_some() {
        out.bytes(&rows.paging_state);
    }
    if let Some(id) = changed {
        out.short_bytes(id);
    }
    if !skip {
        write_columns(out, version, flags, &rows.columns);
    }
    out.count(rows.rows.len(), "a page of rows");
    for row in &rows.rows {
        for value in row {
            out.bytes(value);
        }
    }
}

/// Reads what [`write`] wrote. With the metadata left out the columns are empty; a reader knows their
/// number from the metadata that it has.
pub(super) fn read(input: &mut Reader, version: Version) -> Result<RowsBody, Malformed> {
    let flags = input.int()?;
    let width = input.count("a list of columns")?;
    let paging_state = if flags & HAS_MORE_PAGES != 0 {
        input.bytes()?
    } else {
        None
    };
    let changed = flags & METADATA_CHANGED != 0 && version >= Version::V5;
    let new_metadata_id: Option<Bytes> = if changed { Some(input.short_bytes()?) } else { None };
    let skip_metadata = flags & NO_METADATA != 0;
    let columns = if skip_metadata {
        Vec::new()
    } else {
        read_columns(input, flags & GLOBAL_TABLES_SPEC, width)?
    };
    let rows = read_rows(input, width)?;
    Ok(RowsBody {
        rows: Rows {
            columns: columns.into(),
            rows,
            paging_state,
        },
        skip_metadata,
        new_metadata_id,
    })
}

fn read_rows(input: &mut Reader, width: usize) -> Result<Vec<Vec<Value>>, Malformed> {
    let count = input.count("a page of rows")?;
    // A value takes at least its length, so that neither number can lie about what is there.
    let fits = width
        .checked_mul(4)
        .and_then(|row| row.checked_mul(count))
        .is_some_and(|bytes| bytes <= input.remaining());
    if !fits || (width == 0 && count > 0) {
        return Err(Malformed::Truncated("a page of rows"));
    }
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let mut row = Vec::with_capacity(width);
        for _ in 0..width {
            row.push(input.bytes()?);
        }
        rows.push(row);
    }
    Ok(rows)
}
