//! INSERT, UPDATE, DELETE and BATCH: from statements to mutations.

mod apply;
mod batch;
mod build;
mod cells;
mod present;
mod timing;

use std::sync::Arc;

use starling_model::{Mutation, ReadCommand};

use super::{
    Context,
    bind::{BoundValues, Markers},
    expression::Expression,
    restrictions::{Choice, PartitionPart, Restrictions},
};
use crate::{
    ast::Statement,
    error::Error,
    request::Values,
    result::ColumnSpec,
    schema::{Column, Schema, Table},
};

pub use batch::BatchPlan;
pub use present::Present;

/// An INSERT, UPDATE or DELETE, ready.
#[derive(Debug, Clone)]
pub struct WritePlan {
    table: Arc<Table>,
    markers: Vec<ColumnSpec>,
    restrictions: Restrictions,
    shape: Shape,
    operations: Vec<Operation>,
    timestamp: Option<Expression>,
    ttl: Option<Expression>,
}

/// What of a partition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Columns of rows; with a marker if it is an INSERT.
    Rows { marker: bool },
    /// Static columns only.
    Static,
    /// Whole rows, or ranges of them, are deleted.
    DeleteRanges,
    /// The whole partition is deleted.
    DeletePartition,
}

/// What happens to a column.
#[derive(Debug, Clone)]
struct Operation {
    column: Column,
    change: Operate,
}

#[derive(Debug, Clone)]
enum Operate {
    /// Becomes the value; null deletes it.
    Set(Expression),
    /// Elements are added, to a list at its end.
    Add(Expression),
    /// Elements are added at a list's beginning.
    Prepend(Expression),
    /// Elements of a set, or keys of a map, are removed.
    Remove(Expression),
    /// A map's element becomes the value; null deletes it.
    Put(Expression, Expression),
    /// Is deleted.
    Delete,
    /// An element of a set or a map is deleted.
    DeleteElement(Expression),
    /// A list's element at an index becomes the value; null deletes it.
    PutAt(Expression, Expression),
    /// A list's element at an index is deleted.
    DeleteAt(Expression),
    /// All elements of a list that equal one of these are removed.
    Discard(Expression),
}

impl WritePlan {
    /// Checks a statement that is one of the three.
    pub(super) fn new(
        statement: &Statement,
        schema: &Schema,
        keyspace: Option<&str>,
        markers: &mut Markers,
    ) -> Result<Self, Error> {
        build::build(statement, schema, keyspace, markers)
    }

    pub(super) fn with_markers(self, markers: Vec<ColumnSpec>) -> Self {
        Self { markers, ..self }
    }

    /// The table it writes to.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The bind markers.
    pub fn markers(&self) -> &[ColumnSpec] {
        &self.markers
    }

    /// Which markers are the partition key, in order; empty if a component is not one marker.
    pub fn partition_key_markers(&self) -> Vec<u16> {
        key_markers(&self.restrictions)
    }

    /// Whether something has to be read first: only if elements of a list are named by index or value.
    pub fn needs_reads(&self) -> bool {
        self.operations.iter().any(|operation| {
            matches!(
                operation.change,
                Operate::PutAt(..) | Operate::DeleteAt(_) | Operate::Discard(_)
            )
        })
    }

    /// What has to be read first and given to [`mutations`](Self::mutations): for most statements nothing.
    pub fn reads(&self, values: &Values, context: &mut Context<'_>) -> Result<Vec<ReadCommand>, Error> {
        present::reads(self, &BoundValues::new(&self.markers, values)?, context)
    }

    /// The writes: one for each partition. Nothing is checked twice, nothing is written here.
    pub fn mutations(
        &self,
        values: &Values,
        present: &Present,
        context: &mut Context<'_>,
    ) -> Result<Vec<Mutation>, Error> {
        let values = BoundValues::new(&self.markers, values)?;
        apply::mutations(self, &values, present, None, context)
    }
}

/// Which markers are the partition key, in order.
pub(super) fn key_markers(restrictions: &Restrictions) -> Vec<u16> {
    let PartitionPart::Keys(keys) = &restrictions.partition else {
        return Vec::new();
    };
    let markers: Option<Vec<u16>> = keys
        .iter()
        .map(|(_, choice)| match choice {
            Choice::These(values) => match values.as_slice() {
                [Expression::Marker(index)] => Some(*index),
                _ => None,
            },
            Choice::ListMarker(..) => None,
        })
        .collect();
    markers.unwrap_or_default()
}
