//! Terms checked against the type that is wanted, ready to be evaluated.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Context,
    bind::{BoundValues, Evaluated, Markers, Target, check_value},
    function::{self, Function},
};
use crate::{
    ast::Term,
    error::Error,
    ordered_key,
    request::{Bound, Value},
    types::CqlType,
    value::{self, Collection},
};

/// A term whose value can be computed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// Known already.
    Constant(Value),
    /// A bind marker's value.
    Marker(u16),
    /// A collection with parts that are not known yet; of a map, keys and values in turn.
    Collection(CqlType, Vec<Expression>),
    /// A function's result.
    Call(Function, Vec<Expression>),
}

impl Expression {
    /// Checks a term against what is wanted.
    pub(super) fn new(term: &Term, target: &Target, markers: &mut Markers) -> Result<Self, Error> {
        match term {
            Term::Literal(literal) => {
                let value = value::constant(literal, target.cql_type(), target.name())?;
                let value = value
                    .map(|bytes| check_value(target.name(), target.cql_type(), &bytes))
                    .transpose()?;
                Ok(Self::Constant(value))
            }
            Term::Marker(marker) => {
                markers.note(marker, target);
                Ok(Self::Marker(marker.index))
            }
            Term::List(items) => match Collection::of(target.cql_type()) {
                Some(Collection::List(element)) => {
                    let part = target.part("value", element);
                    Self::collection(target, items.iter().map(|item| (item, &part)), markers)
                }
                _ => Err(mismatch("list", target)),
            },
            Term::Set(items) => match Collection::of(target.cql_type()) {
                Some(Collection::Set(element)) => {
                    let part = target.part("value", element);
                    Self::collection(target, items.iter().map(|item| (item, &part)), markers)
                }
                Some(Collection::Map(..)) if items.is_empty() => {
                    Self::collection(target, std::iter::empty(), markers)
                }
                _ => Err(mismatch("set", target)),
            },
            Term::Map(pairs) => match Collection::of(target.cql_type()) {
                Some(Collection::Map(key_type, value_type)) => {
                    let key_part = target.part("key", key_type);
                    let value_part = target.part("value", value_type);
                    let items = pairs
                        .iter()
                        .flat_map(|(key, value)| [(key, &key_part), (value, &value_part)]);
                    Self::collection(target, items, markers)
                }
                _ => Err(mismatch("map", target)),
            },
            Term::Tuple(_) => Err(mismatch("tuple", target)),
            Term::Hint { cql_type, term } => {
                function::check_assignable(cql_type, target)?;
                Self::new(term, &Target::named(target.name(), cql_type), markers)
            }
            Term::Call { name, arguments } => function::call(name, arguments, target, markers),
            Term::Cast { term, cql_type } => function::cast(term, cql_type, target, markers),
        }
    }

    fn collection<'a>(
        target: &Target,
        items: impl Iterator<Item = (&'a Term, &'a Target)>,
        markers: &mut Markers,
    ) -> Result<Self, Error> {
        let items: Vec<Self> = items
            .map(|(item, part)| Self::new(item, part, markers))
            .collect::<Result<_, _>>()?;
        let known: Option<Vec<Value>> = items
            .iter()
            .map(|item| match item {
                Self::Constant(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        match known {
            Some(values) => Ok(Self::Constant(Some(build(target.cql_type(), values)?))),
            None => Ok(Self::Collection(target.cql_type().clone(), items)),
        }
    }

    /// Computes the value.
    pub(super) fn evaluate(
        &self,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Evaluated, Error> {
        match self {
            Self::Constant(value) => Ok(Bound::Value(value.clone())),
            Self::Marker(index) => Ok(values.get(*index)),
            Self::Collection(cql_type, items) => {
                let mut parts = Vec::with_capacity(items.len());
                for item in items {
                    match item.evaluate(values, context)? {
                        Bound::Value(value) => parts.push(value),
                        Bound::Unset => {
                            return Err(Error::invalid("unset value is not supported inside collections"));
                        }
                    }
                }
                Ok(Bound::Value(Some(build(cql_type, parts)?)))
            }
            Self::Call(function, arguments) => {
                let mut known = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    match argument.evaluate(values, context)? {
                        Bound::Value(value) => known.push(value),
                        Bound::Unset => {
                            return Err(Error::invalid(
                                "unset value is not supported as a function's argument",
                            ));
                        }
                    }
                }
                function.evaluate(&known, context).map(Bound::Value)
            }
        }
    }

    /// Computes a value that has to be there: of a key, or to compare with.
    pub(super) fn required(
        &self,
        name: &str,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<Bytes, Error> {
        match self.evaluate(values, context)? {
            Bound::Value(Some(value)) => Ok(value),
            Bound::Value(None) => Err(Error::invalid(format!(
                "Invalid null value in condition for column {name}"
            ))),
            Bound::Unset => Err(Error::invalid(format!("Invalid unset value for column {name}"))),
        }
    }
}

fn mismatch(kind: &str, target: &Target) -> Error {
    Error::invalid(format!(
        "Invalid {kind} literal for {} of type {}",
        target.name(),
        target.cql_type()
    ))
}

/// Puts a collection together: sets and maps in order, each element once, the last of equal keys.
fn build(cql_type: &CqlType, parts: Vec<Value>) -> Result<Bytes, Error> {
    let parts: Vec<Bytes> = parts
        .into_iter()
        .map(|part| part.ok_or_else(|| Error::invalid("null is not supported inside collections")))
        .collect::<Result<_, _>>()?;
    let built = match Collection::of(cql_type) {
        Some(Collection::Map(key_type, _)) => {
            let mut sorted = BTreeMap::new();
            for pair in parts.chunks_exact(2) {
                sorted.insert(ordered_key::encode_component(key_type, false, &pair[0])?, pair);
            }
            value::write_elements(
                sorted.len(),
                sorted.values().flat_map(|pair| pair.iter().map(|part| &part[..])),
            )
        }
        Some(Collection::Set(element)) => {
            let mut sorted = BTreeMap::new();
            for part in &parts {
                sorted.insert(ordered_key::encode_component(element, false, part)?, part);
            }
            value::write_elements(sorted.len(), sorted.values().map(|part| &part[..]))
        }
        _ => value::write_elements(parts.len(), parts.iter().map(|part| &part[..])),
    };
    check_value("a collection", cql_type, &built)
}
