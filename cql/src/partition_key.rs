//! Partition keys: the bytes that drivers hash.
//!
//! A key of one column is the value itself. A composite one is, for each component, a 2-byte big-endian
//! length, the value, and a zero byte.

use bytes::Bytes;
use starling_model::key::MAX_PARTITION_KEY_BYTES;

use crate::{
    error::Error,
    parser::quoted,
    schema::Table,
    types::CqlType,
    value::{FormatOptions, format},
};

/// So many characters of a key are shown.
const SHOWN_CHARACTERS: usize = 256;

/// Puts a key together from its components, in the order of the columns.
pub fn compose(components: &[Bytes]) -> Result<Bytes, Error> {
    let too_long = |length: usize| {
        Error::invalid(format!(
            "Key length of {length} is longer than maximum of {MAX_PARTITION_KEY_BYTES}"
        ))
    };
    if let [single] = components {
        if single.is_empty() {
            return Err(Error::invalid("Key may not be empty"));
        }
        if single.len() > MAX_PARTITION_KEY_BYTES {
            return Err(too_long(single.len()));
        }
        return Ok(single.clone());
    }
    let length = components.iter().map(|component| component.len() + 3).sum();
    if length > MAX_PARTITION_KEY_BYTES {
        return Err(too_long(length));
    }
    let mut key = Vec::with_capacity(length);
    for component in components {
        key.extend_from_slice(&(component.len() as u16).to_be_bytes());
        key.extend_from_slice(component);
        key.push(0);
    }
    Ok(key.into())
}

/// Takes a key of `count` components apart. `None` if it is malformed.
pub fn split(key: &Bytes, count: usize) -> Option<Vec<Bytes>> {
    if count == 1 {
        return Some(vec![key.clone()]);
    }
    let mut rest = key.clone();
    let mut components = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        if rest.len() < length + 3 {
            return None;
        }
        let mut component = rest.split_to(length + 3);
        let _ = component.split_to(2);
        component.truncate(length);
        components.push(component);
    }
    rest.is_empty().then_some(components)
}

/// A key of a table as one would write it behind WHERE, cut off where it is very long; one that is malformed in hexadecimal.
pub fn show(table: &Table, key: &Bytes) -> String {
    let columns = table.partition_key();
    let quote = FormatOptions { quoted: true };
    let text = match split(key, columns.len()) {
        Some(values) => {
            let parts = columns.iter().zip(&values).map(|(column, value)| {
                let value = format(&column.cql_type, value, quote);
                format!("{} = {value}", quoted(&column.name))
            });
            parts.collect::<Vec<_>>().join(" AND ")
        }
        None => format(&CqlType::Blob, key, quote),
    };
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{ast, parser, schema::define};

    fn table(columns: &str) -> Table {
        let text = format!("CREATE TABLE ks.t ({columns})");
        let Ok(ast::Statement::CreateTable(create)) = parser::parse(&text) else {
            panic!("it does not parse: {text}")
        };
        define::table(&create, "ks", starling_model::TableId(7)).unwrap()
    }

    #[test]
    fn a_key_is_shown_as_it_is_written_behind_where() {
        let one = table("id int PRIMARY KEY, v text");
        assert_eq!(show(&one, &Bytes::from_static(&[0, 0, 1, 0])), "id = 256");
        let both = table("\"Who\" text, day date, v int, PRIMARY KEY ((\"Who\", day), v)");
        let parts = [Bytes::from_static(b"it's"), Bytes::from_static(&[0x80, 0, 0, 1])];
        let key = compose(&parts).unwrap();
        assert_eq!(show(&both, &key), "\"Who\" = 'it''s' AND day = '1970-01-02'");
        assert_eq!(show(&both, &key.slice(1..)), format!("0x{:x}", key.slice(1..)));
    }

    #[test]
    fn of_a_long_key_the_beginning_is_shown() {
        let text = "\u{e9}".repeat(30_000);
        let shown = show(&table("k text PRIMARY KEY"), &Bytes::from(text));
        assert_eq!(shown.chars().count(), SHOWN_CHARACTERS + 3);
        assert!(shown.starts_with("k = '\u{e9}") && shown.ends_with("\u{e9}..."));
    }
}
