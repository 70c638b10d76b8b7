//! Sorts a WHERE clause out.

use super::{
    Bound, Choice, ClusteringPart, Filter, PartitionPart, Restrictions, Segment, SegmentValues, Test,
    relation::Resolved,
};
use crate::{
    ast::{Operator, Relation},
    error::Error,
    plan::bind::Markers,
    schema::{Column, ColumnKind, Table},
};

impl Restrictions {
    /// Sorts the relations of a statement on `table` out.
    pub(in crate::plan) fn new(
        table: &Table,
        relations: &[Relation],
        markers: &mut Markers,
    ) -> Result<Self, Error> {
        let mut resolved = relations
            .iter()
            .map(|relation| Resolved::new(table, relation, markers))
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

/// A column has one relation, or one lower and one upper bound, or several CONTAINS.
fn check_repeats(table: &Table, resolved: &[Resolved]) -> Result<(), Error> {
    for column in &table.columns {
        let of_column: Vec<&Resolved> = resolved
            .iter()
            .filter(|relation| relation.restricts(column))
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
        resolved
            .iter()
            .any(|relation| relation.is_exact() && relation.restricts(column))
    };
    if !table.partition_key().iter().all(exact) {
        return Ok(PartitionPart::All);
    }
    let mut keys = Vec::new();
    for column in table.partition_key() {
        let at = resolved.iter().position(|relation| relation.begins_with(column));
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
        let Some(place) = resolved
            .iter()
            .position(|relation| relation.begins_with(column) && relation.is_exact())
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
    while let Some(place) = resolved
        .iter()
        .position(|relation| relation.is_slice() && relation.begins_with(column))
    {
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
