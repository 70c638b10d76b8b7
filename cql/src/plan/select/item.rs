//! What a SELECT returns for each row.

use bytes::Bytes;

use super::row::ReadRow;
use crate::{
    error::Error,
    plan::{Context, bind::BoundValues, expression::Expression, function::Function},
    request::{Bound, Value},
    types::CqlType,
};

/// One thing to compute from a row.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// The column at this place of the table.
    Column(usize),
    /// When the column was written.
    Writetime(usize),
    /// How long the column has to live.
    Ttl(usize),
    /// The partition's token.
    Token,
    /// A function of other items.
    Call(Function, Vec<Item>),
    /// What does not depend on the row.
    Fixed(Expression),
    /// Its value for this execution.
    Known(Value),
    /// Something of all rows.
    Aggregate(Aggregate),
}

/// Something of all rows.
#[derive(Debug, Clone)]
pub(super) enum Aggregate {
    /// How many rows; or how many with a value.
    Count(Option<Box<Item>>),
    /// The smallest value.
    Min(Box<Item>, CqlType),
    /// The largest value.
    Max(Box<Item>, CqlType),
    /// The sum.
    Sum(Box<Item>, CqlType),
    /// The mean.
    Avg(Box<Item>, CqlType),
}

impl Item {
    pub(super) fn is_aggregate(&self) -> bool {
        match self {
            Self::Aggregate(_) => true,
            Self::Call(_, arguments) => arguments.iter().any(Self::is_aggregate),
            _ => false,
        }
    }

    /// The item with all that does not depend on rows computed.
    pub(super) fn settled(&self, values: &BoundValues, context: &mut Context<'_>) -> Result<Self, Error> {
        Ok(match self {
            Self::Fixed(expression) => match expression.evaluate(values, context)? {
                Bound::Value(value) => Self::Known(value),
                Bound::Unset => return Err(Error::invalid("unset value is not supported in a selection")),
            },
            Self::Call(function, _) if !function.is_pure() => Self::Known(function.evaluate(&[], context)?),
            Self::Call(function, arguments) => {
                let arguments = arguments
                    .iter()
                    .map(|argument| argument.settled(values, context))
                    .collect::<Result<_, _>>()?;
                Self::Call(function.clone(), arguments)
            }
            Self::Aggregate(aggregate) => Self::Aggregate(aggregate.settled(values, context)?),
            other => other.clone(),
        })
    }

    /// The value for a row.
    pub(super) fn value(&self, row: &ReadRow, now: starling_model::Seconds) -> Result<Value, Error> {
        Ok(match self {
            Self::Column(place) => row.values[*place].clone(),
            Self::Writetime(place) => {
                row.stamps[*place].map(|(timestamp, _)| Bytes::copy_from_slice(&timestamp.0.to_be_bytes()))
            }
            Self::Ttl(place) => row.stamps[*place].and_then(|(_, expiry)| expiry).map(|expiry| {
                let left = i32::try_from(expiry.at.0.saturating_sub(now.0)).unwrap_or(i32::MAX);
                Bytes::copy_from_slice(&left.to_be_bytes())
            }),
            Self::Token => Some(Bytes::copy_from_slice(&row.token.0.to_be_bytes())),
            Self::Call(function, arguments) => {
                let values = arguments
                    .iter()
                    .map(|argument| argument.value(row, now))
                    .collect::<Result<Vec<_>, _>>()?;
                function.apply(&values)?
            }
            Self::Known(value) => value.clone(),
            Self::Fixed(_) | Self::Aggregate(_) => None,
        })
    }
}

impl Aggregate {
    fn settled(&self, values: &BoundValues, context: &mut Context<'_>) -> Result<Self, Error> {
        let mut settle = |item: &Item| item.settled(values, context).map(Box::new);
        Ok(match self {
            Self::Count(None) => Self::Count(None),
            Self::Count(Some(item)) => Self::Count(Some(settle(item)?)),
            Self::Min(item, cql_type) => Self::Min(settle(item)?, cql_type.clone()),
            Self::Max(item, cql_type) => Self::Max(settle(item)?, cql_type.clone()),
            Self::Sum(item, cql_type) => Self::Sum(settle(item)?, cql_type.clone()),
            Self::Avg(item, cql_type) => Self::Avg(settle(item)?, cql_type.clone()),
        })
    }
}
