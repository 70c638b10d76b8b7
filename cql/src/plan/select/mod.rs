//! SELECT: from a statement to reads, and from pages to rows.

mod aggregate;
mod build;
mod item;
mod paging;
mod row;
mod run;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use starling_model::ColumnId;

use super::{
    Context,
    bind::{BoundValues, Markers},
    expression::Expression,
    restrictions::Restrictions,
};
use crate::{ast::Select, error::Error, request::Values, result::ColumnSpec, schema::Table};
use item::Item;

pub use run::{Read, SelectRun};

/// A SELECT, ready. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SelectPlan {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    table: Arc<Table>,
    markers: Vec<ColumnSpec>,
    columns: Arc<[ColumnSpec]>,
    items: Vec<Item>,
    /// Whether the result is one row made of all.
    aggregates: bool,
    restrictions: Restrictions,
    distinct: bool,
    /// Rows come last first.
    reversed: bool,
    /// ORDER BY was given.
    ordered: bool,
    limit: Option<Expression>,
    per_partition_limit: Option<Expression>,
    /// Each column's place in the table, for the columns that the statement looks at.
    places: BTreeMap<ColumnId, usize>,
    /// Tells this statement from others, for paging states.
    fingerprint: u64,
}

impl SelectPlan {
    pub(super) fn new(select: &Select, table: &Arc<Table>) -> Result<Self, Error> {
        let mut markers = Markers::default();
        let inner = build::build(select, table, &mut markers)?;
        Ok(Self {
            inner: Arc::new(Inner {
                markers: markers.finish()?,
                ..inner
            }),
        })
    }

    /// The table it reads.
    pub fn table(&self) -> &Arc<Table> {
        &self.inner.table
    }

    /// The bind markers.
    pub fn markers(&self) -> &[ColumnSpec] {
        &self.inner.markers
    }

    /// The result's columns.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.inner.columns
    }

    /// Which markers are the partition key, in order; empty if a component is not one marker.
    pub fn partition_key_markers(&self) -> Vec<u16> {
        super::write::key_markers(&self.inner.restrictions)
    }

    /// Begins an execution. `page_size` `None` is everything in one page; `paging_state` is where the
    /// last page of the same statement with the same values ended.
    ///
    /// Fails for values that don't fit, and for a paging state that is damaged or another statement's.
    pub fn run(
        &self,
        values: &Values,
        page_size: Option<u32>,
        paging_state: Option<Bytes>,
        context: &mut Context<'_>,
    ) -> Result<SelectRun, Error> {
        let bound = BoundValues::new(&self.inner.markers, values)?;
        SelectRun::new(self.inner.clone(), &bound, page_size, paging_state, context)
    }
}
