//! From restrictions and values to partitions.

use std::collections::BTreeSet;

use bytes::Bytes;
use starling_model::{Token, TokenRange};

use super::{Choice, PartitionPart, Partitions, product::product};
use crate::{
    ast::Operator,
    error::Error,
    ordered_key, partition_key,
    plan::{Context, bind::BoundValues, expression::Expression, function::Function},
    types::CqlType,
    value,
};

impl Choice {
    /// The values, each once, in the order of the statement.
    pub(super) fn values(
        &self,
        name: &str,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Vec<Bytes>, Error> {
        let all = match self {
            // Most columns are given one value.
            Self::These(expressions) if let [one] = &expressions[..] => {
                return Ok(vec![one.required(name, values, context)?]);
            }
            Self::These(expressions) => expressions
                .iter()
                .map(|expression| expression.required(name, values, context))
                .collect::<Result<Vec<_>, _>>()?,
            Self::ListMarker(marker, _) => {
                let list = marker.required(name, values, context)?;
                value::elements(&list)
                    .ok_or_else(|| Error::invalid(format!("the list for column {name} is malformed")))?
            }
        };
        let mut seen = BTreeSet::new();
        Ok(all
            .into_iter()
            .filter(|value| seen.insert(value.clone()))
            .collect())
    }
}

impl PartitionPart {
    /// The partitions to read or write. Those of an IN come in the order of their type, whatever the order
    /// of the statement, as Cassandra has it since 2.2.
    pub(in crate::plan) fn partitions(
        &self,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Partitions, Error> {
        match self {
            Self::All => Ok(Partitions::Tokens(Some(TokenRange::ALL))),
            Self::Tokens(bounds) => token_range(bounds, values, context).map(Partitions::Tokens),
            Self::Keys(columns) => {
                let mut keys = vec![Vec::new()];
                for (column, choice) in columns {
                    let mut choices = choice.values(&column.name, values, context)?;
                    if choices.len() > 1 {
                        sort(&mut choices, &column.cql_type)?;
                    }
                    let choices: Vec<Vec<Bytes>> = choices.into_iter().map(|value| vec![value]).collect();
                    keys = product(keys, &choices)?;
                }
                let keys = keys
                    .iter()
                    .map(|key| Ok(context.decorate(partition_key::compose(key)?)));
                keys.collect::<Result<_, Error>>().map(Partitions::Keys)
            }
        }
    }
}

/// Orders values as their type does.
fn sort(values: &mut [Bytes], cql_type: &CqlType) -> Result<(), Error> {
    let mut ordered = values
        .iter()
        .map(|value| {
            Ok((
                ordered_key::encode_component(cql_type, false, value)?,
                value.clone(),
            ))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    ordered.sort();
    for (value, (_, next)) in values.iter_mut().zip(ordered) {
        *value = next;
    }
    Ok(())
}

fn token_range(
    bounds: &[(Operator, Expression)],
    values: &BoundValues,
    context: &mut Context<'_>,
) -> Result<Option<TokenRange>, Error> {
    // Exclusive and inclusive. No key has the smallest token, so an end there means the end of the ring,
    // as Cassandra has it.
    let (mut after, mut until) = (i64::MIN, i64::MAX);
    let mut empty = false;
    for (operator, expression) in bounds {
        let token = token_of(expression, values, context)?;
        let before = token.checked_sub(1);
        match operator {
            Operator::Greater => after = after.max(token),
            Operator::GreaterOrEqual => after = after.max(before.unwrap_or(i64::MIN)),
            Operator::Less | Operator::LessOrEqual if token == i64::MIN => {}
            Operator::LessOrEqual => until = until.min(token),
            Operator::Less => until = until.min(before.unwrap_or(i64::MIN)),
            Operator::Equal => {
                empty |= before.is_none();
                after = after.max(before.unwrap_or(i64::MIN));
                until = until.min(token);
            }
            Operator::Contains | Operator::ContainsKey => {
                return Err(Error::invalid("a token has no elements"));
            }
        }
    }
    Ok((!empty && after < until).then_some(TokenRange {
        start: Token(after),
        end: Token(until),
    }))
}

fn token_of(expression: &Expression, values: &BoundValues, context: &mut Context<'_>) -> Result<i64, Error> {
    if let Expression::Call(Function::Token, arguments) = expression {
        let parts = arguments
            .iter()
            .map(|argument| argument.required("the partition key", values, context))
            .collect::<Result<Vec<_>, _>>()?;
        return Ok((context.token)(&partition_key::compose(&parts)?).0);
    }
    let bytes = expression.required("partition key token", values, context)?;
    value::long(&bytes).ok_or_else(|| Error::invalid("a token has 8 bytes"))
}
