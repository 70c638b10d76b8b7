//! Checks INSERT, UPDATE and DELETE against the schema.

use std::{collections::BTreeSet, sync::Arc};

use super::{Operate, Operation, Shape, WritePlan};
use crate::{
    ast::{Change, Delete, Insert, Operator, Relation, Statement, Term, Update, Using},
    error::Error,
    plan::{
        bind::{Markers, Target},
        check_modifiable,
        expression::Expression,
        find_table,
        restrictions::{PartitionPart, Restrictions},
        undefined_column,
    },
    schema::{Column, ColumnKind, Schema, Table},
    types::CqlType,
    value::Collection,
};

pub(super) fn build(
    statement: &Statement,
    schema: &Schema,
    keyspace: Option<&str>,
    markers: &mut Markers,
) -> Result<WritePlan, Error> {
    let name = match statement {
        Statement::Insert(insert) => &insert.table,
        Statement::Update(update) => &update.table,
        Statement::Delete(delete) => &delete.table,
        _ => return Err(Error::invalid("only INSERT, UPDATE and DELETE can be in a batch")),
    };
    let table = find_table(schema, name, keyspace)?;
    check_modifiable(&table)?;
    match statement {
        Statement::Insert(statement) => insert(&table, statement, markers),
        Statement::Update(statement) => update(&table, statement, markers),
        Statement::Delete(statement) => delete(&table, statement, markers),
        _ => Err(Error::invalid("only INSERT, UPDATE and DELETE can be in a batch")),
    }
}

fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, Error> {
    table.column(name).ok_or_else(|| undefined_column(name, table))
}

/// TIMESTAMP and TTL.
type Timing = (Option<Expression>, Option<Expression>);

fn timing(table: &Table, using: &Using, markers: &mut Markers) -> Result<Timing, Error> {
    let mut of = |term: &Option<Term>, name: &str, cql_type: CqlType| {
        let target = Target::of(table, name, cql_type);
        term.as_ref()
            .map(|term| Expression::new(term, &target, markers))
            .transpose()
    };
    Ok((
        of(&using.timestamp, "[timestamp]", CqlType::Bigint)?,
        of(&using.ttl, "[ttl]", CqlType::Int)?,
    ))
}

/// The markers come when all of a statement is known.
fn plan(
    table: &Arc<Table>,
    restrictions: Restrictions,
    shape: Shape,
    operations: Vec<Operation>,
    (timestamp, ttl): Timing,
) -> WritePlan {
    WritePlan {
        table: table.clone(),
        markers: Vec::new(),
        restrictions,
        shape,
        operations,
        timestamp,
        ttl,
    }
}

fn insert(table: &Arc<Table>, insert: &Insert, markers: &mut Markers) -> Result<WritePlan, Error> {
    let mut relations = Vec::new();
    let mut operations = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, term) in insert.columns.iter().zip(&insert.values) {
        let column = column(table, name)?;
        if !seen.insert(name) {
            return Err(Error::invalid(format!(
                "The column names contains duplicates: {name}"
            )));
        }
        if column.kind.is_key() {
            relations.push(Relation::Column {
                column: name.clone(),
                operator: Operator::Equal,
                value: term.clone(),
            });
        } else {
            let value = Expression::new(term, &Target::column(table, column), markers)?;
            operations.push(Operation {
                column: column.clone(),
                change: Operate::Set(value),
            });
        }
    }
    let timing = timing(table, &insert.using, markers)?;
    let restrictions = Restrictions::new(table, &relations, markers)?;
    check_partition(table, &restrictions, &relations)?;
    let given = restrictions.clustering.fixed();
    let only_static = !operations.is_empty()
        && operations
            .iter()
            .all(|operation| operation.column.kind == ColumnKind::Static)
        && relations.len() == table.partition_key().len();
    let shape = if only_static {
        Shape::Static
    } else {
        Shape::Rows { marker: true }
    };
    if shape != Shape::Static && given < table.clustering().len() {
        return Err(missing_clustering(table, &relations));
    }
    Ok(plan(table, restrictions, shape, operations, timing))
}

fn names_of(relation: &Relation) -> Vec<&str> {
    match relation {
        Relation::Column { column, .. } | Relation::In { column, .. } | Relation::Element { column, .. } => {
            vec![column]
        }
        Relation::Tuple { columns, .. }
        | Relation::TupleIn { columns, .. }
        | Relation::Token { columns, .. } => columns.iter().map(String::as_str).collect(),
    }
}

fn missing(columns: &[Column], relations: &[Relation]) -> String {
    let given: BTreeSet<&str> = relations.iter().flat_map(names_of).collect();
    let missing: Vec<&str> = columns
        .iter()
        .map(|column| column.name.as_str())
        .filter(|name| !given.contains(name))
        .collect();
    missing.join(", ")
}

fn missing_clustering(table: &Table, relations: &[Relation]) -> Error {
    Error::invalid(format!(
        "Some clustering keys are missing: {}",
        missing(table.clustering(), relations)
    ))
}

/// A write names its partitions.
fn check_partition(table: &Table, restrictions: &Restrictions, relations: &[Relation]) -> Result<(), Error> {
    match restrictions.partition {
        PartitionPart::Keys(_) => Ok(()),
        PartitionPart::Tokens(_) => Err(Error::invalid(
            "The token function cannot be used in WHERE clauses of UPDATE and DELETE statements",
        )),
        PartitionPart::All => {
            let parts = missing(table.partition_key(), relations);
            if parts.is_empty() {
                return Err(Error::invalid(
                    "Only EQ and IN relation are supported on the partition key of UPDATE and DELETE statements",
                ));
            }
            Err(Error::invalid(format!(
                "Some partition key parts are missing: {parts}"
            )))
        }
    }
}

/// The WHERE of UPDATE and DELETE: it names partitions, and rows by their keys only.
fn where_clause(table: &Table, relations: &[Relation], markers: &mut Markers) -> Result<Restrictions, Error> {
    let restrictions = Restrictions::new(table, relations, markers)?;
    check_partition(table, &restrictions, relations)?;
    check_filters(&restrictions)?;
    Ok(restrictions)
}

fn check_filters(restrictions: &Restrictions) -> Result<(), Error> {
    let Some(filter) = restrictions.filters.first() else {
        return Ok(());
    };
    let name = &filter.column.name;
    if filter.column.kind.is_key() {
        return Err(Error::invalid(format!(
            "PRIMARY KEY column \"{name}\" cannot be restricted as preceding column is not restricted"
        )));
    }
    Err(Error::invalid(format!(
        "Non PRIMARY KEY columns found in where clause: {name}"
    )))
}

fn update(table: &Arc<Table>, update: &Update, markers: &mut Markers) -> Result<WritePlan, Error> {
    let timing = timing(table, &update.using, markers)?;
    let mut operations = Vec::new();
    for assignment in &update.assignments {
        let column = column(table, &assignment.column)?;
        if column.kind.is_key() {
            return Err(Error::invalid(format!(
                "PRIMARY KEY part {} found in SET part",
                column.name
            )));
        }
        operations.push(Operation {
            column: column.clone(),
            change: operate(table, column, &assignment.change, markers)?,
        });
    }
    check_conflicts(&operations)?;
    let restrictions = where_clause(table, &update.relations, markers)?;
    let shape = row_shape(table, &restrictions, &operations, &update.relations)?;
    Ok(plan(table, restrictions, shape, operations, timing))
}

/// Whether rows or only static columns are written, for UPDATE and for DELETE of columns.
fn row_shape(
    table: &Table,
    restrictions: &Restrictions,
    operations: &[Operation],
    relations: &[Relation],
) -> Result<Shape, Error> {
    if restrictions.clustering.is_slice() {
        return Err(Error::invalid(
            "Slice restrictions are not supported on the clustering columns of statements that write columns",
        ));
    }
    let only_static = operations
        .iter()
        .all(|operation| operation.column.kind == ColumnKind::Static);
    if only_static && restrictions.clustering.is_empty() && !table.clustering().is_empty() {
        return Ok(Shape::Static);
    }
    if restrictions.clustering.fixed() < table.clustering().len() {
        return Err(missing_clustering(table, relations));
    }
    if only_static && !table.clustering().is_empty() {
        return Err(Error::invalid(
            "Invalid restrictions on clustering columns since the statement modifies only static columns",
        ));
    }
    Ok(Shape::Rows { marker: false })
}

fn check_conflicts(operations: &[Operation]) -> Result<(), Error> {
    for (at, operation) in operations.iter().enumerate() {
        let others = operations
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at)
            .map(|(_, other)| other);
        let by_element = |operation: &Operation| {
            matches!(
                operation.change,
                Operate::Put(..) | Operate::DeleteElement(_) | Operate::PutAt(..) | Operate::DeleteAt(_)
            )
        };
        for other in others.filter(|other| other.column.id == operation.column.id) {
            if !(by_element(operation) && by_element(other)) {
                return Err(Error::invalid(format!(
                    "Multiple incompatible setting of column {}",
                    operation.column.name
                )));
            }
        }
    }
    Ok(())
}

fn operate(table: &Table, column: &Column, change: &Change, markers: &mut Markers) -> Result<Operate, Error> {
    let target = Target::column(table, column);
    let invalid = |what: &str| {
        Error::invalid(format!(
            "Invalid operation ({what}) for non frozen collection or scalar column {} of type {}",
            column.name, column.cql_type
        ))
    };
    let collection = Collection::of(&column.cql_type).filter(|_| column.cql_type.is_multi_cell());
    match change {
        Change::Set(term) => Ok(Operate::Set(Expression::new(term, &target, markers)?)),
        Change::Add(term) if collection.is_some() => {
            Ok(Operate::Add(Expression::new(term, &target, markers)?))
        }
        Change::Add(_) => Err(invalid("+")),
        Change::Prepend(term) => match collection {
            Some(Collection::List(_)) => Ok(Operate::Prepend(Expression::new(term, &target, markers)?)),
            // The order does not matter.
            Some(_) => Ok(Operate::Add(Expression::new(term, &target, markers)?)),
            None => Err(invalid("+")),
        },
        Change::Subtract(term) => match collection {
            Some(Collection::List(_)) => Ok(Operate::Discard(Expression::new(term, &target, markers)?)),
            Some(Collection::Set(_)) => Ok(Operate::Remove(Expression::new(term, &target, markers)?)),
            Some(Collection::Map(key, _)) => {
                let keys = CqlType::Set {
                    element: Box::new(key.clone()),
                    frozen: true,
                };
                Ok(Operate::Remove(Expression::new(
                    term,
                    &target.part("key", &keys),
                    markers,
                )?))
            }
            None => Err(invalid("-")),
        },
        Change::Element { key, value } => match collection {
            Some(Collection::Map(key_type, value_type)) => {
                let key = Expression::new(key, &target.part("key", key_type), markers)?;
                Ok(Operate::Put(
                    key,
                    Expression::new(value, &target.part("value", value_type), markers)?,
                ))
            }
            Some(Collection::List(element)) => {
                let index = Expression::new(key, &index_of(table, column), markers)?;
                let value = Expression::new(value, &target.part("value", element), markers)?;
                Ok(Operate::PutAt(index, value))
            }
            _ => Err(invalid("[...]")),
        },
    }
}

/// What an index of a list is, as drivers see it.
fn index_of(table: &Table, column: &Column) -> Target {
    Target::of(table, &format!("idx({})", column.name), CqlType::Int)
}

fn delete(table: &Arc<Table>, delete: &Delete, markers: &mut Markers) -> Result<WritePlan, Error> {
    let mut operations = Vec::new();
    for target in &delete.targets {
        let column = column(table, &target.column)?;
        if column.kind.is_key() {
            return Err(Error::invalid(format!(
                "Invalid identifier {} for deletion (should not be a PRIMARY KEY part)",
                column.name
            )));
        }
        let change = match (&target.element, Collection::of(&column.cql_type)) {
            (None, _) => Operate::Delete,
            (Some(key), Some(Collection::Map(element, _) | Collection::Set(element)))
                if column.cql_type.is_multi_cell() =>
            {
                let part = Target::column(table, column).part("key", element);
                Operate::DeleteElement(Expression::new(key, &part, markers)?)
            }
            (Some(index), Some(Collection::List(_))) if column.cql_type.is_multi_cell() => {
                Operate::DeleteAt(Expression::new(index, &index_of(table, column), markers)?)
            }
            (Some(_), _) => {
                return Err(Error::invalid(format!(
                    "Invalid deletion operation for column {} of type {}",
                    column.name, column.cql_type
                )));
            }
        };
        operations.push(Operation {
            column: column.clone(),
            change,
        });
    }
    let timing = timing(table, &delete.using, markers)?;
    let restrictions = where_clause(table, &delete.relations, markers)?;
    let shape = if !operations.is_empty() {
        row_shape(table, &restrictions, &operations, &delete.relations)?
    } else if restrictions.clustering.is_empty() {
        Shape::DeletePartition
    } else {
        Shape::DeleteRanges
    };
    Ok(plan(table, restrictions, shape, operations, timing))
}
