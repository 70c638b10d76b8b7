//! Constants as written in a statement, to values.

use std::net::IpAddr;

use bytes::Bytes;

use super::{Decimal, calendar, decimal::parse_integer};
use crate::{ast::Literal, error::Error, lexer, types::CqlType};

/// The value of a constant, as a type that is wanted for `target` (a column, for messages). `None` is null.
pub fn constant(literal: &Literal, cql_type: &CqlType, target: &str) -> Result<Option<Bytes>, Error> {
    if *literal == Literal::Null {
        return Ok(None);
    }
    match encode(literal, cql_type) {
        Ok(Some(bytes)) => Ok(Some(bytes.into())),
        Ok(None) => {
            let (kind, text) = describe(literal);
            Err(Error::invalid(format!(
                "Invalid {kind} constant ({}) for \"{target}\" of type {cql_type}",
                lexer::excerpt(&text)
            )))
        }
        Err(message) => Err(Error::invalid(format!(
            "{message} (for \"{target}\" of type {cql_type})"
        ))),
    }
}

/// The type that a constant has where none is asked for; `None` for null.
pub fn type_of(literal: &Literal) -> Option<CqlType> {
    Some(match literal {
        Literal::Null => return None,
        Literal::Boolean(_) => CqlType::Boolean,
        Literal::Integer(text) if text.parse::<i32>().is_ok() => CqlType::Int,
        Literal::Integer(text) if text.parse::<i64>().is_ok() => CqlType::Bigint,
        Literal::Integer(_) => CqlType::Varint,
        Literal::Float(_) => CqlType::Double,
        Literal::String(_) => CqlType::Text,
        Literal::Blob(_) => CqlType::Blob,
        Literal::Uuid(_) => CqlType::Uuid,
        Literal::Duration(_) => CqlType::Duration,
    })
}

fn describe(literal: &Literal) -> (&'static str, String) {
    match literal {
        Literal::Null => ("NULL", "null".to_owned()),
        Literal::Boolean(value) => ("BOOLEAN", value.to_string()),
        Literal::Integer(text) => ("INTEGER", text.clone()),
        Literal::Float(text) => ("FLOAT", text.clone()),
        Literal::String(text) => ("STRING", text.clone()),
        Literal::Blob(bytes) => ("HEX", format!("{} bytes", bytes.len())),
        Literal::Uuid(bits) => ("UUID", super::format_uuid(*bits)),
        Literal::Duration(duration) => ("DURATION", duration.to_string()),
    }
}

/// `Ok(None)`: a constant of this kind is no value of the type. `Err`: its text is malformed.
fn encode(literal: &Literal, cql_type: &CqlType) -> Result<Option<Vec<u8>>, String> {
    Ok(match literal {
        Literal::Null => None,
        Literal::Boolean(value) => (*cql_type == CqlType::Boolean).then(|| vec![u8::from(*value)]),
        Literal::Blob(bytes) => (*cql_type == CqlType::Blob).then(|| bytes.to_vec()),
        Literal::Duration(duration) => (*cql_type == CqlType::Duration).then(|| duration.encode()),
        Literal::Uuid(bits) => match cql_type {
            CqlType::Uuid => Some(bits.to_be_bytes().to_vec()),
            CqlType::Timeuuid if (bits >> 76) & 0xF == 1 => Some(bits.to_be_bytes().to_vec()),
            CqlType::Timeuuid => return Err("Invalid version for TimeUUID type".to_owned()),
            _ => None,
        },
        Literal::Integer(text) => return integer(text, cql_type),
        Literal::Float(text) => return float(text, cql_type),
        Literal::String(text) => return string(text, cql_type),
    })
}

/// An integer as any type that takes one.
pub(super) fn integer(text: &str, cql_type: &CqlType) -> Result<Option<Vec<u8>>, String> {
    let range = || format!("Unable to make {cql_type} from '{}'", lexer::excerpt(text));
    Ok(Some(match cql_type {
        CqlType::Tinyint => text.parse::<i8>().map_err(|_| range())?.to_be_bytes().to_vec(),
        CqlType::Smallint => text.parse::<i16>().map_err(|_| range())?.to_be_bytes().to_vec(),
        CqlType::Int => text.parse::<i32>().map_err(|_| range())?.to_be_bytes().to_vec(),
        CqlType::Bigint | CqlType::Counter | CqlType::Timestamp => {
            text.parse::<i64>().map_err(|_| range())?.to_be_bytes().to_vec()
        }
        CqlType::Varint => parse_integer(text).ok_or_else(range)?.to_signed_bytes_be(),
        CqlType::Date => text.parse::<u32>().map_err(|_| range())?.to_be_bytes().to_vec(),
        CqlType::Time => calendar::parse_time(text)
            .ok_or_else(range)?
            .to_be_bytes()
            .to_vec(),
        CqlType::Decimal | CqlType::Float | CqlType::Double => return float(text, cql_type),
        _ => return Ok(None),
    }))
}

/// A number as any type that takes one with a point.
pub(super) fn float(text: &str, cql_type: &CqlType) -> Result<Option<Vec<u8>>, String> {
    let wrong = || format!("Unable to make {cql_type} from '{}'", lexer::excerpt(text));
    Ok(Some(match cql_type {
        CqlType::Float => text.parse::<f32>().map_err(|_| wrong())?.to_be_bytes().to_vec(),
        CqlType::Double => text.parse::<f64>().map_err(|_| wrong())?.to_be_bytes().to_vec(),
        CqlType::Decimal => Decimal::parse(text).ok_or_else(wrong)?.encode(),
        _ => return Ok(None),
    }))
}

/// A string as any type that takes one in quotes.
pub(super) fn string(text: &str, cql_type: &CqlType) -> Result<Option<Vec<u8>>, String> {
    let wrong = |what: &str| format!("Unable to coerce '{}' to a {what}", lexer::excerpt(text));
    Ok(Some(match cql_type {
        CqlType::Text => text.as_bytes().to_vec(),
        CqlType::Ascii if text.is_ascii() => text.as_bytes().to_vec(),
        CqlType::Ascii => {
            return Err(format!(
                "Invalid ASCII character in string literal '{}'",
                lexer::excerpt(text)
            ));
        }
        CqlType::Date => calendar::parse_date(text)
            .ok_or_else(|| wrong("formatted date (yyyy-mm-dd)"))?
            .to_be_bytes()
            .to_vec(),
        CqlType::Time => {
            let nanos =
                calendar::parse_time(text).ok_or_else(|| wrong("formatted time (hh:mm:ss.fffffffff)"))?;
            nanos.to_be_bytes().to_vec()
        }
        CqlType::Timestamp => {
            let millis = calendar::parse_timestamp(text)
                .ok_or_else(|| wrong("formatted date (yyyy-mm-dd hh:mm:ss+zzzz)"))?;
            millis.to_be_bytes().to_vec()
        }
        CqlType::Inet => match text.parse::<IpAddr>().map_err(|_| wrong("inet address"))? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        _ => return Ok(None),
    }))
}
