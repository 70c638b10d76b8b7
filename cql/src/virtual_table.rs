//! Tables that are computed when they are read: their rows as a page, so that they go the way of all reads.

use std::collections::BTreeMap;

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, DecoratedKey, KeyRange, Marker, Page, Partition, PartitionPage, ReadCommand,
    Row, Timestamp, Token,
};

use crate::{
    error::Error,
    ordered_key, partition_key,
    request::Value,
    schema::{Column, ColumnKind, Table},
    value::{self, Collection},
};

/// Answers a read of `rows`: for each row its columns by name with their values. Columns that are left
/// out, and names that are no columns, count for nothing; a row without its whole primary key is left out.
///
/// All rows come in one page: virtual tables are small. `limits` are the reader's to keep.
pub fn page(
    table: &Table,
    rows: Vec<Vec<(&str, Value)>>,
    command: &ReadCommand,
    token: &dyn Fn(&[u8]) -> Token,
) -> Result<Page, Error> {
    let mut partitions: BTreeMap<DecoratedKey, Partition> = BTreeMap::new();
    for row in rows {
        let values: BTreeMap<&str, Bytes> = row
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let Some((key, clustering)) = keys(table, &values, token)? else {
            continue;
        };
        if !wanted(command, &key, &clustering) {
            continue;
        }
        let partition = partitions.entry(key).or_default();
        partition.add_static(cells(table.statics(), &values)?);
        let mut row = cells(table.regulars(), &values)?;
        row.marker = Some(Marker {
            timestamp: Timestamp(0),
            expiry: None,
        });
        partition.add_row(clustering, row);
    }
    let partitions = partitions
        .into_iter()
        .map(|(key, partition)| PartitionPage {
            key,
            partition,
            cut: None,
        })
        .collect();
    Ok(Page {
        partitions,
        next: None,
    })
}

type Keys = (DecoratedKey, Clustering);

fn keys(
    table: &Table,
    values: &BTreeMap<&str, Bytes>,
    token: &dyn Fn(&[u8]) -> Token,
) -> Result<Option<Keys>, Error> {
    let of = |columns: &[Column]| -> Option<Vec<Bytes>> {
        columns
            .iter()
            .map(|column| values.get(column.name.as_str()).cloned())
            .collect()
    };
    let (Some(partition), Some(clustering)) = (of(table.partition_key()), of(table.clustering())) else {
        return Ok(None);
    };
    let key = partition_key::compose(&partition)?;
    let clustering = ordered_key::encode_clustering(table.clustering(), &clustering)?;
    Ok(Some((
        DecoratedKey {
            token: token(&key),
            key,
        },
        clustering,
    )))
}

/// Whether a row is among those that are asked for, and was not returned before.
fn wanted(command: &ReadCommand, key: &DecoratedKey, clustering: &Clustering) -> bool {
    let in_keys = match &command.keys {
        KeyRange::Partition(wanted) => wanted == key,
        KeyRange::Tokens(range) => range.contains(key.token),
    };
    let ahead = command
        .after
        .as_ref()
        .is_none_or(|after| match (&after.clustering, key.cmp(&after.key)) {
            (_, std::cmp::Ordering::Greater) => true,
            (_, std::cmp::Ordering::Less) | (None, _) => false,
            (Some(last), _) => {
                if command.reversed {
                    clustering < last
                } else {
                    clustering > last
                }
            }
        });
    in_keys && ahead && command.slices.iter().any(|slice| slice.contains(&clustering.0))
}

fn cells(columns: &[Column], values: &BTreeMap<&str, Bytes>) -> Result<Row, Error> {
    let mut cells = Vec::new();
    for column in columns {
        debug_assert!(matches!(column.kind, ColumnKind::Static | ColumnKind::Regular));
        let Some(value) = values.get(column.name.as_str()) else {
            continue;
        };
        let mut put = |path: Option<Bytes>, value: Bytes| {
            cells.push(Cell {
                column: column.id,
                path,
                timestamp: Timestamp(0),
                value: CellValue::Live { value, expiry: None },
            });
        };
        if !column.cql_type.is_multi_cell() {
            put(None, value.clone());
            continue;
        }
        let malformed = || {
            Error::server(format!(
                "the value of the virtual column {} is malformed",
                column.name
            ))
        };
        match Collection::of(&column.cql_type) {
            Some(Collection::Set(element)) => {
                for item in value::elements(value).ok_or_else(malformed)? {
                    put(
                        Some(ordered_key::encode_component(element, false, &item)?.into()),
                        Bytes::new(),
                    );
                }
            }
            Some(Collection::Map(key_type, _)) => {
                for (key, value) in value::pairs(value).ok_or_else(malformed)? {
                    put(
                        Some(ordered_key::encode_component(key_type, false, &key)?.into()),
                        value,
                    );
                }
            }
            _ => {
                for (at, item) in value::elements(value)
                    .ok_or_else(malformed)?
                    .into_iter()
                    .enumerate()
                {
                    put(Some(Bytes::copy_from_slice(&(at as u32).to_be_bytes())), item);
                }
            }
        }
    }
    cells.sort_by(Cell::order);
    cells.dedup_by(|later, first| later.order(first).is_eq());
    let mut row = Row::default();
    row.merge(Row {
        cells,
        ..Row::default()
    });
    Ok(row)
}
