//! COUNT, MIN, MAX, SUM and AVG over all rows.

use bytes::Bytes;
use num_bigint::BigInt;
use starling_model::Seconds;

use super::{
    item::{Aggregate, Item},
    row::ReadRow,
};
use crate::{error::Error, ordered_key, plan::function::Function, request::Value, types::CqlType};

/// An item's state over the rows so far.
#[derive(Debug)]
pub(super) enum Accumulator {
    /// The first row's value.
    First(Item, Option<Value>),
    Count(Option<Item>, u64),
    /// The best value and its order; whether the largest is wanted.
    Best {
        item: Item,
        cql_type: CqlType,
        largest: bool,
        best: Option<(Vec<u8>, Bytes)>,
    },
    Total {
        item: Item,
        cql_type: CqlType,
        mean: bool,
        count: u64,
        whole: BigInt,
        float: f64,
    },
    /// A function of aggregates.
    Call(Function, Vec<Accumulator>),
}

impl Accumulator {
    pub(super) fn new(item: &Item) -> Self {
        let total = |item: &Item, cql_type: &CqlType, mean| Self::Total {
            item: item.clone(),
            cql_type: cql_type.clone(),
            mean,
            count: 0,
            whole: BigInt::from(0),
            float: 0.0,
        };
        let best = |item: &Item, cql_type: &CqlType, largest| Self::Best {
            item: item.clone(),
            cql_type: cql_type.clone(),
            largest,
            best: None,
        };
        match item {
            Item::Aggregate(Aggregate::Count(counted)) => Self::Count(counted.as_deref().cloned(), 0),
            Item::Aggregate(Aggregate::Min(item, cql_type)) => best(item, cql_type, false),
            Item::Aggregate(Aggregate::Max(item, cql_type)) => best(item, cql_type, true),
            Item::Aggregate(Aggregate::Sum(item, cql_type)) => total(item, cql_type, false),
            Item::Aggregate(Aggregate::Avg(item, cql_type)) => total(item, cql_type, true),
            Item::Call(function, arguments) if item.is_aggregate() => {
                Self::Call(function.clone(), arguments.iter().map(Self::new).collect())
            }
            other => Self::First(other.clone(), None),
        }
    }

    pub(super) fn take(&mut self, row: &ReadRow, now: Seconds) -> Result<(), Error> {
        match self {
            Self::First(item, first) => {
                if first.is_none() {
                    *first = Some(item.value(row, now)?);
                }
            }
            Self::Count(None, count) => *count += 1,
            Self::Count(Some(item), count) => *count += u64::from(item.value(row, now)?.is_some()),
            Self::Best {
                item,
                cql_type,
                largest,
                best,
            } => {
                if let Some(value) = item.value(row, now)? {
                    let order = ordered_key::encode_component(cql_type, false, &value)?;
                    let better = best.as_ref().is_none_or(|(so_far, _)| {
                        if *largest {
                            order > *so_far
                        } else {
                            order < *so_far
                        }
                    });
                    if better {
                        *best = Some((order, value));
                    }
                }
            }
            Self::Total {
                item,
                cql_type,
                count,
                whole,
                float,
                ..
            } => {
                let Some(value) = item.value(row, now)?.filter(|value| !value.is_empty()) else {
                    return Ok(());
                };
                *count += 1;
                match cql_type {
                    CqlType::Float => {
                        *float += value
                            .as_ref()
                            .try_into()
                            .map_or(0.0, |b| f64::from(f32::from_be_bytes(b)));
                    }
                    CqlType::Double => *float += value.as_ref().try_into().map_or(0.0, f64::from_be_bytes),
                    _ => *whole += BigInt::from_signed_bytes_be(&value),
                }
            }
            Self::Call(_, arguments) => {
                for argument in arguments {
                    argument.take(row, now)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Value, Error> {
        match self {
            Self::First(_, value) => Ok(value.flatten()),
            Self::Count(_, count) => Ok(Some(Bytes::copy_from_slice(&count.to_be_bytes()))),
            Self::Best { best, .. } => Ok(best.map(|(_, value)| value)),
            Self::Total {
                cql_type,
                mean,
                count,
                whole,
                float,
                ..
            } => total(&cql_type, mean, count, &whole, float),
            Self::Call(function, arguments) => {
                let values = arguments
                    .into_iter()
                    .map(Self::finish)
                    .collect::<Result<Vec<_>, _>>()?;
                function.apply(&values)
            }
        }
    }
}

/// The sum or the mean, in the type of what was added. Of no rows it is 0, as in Cassandra.
fn total(cql_type: &CqlType, mean: bool, count: u64, whole: &BigInt, float: f64) -> Result<Value, Error> {
    let divisor = if mean { count.max(1) } else { 1 };
    let whole = whole / BigInt::from(divisor);
    let float = float / divisor as f64;
    let fits = |bytes: usize| -> Result<Vec<u8>, Error> {
        let number = i64::try_from(&whole).ok().filter(|number| {
            let spare = 64 - 8 * bytes as u32;
            (number << spare) >> spare == *number
        });
        let number = number.ok_or_else(|| {
            Error::invalid(format!(
                "the sum of {cql_type} values does not fit the type; add them up as varint by CAST"
            ))
        })?;
        Ok(number.to_be_bytes()[8 - bytes..].to_vec())
    };
    Ok(Some(Bytes::from(match cql_type {
        CqlType::Float => (float as f32).to_be_bytes().to_vec(),
        CqlType::Double => float.to_be_bytes().to_vec(),
        CqlType::Varint => whole.to_signed_bytes_be(),
        CqlType::Tinyint => fits(1)?,
        CqlType::Smallint => fits(2)?,
        CqlType::Int => fits(4)?,
        _ => fits(8)?,
    })))
}
