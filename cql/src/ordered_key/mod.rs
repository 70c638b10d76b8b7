//! Byte-comparable encodings of typed values: `memcmp` of the encodings orders as CQL orders the values.
//!
//! The frame of a component is `model::ordered`'s. Payloads:
//!
//! ```text
//! boolean                   00 or 01
//! tinyint .. bigint, timestamp, counter   big-endian, sign bit flipped
//! date, time                as they are (never negative)
//! float, double             big-endian, ordered by model::ordered; every NaN is the same, and the largest
//! text, ascii, blob, inet   escaped and terminated
//! uuid                      version, then by time (version 1) or by bytes
//! timeuuid                  time, then the lower half as signed bytes
//! varint                    sign (00 or 01), length (4 bytes, inverted if negative), two's complement
//! decimal                   sign (01, 02 for zero, 03), exponent, digits in pairs, 00; inverted if negative
//! list, set                 the elements' components, 00
//! map                       keys' and values' components in turn, 00
//! ```
//!
//! Decimals that are equal are one key, as in Cassandra: `1.0` comes back as `1`. Cassandra gives back the scale
//! of one of the writes; a byte-comparable key that kept it would make two rows of equal values. Longer varints
//! come back in shortest form.

mod number;
mod uuid;

use bytes::Bytes;
use starling_model::{
    Clustering,
    key::MAX_CLUSTERING_BYTES,
    ordered::{self, Malformed},
};

use crate::{
    error::Error,
    schema::Column,
    types::CqlType,
    value::{self, Collection},
};

/// Encodes one value, which must be valid for the type and the type must have an order.
pub fn encode_component(cql_type: &CqlType, descending: bool, value: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(value.len() + 4);
    put_component(&mut out, cql_type, descending, value)?;
    Ok(out)
}

/// Appends the encoding of one value. After an error `out` has to be thrown away.
pub fn put_component(
    out: &mut Vec<u8>,
    cql_type: &CqlType,
    descending: bool,
    value: &[u8],
) -> Result<(), Error> {
    let has_empty = matches!(cql_type, CqlType::Text | CqlType::Ascii | CqlType::Blob);
    if value.is_empty() && !has_empty {
        out.push(if descending {
            ordered::EMPTY_DESCENDING
        } else {
            ordered::EMPTY
        });
        return Ok(());
    }
    out.push(ordered::VALUE);
    let start = out.len();
    put_payload(out, cql_type, value)?;
    if descending {
        ordered::invert(&mut out[start..]);
    }
    Ok(())
}

/// Reads one value's encoding from the front of `input` and moves `input` past it.
pub fn take_component(cql_type: &CqlType, descending: bool, input: &mut &[u8]) -> Result<Bytes, Malformed> {
    let (&first, rest) = input.split_first().ok_or(Malformed)?;
    match first {
        ordered::EMPTY | ordered::EMPTY_DESCENDING => {
            *input = rest;
            Ok(Bytes::new())
        }
        ordered::VALUE if descending => {
            let mut inverted = rest.to_vec();
            ordered::invert(&mut inverted);
            let mut cursor = &inverted[..];
            let value = take_payload(cql_type, &mut cursor)?;
            *input = &rest[rest.len() - cursor.len()..];
            Ok(value)
        }
        ordered::VALUE => {
            *input = rest;
            take_payload(cql_type, input)
        }
        _ => Err(Malformed),
    }
}

/// Encodes a row's clustering key, or a prefix of it: one value for each of the first columns.
pub fn encode_clustering<'a>(
    columns: &[Column],
    values: impl IntoIterator<Item = &'a Bytes>,
) -> Result<Clustering, Error> {
    let mut out = Vec::new();
    for (column, value) in columns.iter().zip(values) {
        put_component(&mut out, &column.cql_type, column.is_descending(), value)?;
    }
    if out.len() > MAX_CLUSTERING_BYTES {
        return Err(Error::invalid(format!(
            "the clustering key is {} bytes long when encoded; at most {MAX_CLUSTERING_BYTES} are taken",
            out.len()
        )));
    }
    Ok(Clustering::from(out))
}

/// The values of a row's clustering key, one for each column.
pub fn decode_clustering(columns: &[Column], clustering: &Clustering) -> Result<Vec<Bytes>, Malformed> {
    let mut input = &clustering.0[..];
    let values = columns
        .iter()
        .map(|column| take_component(&column.cql_type, column.is_descending(), &mut input))
        .collect::<Result<_, _>>()?;
    if input.is_empty() {
        Ok(values)
    } else {
        Err(Malformed)
    }
}

fn wrong(cql_type: &CqlType) -> Error {
    Error::invalid(format!("the bytes of a {cql_type} value are malformed"))
}

fn put_payload(out: &mut Vec<u8>, cql_type: &CqlType, value: &[u8]) -> Result<(), Error> {
    let start = out.len();
    let width = |expected: usize| {
        if value.len() == expected {
            Ok(())
        } else {
            Err(wrong(cql_type))
        }
    };
    match cql_type {
        CqlType::Boolean => out.push(u8::from(value.first().is_some_and(|byte| *byte != 0))),
        CqlType::Tinyint
        | CqlType::Smallint
        | CqlType::Int
        | CqlType::Bigint
        | CqlType::Counter
        | CqlType::Timestamp => {
            width(integer_width(cql_type))?;
            out.extend_from_slice(value);
            ordered::flip_sign(&mut out[start..]);
        }
        CqlType::Date | CqlType::Time => {
            width(integer_width(cql_type))?;
            out.extend_from_slice(value);
        }
        CqlType::Float | CqlType::Double => {
            out.extend_from_slice(&number::one_nan(value).ok_or_else(|| wrong(cql_type))?);
            ordered::order_float(&mut out[start..]);
        }
        CqlType::Text | CqlType::Ascii | CqlType::Blob | CqlType::Inet => ordered::put_bytes(out, value),
        CqlType::Uuid => out.extend_from_slice(&uuid::encode(value).ok_or_else(|| wrong(cql_type))?),
        CqlType::Timeuuid => out.extend_from_slice(&uuid::encode_time(value).ok_or_else(|| wrong(cql_type))?),
        CqlType::Varint => number::put_varint(out, value),
        CqlType::Decimal => number::put_decimal(out, value).ok_or_else(|| wrong(cql_type))?,
        CqlType::Duration => return Err(Error::invalid("durations have no order")),
        CqlType::List { .. } | CqlType::Set { .. } | CqlType::Map { .. } => {
            put_collection(out, cql_type, value)?;
        }
    }
    Ok(())
}

fn integer_width(cql_type: &CqlType) -> usize {
    match cql_type {
        CqlType::Tinyint => 1,
        CqlType::Smallint => 2,
        CqlType::Int | CqlType::Date | CqlType::Float => 4,
        _ => 8,
    }
}

fn put_collection(out: &mut Vec<u8>, cql_type: &CqlType, value: &[u8]) -> Result<(), Error> {
    let value = Bytes::copy_from_slice(value);
    match Collection::of(cql_type) {
        Some(Collection::List(element) | Collection::Set(element)) => {
            for item in value::elements(&value).ok_or_else(|| wrong(cql_type))? {
                put_component(out, element, false, &item)?;
            }
        }
        Some(Collection::Map(key_type, value_type)) => {
            for (key, value) in value::pairs(&value).ok_or_else(|| wrong(cql_type))? {
                put_component(out, key_type, false, &key)?;
                put_component(out, value_type, false, &value)?;
            }
        }
        None => return Err(wrong(cql_type)),
    }
    out.push(0);
    Ok(())
}

fn take_payload(cql_type: &CqlType, input: &mut &[u8]) -> Result<Bytes, Malformed> {
    let value = match cql_type {
        CqlType::Boolean => take(input, 1)?,
        CqlType::Tinyint
        | CqlType::Smallint
        | CqlType::Int
        | CqlType::Bigint
        | CqlType::Counter
        | CqlType::Timestamp => {
            let mut value = take(input, integer_width(cql_type))?;
            ordered::flip_sign(&mut value);
            value
        }
        CqlType::Date | CqlType::Time => take(input, integer_width(cql_type))?,
        CqlType::Float | CqlType::Double => {
            let mut value = take(input, integer_width(cql_type))?;
            ordered::restore_float(&mut value);
            value
        }
        CqlType::Text | CqlType::Ascii | CqlType::Blob | CqlType::Inet => ordered::take_bytes(input)?,
        CqlType::Uuid => uuid::decode(&take(input, 16)?),
        CqlType::Timeuuid => uuid::decode_time(&take(input, 16)?),
        CqlType::Varint => number::take_varint(input)?,
        CqlType::Decimal => number::take_decimal(input)?,
        CqlType::Duration => return Err(Malformed),
        CqlType::List { .. } | CqlType::Set { .. } | CqlType::Map { .. } => {
            return take_collection(cql_type, input);
        }
    };
    Ok(value.into())
}

fn take_collection(cql_type: &CqlType, input: &mut &[u8]) -> Result<Bytes, Malformed> {
    let types: Vec<&CqlType> = match Collection::of(cql_type) {
        Some(Collection::List(element) | Collection::Set(element)) => vec![element],
        Some(Collection::Map(key, value)) => vec![key, value],
        None => return Err(Malformed),
    };
    let mut items = Vec::new();
    loop {
        if let Some((0, rest)) = input.split_first() {
            *input = rest;
            let count = items.len() / types.len();
            return Ok(value::write_elements(
                count,
                items.iter().map(|item: &Bytes| &item[..]),
            ));
        }
        for cql_type in &types {
            items.push(take_component(cql_type, false, input)?);
        }
    }
}

fn take(input: &mut &[u8], length: usize) -> Result<Vec<u8>, Malformed> {
    let (value, rest) = input.split_at_checked(length).ok_or(Malformed)?;
    *input = rest;
    Ok(value.to_vec())
}
