//! Whether bytes are a value of a type.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Collection, Duration, calendar::NANOS_PER_DAY, elements, pairs, write_elements};
use crate::{error::Error, ordered_key, types::CqlType};

/// The longest varint, and integer of a decimal, in bytes: about 19,000 digits.
pub const MAX_VARINT_BYTES: usize = 8_192;

/// Checks that the bytes are a value of the type. Nothing of the value is kept.
///
/// As in Cassandra, an empty value is fine for most scalars, and means "empty", not null.
pub fn validate(cql_type: &CqlType, value: &[u8]) -> Result<(), Error> {
    if Collection::of(cql_type).is_some() {
        return normalize(cql_type, &Bytes::copy_from_slice(value)).map(|_| ());
    }
    check_scalar(cql_type, value).map_err(Error::invalid)
}

/// Checks a value and brings it into the form that is stored: sets and maps in order, each element once.
pub fn normalize(cql_type: &CqlType, value: &Bytes) -> Result<Bytes, Error> {
    let malformed = || Error::invalid(format!("the bytes of a {cql_type} value are malformed"));
    match Collection::of(cql_type) {
        None => {
            check_scalar(cql_type, value).map_err(Error::invalid)?;
            Ok(value.clone())
        }
        Some(Collection::List(element)) => {
            let items = elements(value).ok_or_else(malformed)?;
            let items: Vec<Bytes> = items
                .iter()
                .map(|item| normalize(element, item))
                .collect::<Result<_, _>>()?;
            Ok(write_elements(items.len(), items.iter().map(|item| &item[..])))
        }
        Some(Collection::Set(element)) => {
            let mut sorted = BTreeMap::new();
            for item in elements(value).ok_or_else(malformed)? {
                let item = normalize(element, &item)?;
                sorted
                    .entry(ordered_key::encode_component(element, false, &item)?)
                    .or_insert(item);
            }
            Ok(write_elements(
                sorted.len(),
                sorted.values().map(|item| &item[..]),
            ))
        }
        Some(Collection::Map(key_type, value_type)) => {
            let mut sorted = BTreeMap::new();
            for (key, value) in pairs(value).ok_or_else(malformed)? {
                let key = normalize(key_type, &key)?;
                let value = normalize(value_type, &value)?;
                sorted.insert(
                    ordered_key::encode_component(key_type, false, &key)?,
                    (key, value),
                );
            }
            let items = sorted.values().flat_map(|(key, value)| [&key[..], &value[..]]);
            Ok(write_elements(sorted.len(), items))
        }
    }
}

fn check_scalar(cql_type: &CqlType, value: &[u8]) -> Result<(), String> {
    let length = value.len();
    let of_length = |expected: usize, may_be_empty: bool| {
        if length == expected || (may_be_empty && length == 0) {
            return Ok(());
        }
        let or_empty = if may_be_empty { " or 0" } else { "" };
        Err(format!(
            "Expected {expected}{or_empty} byte long {cql_type} ({length})"
        ))
    };
    match cql_type {
        CqlType::Ascii if value.is_ascii() => Ok(()),
        CqlType::Ascii => Err("Invalid byte for ascii: a byte above 127".to_owned()),
        CqlType::Text => std::str::from_utf8(value).map(|_| ()).map_err(|error| {
            format!(
                "String didn't validate: invalid UTF-8 after byte {}",
                error.valid_up_to()
            )
        }),
        CqlType::Blob => Ok(()),
        CqlType::Boolean => of_length(1, true),
        CqlType::Tinyint => of_length(1, false),
        CqlType::Smallint => of_length(2, false),
        CqlType::Int | CqlType::Float => of_length(4, true),
        CqlType::Date => of_length(4, false),
        CqlType::Bigint | CqlType::Counter | CqlType::Double | CqlType::Timestamp => of_length(8, true),
        CqlType::Time => {
            of_length(8, false)?;
            let nanos = super::long(value).unwrap_or(-1);
            if (0..NANOS_PER_DAY).contains(&nanos) {
                return Ok(());
            }
            Err(format!("Input long out of bounds for time: {nanos}"))
        }
        CqlType::Uuid => of_length(16, true),
        CqlType::Timeuuid => {
            of_length(16, true)?;
            if length == 0 || value[6] >> 4 == 1 {
                return Ok(());
            }
            Err("Invalid version for TimeUUID type.".to_owned())
        }
        CqlType::Inet if matches!(length, 0 | 4 | 16) => Ok(()),
        CqlType::Inet => Err(format!("Expected 4 or 16 byte inetaddress ({length})")),
        CqlType::Varint if length <= MAX_VARINT_BYTES => Ok(()),
        CqlType::Decimal if length == 0 || (5..=MAX_VARINT_BYTES + 4).contains(&length) => Ok(()),
        CqlType::Varint | CqlType::Decimal => Err(format!(
            "Invalid {cql_type} of {length} bytes: at most {MAX_VARINT_BYTES} are taken"
        )),
        CqlType::Duration if Duration::decode(value).is_some() => Ok(()),
        CqlType::Duration => {
            Err("Invalid duration: expected months, days and nanoseconds of one sign".to_owned())
        }
        CqlType::List { .. } | CqlType::Set { .. } | CqlType::Map { .. } => Err("not a scalar".to_owned()),
    }
}
