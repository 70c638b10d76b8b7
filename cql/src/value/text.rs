//! Values from plain text, as CSV files have them.

use bytes::Bytes;

use super::{Duration, constant, literal, parse_hex, parse_uuid};
use crate::{ast::Literal, error::Error, lexer, parser, types::CqlType};

/// Reads what [`format`](super::format) writes, in either of its manners: scalars with or without quotes,
/// collections as CQL literals.
pub fn parse_text(cql_type: &CqlType, text: &str) -> Result<Bytes, Error> {
    let wrong = || Error::invalid(format!("'{}' is no {cql_type}", lexer::excerpt(text)));
    if cql_type.is_collection() {
        let term = parser::parse_term(text)?;
        return crate::plan::constant_term(&term, cql_type, "value")?.ok_or_else(wrong);
    }
    if matches!(cql_type, CqlType::Text | CqlType::Ascii) {
        return constant(&Literal::String(text.to_owned()), cql_type, "value")?.ok_or_else(wrong);
    }
    let text = text.trim();
    let bytes = match cql_type {
        CqlType::Boolean if text.eq_ignore_ascii_case("true") => Some(vec![1]),
        CqlType::Boolean if text.eq_ignore_ascii_case("false") => Some(vec![0]),
        CqlType::Boolean => None,
        CqlType::Blob => text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .and_then(parse_hex),
        CqlType::Uuid | CqlType::Timeuuid => {
            let bits = parse_uuid(text).ok_or_else(wrong)?;
            return constant(&Literal::Uuid(bits), cql_type, "value")?.ok_or_else(wrong);
        }
        CqlType::Duration => Duration::parse(text).map(Duration::encode),
        CqlType::Float | CqlType::Double | CqlType::Decimal => {
            literal::float(text, cql_type).map_err(Error::invalid)?
        }
        CqlType::Inet | CqlType::Date | CqlType::Time | CqlType::Timestamp => {
            literal::string(unquoted(text), cql_type).map_err(Error::invalid)?
        }
        _ => literal::integer(text, cql_type).map_err(Error::invalid)?,
    };
    bytes.map(Bytes::from).ok_or_else(wrong)
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .unwrap_or(text)
}
