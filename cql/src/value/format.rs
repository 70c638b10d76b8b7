//! Values as text.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use num_bigint::BigInt;

use super::{
    Collection, Decimal, Duration, MAX_VARINT_BYTES, calendar, elements, format_uuid, int, long, pairs,
};
use crate::types::CqlType;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FormatOptions {
    /// Write CQL literals: strings, dates, addresses and the like in single quotes. Within a collection
    /// they always are.
    pub quoted: bool,
}

/// Writes a value. Empty values are written as an empty text, bytes that are no value of the type as hexadecimal.
pub fn format(cql_type: &CqlType, value: &[u8], options: FormatOptions) -> String {
    text(cql_type, value, options.quoted).unwrap_or_else(|| hex(value))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(2 + bytes.len() * 2);
    out.push_str("0x");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn quote(text: &str, quoted: bool) -> String {
    if quoted {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        text.to_owned()
    }
}

fn text(cql_type: &CqlType, value: &[u8], quoted: bool) -> Option<String> {
    if let Some(collection) = Collection::of(cql_type) {
        return collection_text(collection, &Bytes::copy_from_slice(value));
    }
    match cql_type {
        CqlType::Ascii | CqlType::Text => return Some(quote(std::str::from_utf8(value).ok()?, quoted)),
        CqlType::Blob => return Some(hex(value)),
        _ if value.is_empty() => return Some(if quoted { "''".to_owned() } else { String::new() }),
        _ => {}
    }
    Some(match cql_type {
        CqlType::Boolean => (*value.first()? != 0).to_string(),
        CqlType::Tinyint => i8::from_be_bytes(value.try_into().ok()?).to_string(),
        CqlType::Smallint => i16::from_be_bytes(value.try_into().ok()?).to_string(),
        CqlType::Int => int(value)?.to_string(),
        CqlType::Bigint | CqlType::Counter => long(value)?.to_string(),
        CqlType::Varint if value.len() <= MAX_VARINT_BYTES => BigInt::from_signed_bytes_be(value).to_string(),
        CqlType::Decimal if value.len() <= MAX_VARINT_BYTES + 4 => Decimal::decode(value)?.to_string(),
        CqlType::Float => float_text(f64::from(f32::from_be_bytes(value.try_into().ok()?)), {
            format!("{:?}", f32::from_be_bytes(value.try_into().ok()?))
        }),
        CqlType::Double => {
            let number = f64::from_be_bytes(value.try_into().ok()?);
            float_text(number, format!("{number:?}"))
        }
        CqlType::Date => quote(&calendar::format_date(int(value)? as u32), quoted),
        CqlType::Time => quote(&calendar::format_time(long(value)?), quoted),
        CqlType::Timestamp => quote(&calendar::format_timestamp(long(value)?), quoted),
        CqlType::Uuid | CqlType::Timeuuid => format_uuid(u128::from_be_bytes(value.try_into().ok()?)),
        CqlType::Duration => Duration::decode(value)?.to_string(),
        CqlType::Inet => quote(&address(value)?, quoted),
        _ => return None,
    })
}

fn float_text(number: f64, shortest: String) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 {
            "Infinity".to_owned()
        } else {
            "-Infinity".to_owned()
        }
    } else {
        shortest
    }
}

/// An IPv4 or IPv6 address in its usual form.
pub(super) fn address(value: &[u8]) -> Option<String> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(octets).to_string());
    }
    let octets: [u8; 16] = value.try_into().ok()?;
    Some(Ipv6Addr::from(octets).to_string())
}

fn collection_text(collection: Collection<'_>, value: &Bytes) -> Option<String> {
    let join = |element: &CqlType| -> Option<String> {
        let items: Option<Vec<String>> = elements(value)?
            .iter()
            .map(|item| text(element, item, true))
            .collect();
        Some(items?.join(", "))
    };
    Some(match collection {
        Collection::List(element) => format!("[{}]", join(element)?),
        Collection::Set(element) => format!("{{{}}}", join(element)?),
        Collection::Map(key_type, value_type) => {
            let items: Option<Vec<String>> = pairs(value)?
                .iter()
                .map(|(key, value)| {
                    Some(format!(
                        "{}: {}",
                        text(key_type, key, true)?,
                        text(value_type, value, true)?
                    ))
                })
                .collect();
            format!("{{{}}}", items?.join(", "))
        }
    })
}
