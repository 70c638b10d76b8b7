//! Statements checked against the schema, ready to be carried out many times.
//!
//! [`prepare`] resolves names and types. What comes of it is pure: given bound values and a [`Context`],
//! a write plan makes mutations, a select plan makes reads and turns the pages into rows, a schema plan
//! makes schema entries.

mod bind;
mod context;
mod definition;
mod expression;
mod function;
mod restrictions;
mod select;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use starling_model::Mutation;

pub use context::Context;
pub use definition::SchemaPlan;
pub use select::{Read, SelectPlan, SelectRun};
pub use write::{BatchPlan, Present, WritePlan};

use crate::{
    ast::{self, Statement, TableName},
    describe::DescribePlan,
    error::Error,
    result::ColumnSpec,
    schema::{Schema, Table},
    types::CqlType,
};
use bind::Markers;

/// A statement, ready.
#[derive(Debug, Clone)]
pub enum Plan {
    /// SELECT.
    Select(SelectPlan),
    /// INSERT, UPDATE, DELETE.
    Write(WritePlan),
    /// BEGIN BATCH ... APPLY BATCH.
    Batch(BatchPlan),
    /// CREATE, ALTER, DROP.
    Schema(SchemaPlan),
    /// USE; the keyspace exists.
    Use(String),
    /// TRUNCATE.
    Truncate(Arc<Table>),
    /// DESCRIBE.
    Describe(DescribePlan),
}

/// Checks a statement against the schema. `keyspace` is that of unqualified names.
///
/// What it returns goes by the schema of now: prepare again when the schema changes.
pub fn prepare(statement: &Statement, schema: &Schema, keyspace: Option<&str>) -> Result<Plan, Error> {
    Ok(match statement {
        Statement::Select(select) => {
            let table = find_table(schema, &select.table, keyspace)?;
            Plan::Select(SelectPlan::new(select, &table)?)
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) => {
            let mut markers = Markers::default();
            let plan = WritePlan::new(statement, schema, keyspace, &mut markers)?;
            Plan::Write(plan.with_markers(markers.finish()?))
        }
        Statement::Batch(batch) => Plan::Batch(BatchPlan::new(batch, schema, keyspace)?),
        Statement::Use(name) => {
            schema.known_keyspace(name)?;
            Plan::Use(name.clone())
        }
        Statement::Truncate(name) => {
            let table = find_table(schema, name, keyspace)?;
            check_modifiable(&table)?;
            Plan::Truncate(table)
        }
        Statement::Describe(describe) => Plan::Describe(DescribePlan::new(describe, keyspace)),
        Statement::CreateKeyspace(_)
        | Statement::AlterKeyspace(_)
        | Statement::DropKeyspace(_)
        | Statement::CreateTable(_)
        | Statement::AlterTable(_)
        | Statement::DropTable(_) => Plan::Schema(SchemaPlan::new(statement, keyspace)?),
    })
}

impl Plan {
    /// The bind markers.
    pub fn markers(&self) -> &[ColumnSpec] {
        match self {
            Self::Select(plan) => plan.markers(),
            Self::Write(plan) => plan.markers(),
            Self::Batch(plan) => plan.markers(),
            Self::Schema(_) | Self::Use(_) | Self::Truncate(_) | Self::Describe(_) => &[],
        }
    }

    /// Which markers are the partition key's components, in the key's order; empty if a component is not
    /// one marker.
    pub fn partition_key_markers(&self) -> Vec<u16> {
        match self {
            Self::Select(plan) => plan.partition_key_markers(),
            Self::Write(plan) => plan.partition_key_markers(),
            Self::Batch(plan) => plan.partition_key_markers(),
            Self::Schema(_) | Self::Use(_) | Self::Truncate(_) | Self::Describe(_) => Vec::new(),
        }
    }

    /// The result's columns; empty for statements that return no rows, and for DESCRIBE, whose columns
    /// come with its rows.
    pub fn result_columns(&self) -> &[ColumnSpec] {
        match self {
            Self::Select(plan) => plan.columns(),
            _ => &[],
        }
    }
}

/// Joins mutations of the same partition into one, so that each is atomic. Keeps the order of first mention.
pub fn combine(mutations: Vec<Mutation>) -> Vec<Mutation> {
    let mut places = std::collections::BTreeMap::new();
    let mut combined: Vec<Mutation> = Vec::with_capacity(mutations.len());
    for mutation in mutations {
        let place = *places
            .entry((mutation.table, mutation.key.clone()))
            .or_insert(combined.len());
        match combined.get_mut(place) {
            Some(earlier) => earlier.partition.merge(mutation.partition),
            None => combined.push(mutation),
        }
    }
    combined
}

/// The value of a term without markers and functions, for text that holds one.
pub(crate) fn constant_term(
    term: &ast::Term,
    cql_type: &CqlType,
    target: &str,
) -> Result<Option<Bytes>, Error> {
    let mut markers = Markers::default();
    let expression = expression::Expression::new(term, &bind::Target::named(target, cql_type), &mut markers)?;
    match expression {
        expression::Expression::Constant(value) => Ok(value),
        _ => Err(Error::invalid("a constant is expected here")),
    }
}

fn find_table(schema: &Schema, name: &TableName, keyspace: Option<&str>) -> Result<Arc<Table>, Error> {
    let keyspace = name.keyspace.as_deref().or(keyspace).ok_or_else(no_keyspace)?;
    schema.known_table(keyspace, &name.name).cloned()
}

fn no_keyspace() -> Error {
    Error::invalid("No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename")
}

fn check_modifiable(table: &Table) -> Result<(), Error> {
    if table.is_system() {
        Err(crate::schema::not_modifiable(&table.keyspace))
    } else {
        Ok(())
    }
}

/// The error for a name that is no column.
fn undefined_column(name: &str, table: &Table) -> Error {
    Error::invalid(format!(
        "Undefined column name {name} in table {}",
        table.full_name()
    ))
}
