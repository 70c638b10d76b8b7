//! Values as text: what the shell prints and what CSV holds.

use bytes::Bytes;
use starling_cql::{
    CqlType, Error,
    value::{self, FormatOptions},
};
use unicode_width::UnicodeWidthStr;

/// Reads a value from text.
pub(crate) fn parse(cql_type: &CqlType, text: &str) -> Result<Bytes, Error> {
    value::parse_text(cql_type, text)
}

/// A value as text, without quotes around it.
pub(crate) fn plain(cql_type: &CqlType, bytes: &[u8]) -> String {
    value::format(cql_type, bytes, FormatOptions { quoted: false })
}

/// A value for a person: on one line, null by its name.
pub(crate) fn display(cql_type: &CqlType, bytes: Option<&Bytes>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| visible(&plain(cql_type, bytes)))
}

/// The text with control characters escaped, so that data can't move the cursor or break a table.
pub(crate) fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|each| {
            if each.is_control() {
                each.escape_default().to_string()
            } else {
                each.to_string()
            }
        })
        .collect()
}

/// Columns of a terminal that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A value as JSON.
pub(crate) fn json(cql_type: &CqlType, bytes: Option<&Bytes>) -> String {
    value::json(cql_type, bytes.map(|bytes| &bytes[..]))
}
