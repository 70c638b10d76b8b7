//! Sorts a WHERE clause out.

use super::{
    Bound, Choice, ClusteringPart, Filter, PartitionPart, Restrictions, Segment, SegmentValues, Test,
};
use crate::{
    ast::{InValues, Operator, Relation, Term},
    error::Error,
    plan::{
        bind::{Markers, Target},
        expression::Expression,
        undefined_column,
    },
    schema::{Column, ColumnKind, Table},
    types::CqlType,
    value::Collection,
};

/// A relation with its columns and values resolved.
enum Resolved {
    Compare(Column, Operator, Expression),
    In(Column, Choice),
    Element(Column, Expression, Expression),
    Tuple(Vec<Column>, Operator, Vec<Expression>),
    TupleIn(Vec<Column>, Vec<Vec<Expression>>),
    Token(Operator, Expression),
}

impl Resolved {
    fn columns(&self) -> Vec<&Column> {
        match self {
            Self::Compare(column, ..) | Self::In(column, _) | Self::Element(column, ..) => vec![column],
            Self::Tuple(columns, ..) | Self::TupleIn(columns, _) => columns.iter().collect(),
            Self::Token(..) => Vec::new(),
        }
    }

    /// Whether it bounds a range rather than giving values.
    fn is_slice(&self) -> bool {
        matches!(self, Self::Compare(_, operator, _) | Self::Tuple(_, operator, _) if operator.is_slice())
    }

    /// Whether it gives the values of its columns.
    fn is_exact(&self) -> bool {
        match self {
            Self::Compare(_, operator, _) | Self::Tuple(_, operator, _) => *operator == Operator::Equal,
            Self::In(..) | Self::TupleIn(..) => true,
            Self::Element(..) | Self::Token(..) => false,
        }
    }
}

impl Restrictions {
    /// Sorts the relations of a statement on `table` out.
    pub(in crate::plan) fn new(
        table: &Table,
        relations: &[Relation],
        markers: &mut Markers,
    ) -> Result<Self, Error> {
        let mut resolved = relations
            .iter()
            .map(|relation| resolve(table, relation, markers))
            .collect::<Result<Vec<_>, _>>()?;
        check_repeats(table, &resolved)?;
        let partition = partition_part(table, &mut resolved)?;
        let by_key = matches!(partition, PartitionPart::Keys(_));
        let clustering = clustering_part(table, &mut resolved);
        let mut needs_filtering = !by_key && !clustering.is_empty();
        let mut filters = Vec::new();
        for relation in resolved {
            needs_filtering = true;
            filters.push(filter(relation)?);
        }
        Ok(Self {
            partition,
            clustering,
            filters,
            needs_filtering,
        })
    }
}

fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, Error> {
    table.column(name).ok_or_else(|| undefined_column(name, table))
}

fn resolve(table: &Table, relation: &Relation, markers: &mut Markers) -> Result<Resolved, Error> {
    match relation {
        Relation::Column {
            column: name,
            operator,
            value,
        } => {
            let column = column(table, name)?;
            let target = compared(table, column, *operator)?;
            Ok(Resolved::Compare(
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
            Ok(Resolved::In(
                column.clone(),
                choice(table, column, values, markers)?,
            ))
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
            Ok(Resolved::Element(column.clone(), key, value))
        }
        Relation::Tuple {
            columns,
            operator,
            value,
        } => {
            let columns = tuple_columns(table, columns)?;
            let values = tuple(table, &columns, value, markers)?;
            Ok(Resolved::Tuple(columns, *operator, values))
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
            Ok(Resolved::TupleIn(columns, tuples))
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
            Ok(Resolved::Token(*operator, value))
        }
    }
}

/// What a token is compared with: a number, or `token(...)` of other values.
fn token_value(table: &Table, value: &Term, markers: &mut Markers) -> Result<Expression, Error> {
    let Term::Call { name, arguments } = value else {
        return Expression::new(
            value,
            &Target::of(table, "partition key token", CqlType::Bigint),
            markers,
        );
    };
    if name != "token" {
        return Expression::new(
            value,
            &Target::of(table, "partition key token", CqlType::Bigint),
            markers,
        );
    }
    let key = table.partition_key();
    crate::plan::function::check_count("token", key.len(), arguments.len())?;
    let arguments = key
        .iter()
        .zip(arguments)
        .map(|(column, term)| Expression::new(term, &Target::column(table, column), markers))
        .collect::<Result<_, _>>()?;
    Ok(Expression::Call(
        crate::plan::function::Function::Token,
        arguments,
    ))
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

/// A column has one relation, or one lower and one upper bound, or several CONTAINS.
fn check_repeats(table: &Table, resolved: &[Resolved]) -> Result<(), Error> {
    for column in &table.columns {
        let of_column: Vec<&Resolved> = resolved
            .iter()
            .filter(|relation| {
                relation
                    .columns()
                    .iter()
                    .any(|restricted| restricted.id == column.id)
            })
            .collect();
        if of_column.len() < 2 {
            continue;
        }
        if of_column.iter().any(|relation| relation.is_exact()) {
            return Err(Error::invalid(format!(
                "{} cannot be restricted by more than one relation if it includes an Equal or an IN",
                column.name
            )));
        }
        for (lower, side) in [(true, "start"), (false, "end")] {
            let bounds = of_column
                .iter()
                .filter(|relation| bounds_side(relation, lower))
                .count();
            if bounds > 1 {
                return Err(Error::invalid(format!(
                    "More than one restriction was found for the {side} bound on {}",
                    column.name
                )));
            }
        }
    }
    Ok(())
}

fn bounds_side(relation: &Resolved, lower: bool) -> bool {
    match relation {
        Resolved::Compare(_, operator, _) | Resolved::Tuple(_, operator, _) => match operator {
            Operator::Greater | Operator::GreaterOrEqual => lower,
            Operator::Less | Operator::LessOrEqual => !lower,
            _ => false,
        },
        _ => false,
    }
}

/// Takes out what selects partitions.
fn partition_part(table: &Table, resolved: &mut Vec<Resolved>) -> Result<PartitionPart, Error> {
    let is_key = |relation: &Resolved| {
        relation
            .columns()
            .first()
            .is_some_and(|column| column.kind == ColumnKind::PartitionKey)
    };
    if resolved
        .iter()
        .any(|relation| matches!(relation, Resolved::Token(..)))
    {
        if resolved.iter().any(is_key) {
            return Err(Error::unsupported(
                "a condition on the partition key beside one on its token",
            ));
        }
        let mut bounds = Vec::new();
        for relation in std::mem::take(resolved) {
            match relation {
                Resolved::Token(operator, value) => bounds.push((operator, value)),
                other => resolved.push(other),
            }
        }
        return Ok(PartitionPart::Tokens(bounds));
    }
    let exact = |column: &Column| {
        resolved.iter().any(|relation| {
            relation.is_exact() && relation.columns().iter().any(|found| found.id == column.id)
        })
    };
    if !table.partition_key().iter().all(exact) {
        return Ok(PartitionPart::All);
    }
    let mut keys = Vec::new();
    for column in table.partition_key() {
        let at = resolved.iter().position(|relation| {
            relation
                .columns()
                .first()
                .is_some_and(|found| found.id == column.id)
        });
        match at.map(|at| resolved.remove(at)) {
            Some(Resolved::Compare(column, _, value)) => keys.push((column, Choice::These(vec![value]))),
            Some(Resolved::In(column, choice)) => keys.push((column, choice)),
            _ => return Ok(PartitionPart::All),
        }
    }
    Ok(PartitionPart::Keys(keys))
}

/// Takes out what makes a prefix of the clustering columns, and a slice after it.
fn clustering_part(table: &Table, resolved: &mut Vec<Resolved>) -> ClusteringPart {
    let mut part = ClusteringPart::default();
    let columns = table.clustering();
    let mut at = 0;
    while let Some(column) = columns.get(at) {
        let starts = |relation: &Resolved| {
            relation
                .columns()
                .first()
                .is_some_and(|first| first.id == column.id)
        };
        let Some(place) = resolved
            .iter()
            .position(|relation| starts(relation) && relation.is_exact())
        else {
            break;
        };
        let segment = match resolved.remove(place) {
            Resolved::Compare(column, _, value) => Segment {
                columns: vec![column],
                values: SegmentValues::Single(Choice::These(vec![value])),
            },
            Resolved::In(column, choice) => Segment {
                columns: vec![column],
                values: SegmentValues::Single(choice),
            },
            Resolved::Tuple(columns, _, values) => Segment {
                columns,
                values: SegmentValues::Tuples(vec![values]),
            },
            Resolved::TupleIn(columns, tuples) => Segment {
                columns,
                values: SegmentValues::Tuples(tuples),
            },
            other @ (Resolved::Element(..) | Resolved::Token(..)) => {
                resolved.push(other);
                break;
            }
        };
        at += segment.columns.len();
        part.segments.push(segment);
    }
    let Some(column) = columns.get(at) else {
        return part;
    };
    while let Some(place) = resolved.iter().position(|relation| {
        relation.is_slice()
            && relation
                .columns()
                .first()
                .is_some_and(|first| first.id == column.id)
    }) {
        let (columns, operator, values) = match resolved.remove(place) {
            Resolved::Compare(column, operator, value) => (vec![column], operator, vec![value]),
            Resolved::Tuple(columns, operator, values) => (columns, operator, values),
            _ => break,
        };
        let inclusive = matches!(operator, Operator::LessOrEqual | Operator::GreaterOrEqual);
        let bound = Bound {
            columns,
            values,
            inclusive,
        };
        let side = if matches!(operator, Operator::Greater | Operator::GreaterOrEqual) {
            &mut part.lower
        } else {
            &mut part.upper
        };
        *side = Some(bound);
    }
    part
}

/// What is left becomes a condition for each row.
fn filter(relation: Resolved) -> Result<Filter, Error> {
    match relation {
        Resolved::Compare(column, operator, value) => Ok(Filter {
            column,
            test: Test::Compare(operator, value),
        }),
        Resolved::In(column, choice) => Ok(Filter {
            column,
            test: Test::In(choice),
        }),
        Resolved::Element(column, key, value) => Ok(Filter {
            column,
            test: Test::Element(key, value),
        }),
        Resolved::Tuple(..) | Resolved::TupleIn(..) => Err(Error::unsupported(
            "filtering by several clustering columns together",
        )),
        Resolved::Token(..) => Err(Error::unsupported("filtering by token")),
    }
}
