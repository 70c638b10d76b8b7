//! Values as JSON.

use std::fmt::Write;

use bytes::Bytes;

use super::{Collection, FormatOptions, elements, format as plain, pairs};
use crate::types::CqlType;

/// Writes a value as JSON; null as `null`.
///
/// Numbers and booleans as themselves (`NaN` and infinities as strings), lists and sets as arrays, maps as
/// objects whose keys are strings, everything else as strings in the form of [`format`](plain).
pub fn json(cql_type: &CqlType, value: Option<&[u8]>) -> String {
    let Some(value) = value else {
        return "null".to_owned();
    };
    let nested = match Collection::of(cql_type) {
        Some(collection) => collection_json(collection, &Bytes::copy_from_slice(value)),
        None => None,
    };
    nested.unwrap_or_else(|| scalar_json(cql_type, value))
}

fn scalar_json(cql_type: &CqlType, value: &[u8]) -> String {
    let text = plain(cql_type, value, FormatOptions { quoted: false });
    let is_plain = match cql_type {
        CqlType::Boolean => matches!(text.as_str(), "true" | "false"),
        CqlType::Tinyint
        | CqlType::Smallint
        | CqlType::Int
        | CqlType::Bigint
        | CqlType::Counter
        | CqlType::Varint
        | CqlType::Decimal
        | CqlType::Float
        | CqlType::Double => {
            text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
                && text.ends_with(|last: char| last.is_ascii_digit())
                && !text.starts_with("0x")
        }
        _ => false,
    };
    if is_plain { text } else { string(&text) }
}

fn collection_json(collection: Collection<'_>, value: &Bytes) -> Option<String> {
    let items: Vec<String> = match collection {
        Collection::List(element) | Collection::Set(element) => {
            let items = elements(value)?
                .iter()
                .map(|item| json(element, Some(item)))
                .collect::<Vec<_>>();
            return Some(format!("[{}]", items.join(", ")));
        }
        Collection::Map(key_type, value_type) => pairs(value)?
            .iter()
            .map(|(key, value)| {
                let key = string(&plain(key_type, key, FormatOptions { quoted: false }));
                format!("{key}: {}", json(value_type, Some(value)))
            })
            .collect(),
    };
    Some(format!("{{{}}}", items.join(", ")))
}

/// A JSON string (RFC 8259, section 7).
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < '\u{20}' => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
