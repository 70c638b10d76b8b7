//! A table as text, for people and for tests that show what a table holds.

use std::{
    fmt::{self, Write},
    ops::ControlFlow,
    sync::Arc,
};

use starling_model::{CellValue, Clustering, DecoratedKey, Deletion, Expiry, RangeTombstone, Row};

use super::{
    Properties, Table,
    entry::{self, Head},
    key::{self, Kind},
    properties::LargeRows,
};
use crate::Error;

/// An entry of a table, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// What follows is of this partition.
    Partition(DecoratedKey),
    /// Its deletion, and whether it has range tombstones.
    Head(Head),
    /// Its static row.
    Static(Row),
    /// A range tombstone.
    Range(RangeTombstone),
    /// A row, by its clustering.
    Row(Clustering, Row),
}

/// Calls `visit` for every entry of a table until it breaks, partitions before what is in them. Checks every block on
/// the way; one is in memory at a time.
pub fn each(table: &Arc<Table>, visit: &mut dyn FnMut(Shown) -> ControlFlow<()>) -> Result<(), Error> {
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
            if visit(Shown::Partition(key)).is_break() {
                return Ok(());
            }
        }
        let shown = match parts.kind {
            Kind::Partition => entry::head(value).map(Shown::Head),
            Kind::Static => entry::row(value).map(Shown::Static),
            Kind::Range => entry::range(parts.clustering, value).map(Shown::Range),
            Kind::Row => {
                let clustering = Clustering::from(parts.clustering.to_vec());
                entry::row(value).map(|row| Shown::Row(clustering, row))
            }
        };
        let shown = shown.map_err(|error| cursor.malformed(error.to_string()))?;
        if visit(shown).is_break() {
            return Ok(());
        }
        more = cursor.next()?;
    }
    Ok(())
}

/// Every entry of a table, one a line, after its properties. For small tables.
pub fn dump(table: &Arc<Table>) -> Result<String, Error> {
    let mut out = String::new();
    stats(&mut out, table.properties());
    each(table, &mut |entry| {
        let _ = writeln!(out, "{entry}");
        ControlFlow::Continue(())
    })?;
    Ok(out)
}

/// One line. Keys and values are shown as text where they are printable, else in hexadecimal.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition(key) => write!(f, "partition {} token {}", text(&key.key), key.token),
            Self::Head(head) => {
                let ranges = if head.ranges { " ranges" } else { "" };
                write!(
                    f,
                    "  head{ranges}{}",
                    head.deletion.map(deletion).unwrap_or_default()
                )
            }
            Self::Static(content) => write!(f, "  static{}", row(content)),
            Self::Range(tombstone) => {
                let start = text(&tombstone.range.start);
                let end = tombstone.range.end.as_deref().map_or("end".to_owned(), text);
                write!(f, "  range {start} to {end}{}", deletion(tombstone.deletion))
            }
            Self::Row(clustering, content) => write!(f, "  row {}{}", text(&clustering.0), row(content)),
        }
    }
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
    if properties.large_rows != LargeRows::default() {
        let LargeRows { count, largest } = properties.large_rows;
        let _ = writeln!(
            out,
            "rows of 16 MiB and more {count}, the largest {largest} bytes"
        );
    }
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
