//! Metadata of results and of bind markers (v5 sections 4.2.5.2 and 4.2.5.4).

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{column_type, malformed::Malformed, reader::Reader, version::Version, writer::Writer};
use crate::result::ColumnSpec;

/// Keyspace and table are given once, for all columns.
pub const GLOBAL_TABLES_SPEC: i32 = 0x0001;
/// There is a paging state.
pub const HAS_MORE_PAGES: i32 = 0x0002;
/// The columns are left out.
pub const NO_METADATA: i32 = 0x0004;
/// There is a new result metadata id (v5).
pub const METADATA_CHANGED: i32 = 0x0008;

/// The flag for columns that all are of one table.
pub fn global_flag(columns: &[ColumnSpec]) -> i32 {
    let Some((first, rest)) = columns.split_first() else {
        return 0;
    };
    let same = rest
        .iter()
        .all(|column| column.keyspace == first.keyspace && column.table == first.table);
    if same { GLOBAL_TABLES_SPEC } else { 0 }
}

/// Writes the columns, in the form that `flags` says.
pub fn write_columns(out: &mut Writer<'_>, version: Version, flags: i32, columns: &[ColumnSpec]) {
    let global = flags & GLOBAL_TABLES_SPEC != 0;
    if let (true, Some(first)) = (global, columns.first()) {
        out.string(&first.keyspace);
        out.string(&first.table);
    }
    for column in columns {
        if !global {
            out.string(&column.keyspace);
            out.string(&column.table);
        }
        out.string(&column.name);
        column_type::write(out, version, &column.cql_type);
    }
}

/// Reads `count` columns in the form that `flags` says.
pub fn read_columns(input: &mut Reader, flags: i32, count: usize) -> Result<Vec<ColumnSpec>, Malformed> {
    let global = if flags & GLOBAL_TABLES_SPEC != 0 {
        Some((input.string()?, input.string()?))
    } else {
        None
    };
    // A column takes at least its name's length and a type.
    let mut columns = Vec::with_capacity(count.min(input.remaining() / 4));
    for _ in 0..count {
        let (keyspace, table) = match &global {
            Some((keyspace, table)) => (keyspace.clone(), table.clone()),
            None => (input.string()?, input.string()?),
        };
        let name = input.string()?;
        let cql_type = column_type::read(input)?;
        columns.push(ColumnSpec {
            keyspace,
            table,
            name,
            cql_type,
        });
    }
    Ok(columns)
}

/// Names the columns of a result (v5's result metadata id): 16 bytes that are equal if, and but for
/// hash collisions only if, the columns are.
pub fn metadata_id(columns: &[ColumnSpec]) -> Bytes {
    let mut hasher = Xxh3::new();
    let mut scratch = Vec::with_capacity(64);
    for column in columns {
        scratch.clear();
        let mut out = Writer::new(&mut scratch);
        for text in [&column.keyspace, &column.table, &column.name] {
            out.long_string(text);
        }
        column_type::write(&mut out, Version::HIGHEST, &column.cql_type);
        hasher.update(&scratch);
    }
    Bytes::copy_from_slice(&hasher.digest128().to_be_bytes())
}
