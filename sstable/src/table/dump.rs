//! A table as text, for people and for tests that show what a table holds.

use std::{fmt::Write, sync::Arc};

use starling_model::{CellValue, Deletion, Expiry, Row};

use super::{
    Properties, Table, entry,
    key::{self, Kind},
};
use crate::Error;

/// Every entry of a table, one a line, after its properties. Checks every block on the way.
///
/// Keys and values are shown as text where they are printable, else in hexadecimal.
pub fn dump(table: &Arc<Table>) -> Result<String, Error> {
    let mut out = String::new();
    stats(&mut out, table.properties());
    let mut partition = Vec::new();
    let mut cursor = table.cursor();
    let mut more = cursor.first()?;
    while more {
        let (Some(key), Some(value)) = (cursor.key(), cursor.value()) else {
            break;
        };
        let parts = key::parts(key).ok_or_else(|| cursor.malformed("malformed key"))?;
        if parts.prefix != partition {
            partition.clear();
            partition.extend_from_slice(parts.prefix);
            let key = key::partition_key(parts.prefix).ok_or_else(|| cursor.malformed("malformed key"))?;
            let _ = writeln!(out, "partition {} token {}", text(&key.key), key.token);
        }
        let bad = |error: starling_model::DecodeError| cursor.malformed(error.to_string());
        match parts.kind {
            Kind::Partition => {
                let head = entry::head(value).map_err(bad)?;
                let ranges = if head.ranges { " ranges" } else { "" };
                let deletion = head.deletion.map(deletion).unwrap_or_default();
                let _ = writeln!(out, "  head{ranges}{deletion}");
            }
            Kind::Static => {
                let _ = writeln!(out, "  static{}", row(&entry::row(value).map_err(bad)?));
            }
            Kind::Range => {
                let tombstone = entry::range(parts.clustering, value).map_err(bad)?;
                let end = tombstone.range.end.as_deref().map_or("end".to_owned(), text);
                let _ = writeln!(
                    out,
                    "  range {} to {end}{}",
                    text(parts.clustering),
                    deletion(tombstone.deletion)
                );
            }
            Kind::Row => {
                let row = row(&entry::row(value).map_err(bad)?);
                let _ = writeln!(out, "  row {}{row}", text(parts.clustering));
            }
        }
        more = cursor.next()?;
    }
    Ok(out)
}

/// What is known of a table without reading it, a few things a line.
fn stats(out: &mut String, properties: &Properties) {
    let _ = writeln!(
        out,
        "partitions {} rows {} static {} cells {} bytes {} newest-write {}",
        properties.partitions,
        properties.rows,
        properties.static_rows,
        properties.cells,
        properties.raw_bytes,
        properties.last
    );
    let _ = writeln!(
        out,
        "deleted: partitions {} ranges {} rows {} cells {}; expiring {} for-ever {}",
        properties.partition_deletions,
        properties.range_tombstones,
        properties.row_deletions,
        properties.cell_tombstones,
        properties.expiring,
        properties.immortal
    );
    if let Some((smallest, largest)) = properties.timestamps {
        let _ = writeln!(out, "timestamps {smallest} to {largest}");
    }
    if let Some((smallest, largest)) = properties.ages {
        let _ = writeln!(out, "deletions and expiries {} to {}", smallest.0, largest.0);
    }
    if let Some(bounds) = &properties.clusterings {
        let upper = bounds.upper.as_deref().map_or("end".to_owned(), text);
        let _ = writeln!(out, "clusterings {} to {upper}", text(&bounds.lower));
    }
}

fn row(row: &Row) -> String {
    let mut out = String::new();
    if let Some(marker) = row.marker {
        let _ = write!(out, " inserted@{}{}", marker.timestamp, expiry(marker.expiry));
    }
    out.push_str(&row.deletion.map(deletion).unwrap_or_default());
    for cell in &row.cells {
        let _ = write!(out, " {}", cell.column);
        if let Some(path) = &cell.path {
            let _ = write!(out, "[{}]", text(path));
        }
        let _ = match &cell.value {
            CellValue::Live { value, expiry: end } => {
                write!(out, "={}@{}{}", text(value), cell.timestamp, expiry(*end))
            }
            CellValue::Tombstone(at) => write!(out, " deleted@{} at {}", cell.timestamp, at.0),
        };
    }
    out
}

fn deletion(deletion: Deletion) -> String {
    format!(" deleted@{} at {}", deletion.timestamp, deletion.at.0)
}

fn expiry(expiry: Option<Expiry>) -> String {
    expiry.map_or(String::new(), |expiry| {
        format!(" until {} (ttl {})", expiry.at.0, expiry.ttl)
    })
}

fn text(bytes: &[u8]) -> String {
    if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic) {
        return format!("'{}'", String::from_utf8_lossy(bytes));
    }
    let mut out = "0x".to_owned();
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}
