//! RESULT of kind Prepared (v5 section 4.2.5.4).

use super::{
    malformed::Malformed,
    metadata::{
        GLOBAL_TABLES_SPEC, HAS_MORE_PAGES, METADATA_CHANGED, NO_METADATA, global_flag, metadata_id,
        read_columns, write_columns,
    },
    reader::Reader,
    version::Version,
    writer::Writer,
};
use crate::result::PreparedMetadata;

pub(super) fn write(out: &mut Writer<'_>, version: Version, prepared: &PreparedMetadata) {
    out.short_bytes(&prepared.id);
    if version >= Version::V5 {
        out.short_bytes(&prepared.result_id);
    }
    let flags = global_flag(&prepared.markers);
    out.int(flags);
    out.count(prepared.markers.len(), "a list of bind markers");
    out.count(prepared.partition_key.len(), "a partition key");
    for &marker in &prepared.partition_key {
        out.short(marker);
    }
    write_columns(out, version, flags, &prepared.markers);
    if prepared.columns.is_empty() {
        out.int(NO_METADATA);
        out.int(0);
    } else {
        let flags = global_flag(&prepared.columns);
        out.int(flags);
        out.count(prepared.columns.len(), "a list of columns");
        write_columns(out, version, flags, &prepared.columns);
    }
}

/// Reads what [`write`] wrote. v4 has no result id: it is computed from the columns.
pub(super) fn read(input: &mut Reader, version: Version) -> Result<PreparedMetadata, Malformed> {
    let id = input.short_bytes()?;
    let result_id = if version >= Version::V5 {
        Some(input.short_bytes()?)
    } else {
        None
    };
    let flags = read_flags(input, GLOBAL_TABLES_SPEC)?;
    let count = input.count("a list of bind markers")?;
    let keys = input.count("a partition key")?;
    let mut partition_key = Vec::with_capacity(keys.min(input.remaining() / 2));
    for _ in 0..keys {
        partition_key.push(input.short()?);
    }
    let markers = read_columns(input, flags, count)?;
    let flags = read_flags(input, GLOBAL_TABLES_SPEC | NO_METADATA)?;
    let count = input.count("a list of columns")?;
    let columns = if flags & NO_METADATA != 0 {
        Vec::new()
    } else {
        read_columns(input, flags, count)?
    };
    let result_id = result_id.unwrap_or_else(|| metadata_id(&columns));
    Ok(PreparedMetadata {
        id,
        result_id,
        markers,
        partition_key,
        columns,
    })
}

fn read_flags(input: &mut Reader, allowed: i32) -> Result<i32, Malformed> {
    let flags = input.int()?;
    if flags & (HAS_MORE_PAGES | METADATA_CHANGED | NO_METADATA) & !allowed != 0 {
        return Err(Malformed::Unknown {
            what: "set of metadata flags",
            code: flags as u32,
        });
    }
    Ok(flags)
}
