//! What a write has to know of its rows before it: a list's elements are addressed by their places in
//! storage, so an index or a value has to be looked up. Like in Cassandra, another write may come between.

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, DecoratedKey, KeyRange, Limits, Page, Partition, Position, ReadCommand, Row,
    Seconds, TableId,
};

use super::{Operation, Shape, WritePlan};
use crate::{
    error::Error,
    plan::{Context, bind::BoundValues, restrictions::Partitions},
    value,
};

/// The rows that the reads of a write returned.
#[derive(Debug, Default)]
pub struct Present {
    partitions: Vec<(TableId, DecoratedKey, Partition)>,
}

impl Present {
    /// Takes the page that answers a read of `table`; where that read has to go on, if the page is not all.
    pub fn take(&mut self, table: TableId, page: Page) -> Option<Position> {
        let pages = page.partitions.into_iter();
        self.partitions
            .extend(pages.map(|page| (table, page.key, page.partition)));
        page.next
    }

    /// Adds what other reads returned.
    pub fn join(&mut self, other: Self) {
        self.partitions.extend(other.partitions);
    }

    /// A row, or without `clustering` the static row.
    pub(super) fn row(
        &self,
        table: TableId,
        key: &DecoratedKey,
        clustering: Option<&Clustering>,
    ) -> Option<&Row> {
        let mut parts = self
            .partitions
            .iter()
            .filter(|(of, found, _)| *of == table && found == key);
        parts.find_map(|(_, _, partition)| match clustering {
            Some(clustering) => partition.rows.get(clustering),
            None => Some(&partition.static_row),
        })
    }
}

/// The reads that have to come before the write: one for each partition, none for most statements.
pub(super) fn reads(
    plan: &WritePlan,
    values: &BoundValues,
    context: &mut Context<'_>,
) -> Result<Vec<ReadCommand>, Error> {
    if !plan.needs_reads() {
        return Ok(Vec::new());
    }
    plan.restrictions.check_combinations(values, context)?;
    let Partitions::Keys(keys) = plan.restrictions.partition.partitions(values, context)? else {
        return Err(Error::invalid("a write names its partitions"));
    };
    let slices = match plan.shape {
        Shape::Static => Vec::new(),
        _ => plan
            .restrictions
            .clustering
            .ranges(plan.table.clustering(), values, context)?,
    };
    Ok(keys
        .into_iter()
        .map(|key| ReadCommand {
            table: plan.table.id,
            keys: KeyRange::Partition(key),
            slices: slices.clone(),
            reversed: false,
            after: None,
            limits: Limits::NONE,
            now: context.now,
        })
        .collect())
}

/// A list as it was read: the place of each element, and its value.
pub(super) struct PresentList<'a>(Vec<(&'a Bytes, &'a Bytes)>);

impl<'a> PresentList<'a> {
    pub(super) fn new(row: Option<&'a Row>, operation: &Operation, now: Seconds) -> Self {
        let cells = row.map(|row| row.cells.as_slice()).unwrap_or_default();
        let place = |cell: &'a Cell| match (&cell.path, &cell.value) {
            (Some(path), CellValue::Live { value, .. })
                if cell.column == operation.column.id && cell.is_live(now) =>
            {
                Some((path, value))
            }
            _ => None,
        };
        Self(cells.iter().filter_map(place).collect())
    }

    /// The place of the element at an index.
    pub(super) fn place(&self, index: &[u8], what: &str) -> Result<Bytes, Error> {
        let index = value::int(index).ok_or_else(|| Error::invalid("a list index has 4 bytes"))?;
        if self.0.is_empty() {
            return Err(Error::invalid(format!(
                "Attempted to {what} an element {} a list which is null; nothing was changed",
                if what == "set" { "on" } else { "from" }
            )));
        }
        usize::try_from(index)
            .ok()
            .and_then(|at| self.0.get(at))
            .map(|(place, _)| (*place).clone())
            .ok_or_else(|| {
                Error::invalid(format!(
                    "List index {index} out of bound, list has size {}; nothing was changed",
                    self.0.len()
                ))
            })
    }

    /// The places of all elements that equal one of `values`.
    pub(super) fn places_of(&self, values: &[Bytes]) -> Vec<Bytes> {
        let matching = self.0.iter().filter(|(_, value)| values.contains(value));
        matching.map(|(place, _)| (*place).clone()).collect()
    }
}
