//! One relation of a WHERE clause: its columns are looked up, and what they are compared with gets their types.

use super::Choice;
use crate::{
    ast::{InValues, Operator, Relation, Term},
    error::Error,
    plan::{
        bind::{Markers, Target},
        expression::Expression,
        function::{Function, check_count},
        undefined_column,
    },
    schema::{Column, ColumnKind, Table},
    types::CqlType,
    value::Collection,
};

/// A relation with its columns and values resolved.
pub(super) enum Resolved {
    Compare(Column, Operator, Expression),
    In(Column, Choice),
    Element(Column, Expression, Expression),
    Tuple(Vec<Column>, Operator, Vec<Expression>),
    TupleIn(Vec<Column>, Vec<Vec<Expression>>),
    Token(Operator, Expression),
}

impl Resolved {
    /// Looks its columns up, and gives its values their types.
    pub(super) fn new(table: &Table, relation: &Relation, markers: &mut Markers) -> Result<Self, Error> {
        match relation {
            Relation::Column {
                column: name,
                operator,
                value,
            } => {
                let column = column(table, name)?;
                let target = compared(table, column, *operator)?;
                Ok(Self::Compare(
                    column.clone(),
                    *operator,
                    Expression::new(value, &target, markers)?,
                ))
            }
            Relation::In { column: name, values } => {
                let column = column(table, name)?;
                if column.cql_type.is_multi_cell() {
                    return Err(not_comparable(column, "IN"));
                }
                Ok(Self::In(column.clone(), choice(table, column, values, markers)?))
            }
            Relation::Element {
                column: name,
                key,
                value,
            } => {
                let column = column(table, name)?;
                let Some(Collection::Map(key_type, value_type)) = Collection::of(&column.cql_type) else {
                    return Err(Error::invalid(format!(
                        "Column '{name}' is no map: its elements can't be compared"
                    )));
                };
                let target = Target::column(table, column);
                let key = Expression::new(key, &target.part("key", key_type), markers)?;
                let value = Expression::new(value, &target.part("value", value_type), markers)?;
                Ok(Self::Element(column.clone(), key, value))
            }
            Relation::Tuple {
                columns,
                operator,
                value,
            } => {
                let columns = tuple_columns(table, columns)?;
                let values = tuple(table, &columns, value, markers)?;
                Ok(Self::Tuple(columns, *operator, values))
            }
            Relation::TupleIn { columns, values } => {
                let columns = tuple_columns(table, columns)?;
                let InValues::List(terms) = values else {
                    return Err(Error::unsupported("a bind marker for a list of tuples"));
                };
                let tuples = terms
                    .iter()
                    .map(|term| tuple(table, &columns, term, markers))
                    .collect::<Result<_, _>>()?;
                Ok(Self::TupleIn(columns, tuples))
            }
            Relation::Token {
                columns,
                operator,
                value,
            } => {
                let key: Vec<&str> = table
                    .partition_key()
                    .iter()
                    .map(|column| column.name.as_str())
                    .collect();
                for name in columns {
                    column(table, name)?;
                }
                if key != columns.iter().map(String::as_str).collect::<Vec<_>>() {
                    return Err(Error::invalid(format!(
                        "The token function arguments must be in the partition key order: {}",
                        key.join(", ")
                    )));
                }
                let value = token_value(table, value, markers)?;
                Ok(Self::Token(*operator, value))
            }
        }
    }

    pub(super) fn columns(&self) -> Vec<&Column> {
        match self {
            Self::Compare(column, ..) | Self::In(column, _) | Self::Element(column, ..) => vec![column],
            Self::Tuple(columns, ..) | Self::TupleIn(columns, _) => columns.iter().collect(),
            Self::Token(..) => Vec::new(),
        }
    }

    /// Whether this is the column, or the first of the columns, that it is about.
    pub(super) fn begins_with(&self, column: &Column) -> bool {
        self.columns().first().is_some_and(|first| first.id == column.id)
    }

    /// Whether it is about this column, among others.
    pub(super) fn restricts(&self, column: &Column) -> bool {
        self.columns().iter().any(|restricted| restricted.id == column.id)
    }

    /// Whether it bounds a range rather than giving values.
    pub(super) fn is_slice(&self) -> bool {
        matches!(self, Self::Compare(_, operator, _) | Self::Tuple(_, operator, _) if operator.is_slice())
    }

    /// Whether it gives the values of its columns.
    pub(super) fn is_exact(&self) -> bool {
        match self {
            Self::Compare(_, operator, _) | Self::Tuple(_, operator, _) => *operator == Operator::Equal,
            Self::In(..) | Self::TupleIn(..) => true,
            Self::Element(..) | Self::Token(..) => false,
        }
    }
}

fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, Error> {
    table.column(name).ok_or_else(|| undefined_column(name, table))
}

/// What a token is compared with: a number, or `token(...)` of other values.
fn token_value(table: &Table, value: &Term, markers: &mut Markers) -> Result<Expression, Error> {
    let (name, arguments) = match value {
        Term::Call { name, arguments } if name == "token" => (name, arguments),
        _ => {
            let target = Target::of(table, "partition key token", CqlType::Bigint);
            return Expression::new(value, &target, markers);
        }
    };
    let key = table.partition_key();
    check_count(name, key.len(), arguments.len())?;
    let arguments = key
        .iter()
        .zip(arguments)
        .map(|(column, term)| Expression::new(term, &Target::column(table, column), markers))
        .collect::<Result<_, _>>()?;
    Ok(Expression::Call(Function::Token, arguments))
}

/// What stands on the right side of a comparison with a column.
fn compared(table: &Table, column: &Column, operator: Operator) -> Result<Target, Error> {
    let target = Target::column(table, column);
    let cannot = || {
        Error::invalid(format!(
            "Cannot use {} on column '{}' of type {}",
            operator.text(),
            column.name,
            column.cql_type
        ))
    };
    match (operator, Collection::of(&column.cql_type)) {
        (Operator::Contains, Some(Collection::List(element) | Collection::Set(element))) => {
            Ok(target.part("value", element))
        }
        (Operator::Contains, Some(Collection::Map(_, value))) => Ok(target.part("value", value)),
        (Operator::ContainsKey, Some(Collection::Map(key, _))) => Ok(target.part("key", key)),
        (Operator::Contains | Operator::ContainsKey, _) => Err(cannot()),
        _ if column.cql_type.is_multi_cell() => Err(not_comparable(column, operator.text())),
        _ if operator.is_slice() && !column.cql_type.has_order() => Err(Error::invalid(format!(
            "Slice restrictions are not supported on duration columns ({})",
            column.name
        ))),
        _ => Ok(target),
    }
}

fn not_comparable(column: &Column, operator: &str) -> Error {
    Error::invalid(format!(
        "Collection column '{}' ({}) cannot be restricted by a '{operator}' relation",
        column.name, column.cql_type
    ))
}

fn choice(table: &Table, column: &Column, values: &InValues, markers: &mut Markers) -> Result<Choice, Error> {
    let target = Target::column(table, column);
    match values {
        InValues::List(terms) => {
            let terms = terms
                .iter()
                .map(|term| Expression::new(term, &target, markers))
                .collect::<Result<_, _>>()?;
            Ok(Choice::These(terms))
        }
        InValues::Marker(marker) => {
            let list = CqlType::List {
                element: Box::new(column.cql_type.clone()),
                frozen: true,
            };
            markers.note(marker, &Target::of(table, &format!("in({})", column.name), list));
            Ok(Choice::ListMarker(
                Expression::Marker(marker.index),
                column.cql_type.clone(),
            ))
        }
    }
}

/// The columns of a tuple: clustering columns that follow each other.
fn tuple_columns(table: &Table, names: &[String]) -> Result<Vec<Column>, Error> {
    let columns = names
        .iter()
        .map(|name| column(table, name).cloned())
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = columns
        .iter()
        .find(|column| !matches!(column.kind, ColumnKind::Clustering { .. }))
    {
        return Err(Error::invalid(format!(
            "Multi-column relations can only be applied to clustering columns but was applied to: {}",
            other.name
        )));
    }
    let positions: Vec<i32> = columns.iter().map(|column| table.position(column)).collect();
    if positions.windows(2).any(|pair| pair[1] != pair[0] + 1) {
        return Err(Error::invalid(format!(
            "Clustering columns must appear in the PRIMARY KEY order in multi-column relations: ({})",
            names.join(", ")
        )));
    }
    Ok(columns)
}

fn tuple(
    table: &Table,
    columns: &[Column],
    term: &Term,
    markers: &mut Markers,
) -> Result<Vec<Expression>, Error> {
    let Term::Tuple(items) = term else {
        return Err(match term {
            Term::Marker(_) => Error::unsupported("a bind marker for a tuple"),
            _ => Error::invalid("a tuple is expected, such as (1, 2)"),
        });
    };
    if items.len() != columns.len() {
        return Err(Error::invalid(format!(
            "Expected {} elements in value tuple, but got {}",
            columns.len(),
            items.len()
        )));
    }
    let targets = columns.iter().map(|column| Target::column(table, column));
    items
        .iter()
        .zip(targets)
        .map(|(item, target)| Expression::new(item, &target, markers))
        .collect()
}
