//! Conditions that each row is checked against.

use std::cmp::Ordering;

use bytes::Bytes;
use starling_model::ColumnId;

use super::{Filter, Test};
use crate::{
    ast::Operator,
    error::Error,
    ordered_key,
    plan::{Context, bind::BoundValues},
    request::Value,
    types::CqlType,
    value::{self, Collection},
};

/// A filter with its values known.
#[derive(Debug, Clone)]
pub(in crate::plan) struct ReadyFilter {
    /// The column it looks at.
    pub(in crate::plan) column: ColumnId,
    cql_type: CqlType,
    test: ReadyTest,
}

#[derive(Debug, Clone)]
enum ReadyTest {
    Compare(Operator, Vec<u8>),
    In(Vec<Vec<u8>>),
    Contains(Vec<u8>),
    ContainsKey(Vec<u8>),
    Element(Vec<u8>, Vec<u8>),
}

/// A form of a value in which equal values are equal bytes, and which orders where the type does.
fn comparable(cql_type: &CqlType, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    if cql_type.has_order() {
        ordered_key::encode_component(cql_type, false, bytes)
    } else {
        Ok(bytes.to_vec())
    }
}

impl Filter {
    /// Computes the values.
    pub(in crate::plan) fn ready(
        &self,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<ReadyFilter, Error> {
        let name = &self.column.name;
        let cql_type = self.column.cql_type.clone();
        let part = |key: bool| match Collection::of(&cql_type) {
            Some(Collection::List(element) | Collection::Set(element)) => element.clone(),
            Some(Collection::Map(key_type, value_type)) => if key { key_type } else { value_type }.clone(),
            None => cql_type.clone(),
        };
        let test = match &self.test {
            Test::Compare(operator, expression) => {
                let bytes = expression.required(name, values, context)?;
                match operator {
                    Operator::Contains => ReadyTest::Contains(comparable(&part(false), &bytes)?),
                    Operator::ContainsKey => ReadyTest::ContainsKey(comparable(&part(true), &bytes)?),
                    other => ReadyTest::Compare(*other, comparable(&cql_type, &bytes)?),
                }
            }
            Test::In(choice) => {
                let choices = choice.values(name, values, context)?;
                ReadyTest::In(
                    choices
                        .iter()
                        .map(|value| comparable(&cql_type, value))
                        .collect::<Result<_, _>>()?,
                )
            }
            Test::Element(key, element) => {
                let key = key.required(name, values, context)?;
                let element = element.required(name, values, context)?;
                ReadyTest::Element(
                    comparable(&part(true), &key)?,
                    comparable(&part(false), &element)?,
                )
            }
        };
        Ok(ReadyFilter {
            column: self.column.id,
            cql_type,
            test,
        })
    }
}

impl ReadyFilter {
    /// Whether a row with this value passes. Null passes nothing.
    pub(in crate::plan) fn passes(&self, value: &Value) -> Result<bool, Error> {
        let Some(value) = value else { return Ok(false) };
        Ok(match &self.test {
            ReadyTest::Compare(operator, wanted) => {
                let order = comparable(&self.cql_type, value)?.cmp(wanted);
                match operator {
                    Operator::Less => order == Ordering::Less,
                    Operator::LessOrEqual => order != Ordering::Greater,
                    Operator::Greater => order == Ordering::Greater,
                    Operator::GreaterOrEqual => order != Ordering::Less,
                    _ => order == Ordering::Equal,
                }
            }
            ReadyTest::In(choices) => choices.contains(&comparable(&self.cql_type, value)?),
            ReadyTest::Contains(wanted) => self.any(value, wanted, false)?,
            ReadyTest::ContainsKey(wanted) => self.any(value, wanted, true)?,
            ReadyTest::Element(key, wanted) => self.has_element(value, key, wanted)?,
        })
    }

    /// Whether an element (or, of a map, a key) is the wanted one.
    fn any(&self, value: &Bytes, wanted: &[u8], keys: bool) -> Result<bool, Error> {
        let (cql_type, items): (&CqlType, Vec<Bytes>) = match Collection::of(&self.cql_type) {
            Some(Collection::List(element) | Collection::Set(element)) => {
                (element, value::elements(value).unwrap_or_default())
            }
            Some(Collection::Map(key_type, value_type)) => {
                let pairs = value::pairs(value).unwrap_or_default();
                let items = pairs
                    .into_iter()
                    .map(|(key, value)| if keys { key } else { value })
                    .collect();
                (if keys { key_type } else { value_type }, items)
            }
            None => return Ok(false),
        };
        for item in items {
            if comparable(cql_type, &item)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_element(&self, value: &Bytes, key: &[u8], wanted: &[u8]) -> Result<bool, Error> {
        let Some(Collection::Map(key_type, value_type)) = Collection::of(&self.cql_type) else {
            return Ok(false);
        };
        for (found, element) in value::pairs(value).unwrap_or_default() {
            if comparable(key_type, &found)? == key {
                return Ok(comparable(value_type, &element)? == wanted);
            }
        }
        Ok(false)
    }
}
