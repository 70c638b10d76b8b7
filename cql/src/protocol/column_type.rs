//! Types on the wire: `[option]` (v5 section 4.2.5.2).

use super::{malformed::Malformed, reader::Reader, version::Version, writer::Writer};
use crate::types::CqlType;

/// How deep collections nest at most in what is read.
pub const MAX_DEPTH: usize = 32;

const CUSTOM: u16 = 0x0000;
const LIST: u16 = 0x0020;
const MAP: u16 = 0x0021;
const SET: u16 = 0x0022;

/// What v4, which has no code for it, calls a duration.
const DURATION_CLASS: &str = "org.apache.cassandra.db.marshal.DurationType";

/// The types without parameters, with their codes.
const SCALARS: [(u16, CqlType); 20] = [
    (0x0001, CqlType::Ascii),
    (0x0002, CqlType::Bigint),
    (0x0003, CqlType::Blob),
    (0x0004, CqlType::Boolean),
    (0x0005, CqlType::Counter),
    (0x0006, CqlType::Decimal),
    (0x0007, CqlType::Double),
    (0x0008, CqlType::Float),
    (0x0009, CqlType::Int),
    (0x000B, CqlType::Timestamp),
    (0x000C, CqlType::Uuid),
    (0x000D, CqlType::Text),
    (0x000E, CqlType::Varint),
    (0x000F, CqlType::Timeuuid),
    (0x0010, CqlType::Inet),
    (0x0011, CqlType::Date),
    (0x0012, CqlType::Time),
    (0x0013, CqlType::Smallint),
    (0x0014, CqlType::Tinyint),
    (0x0015, CqlType::Duration),
];

/// Writes a type. Whether a collection is frozen does not travel.
pub fn write(out: &mut Writer<'_>, version: Version, cql_type: &CqlType) {
    match cql_type {
        CqlType::List { element, .. } => {
            out.short(LIST);
            write(out, version, element);
        }
        CqlType::Set { element, .. } => {
            out.short(SET);
            write(out, version, element);
        }
        CqlType::Map { key, value, .. } => {
            out.short(MAP);
            write(out, version, key);
            write(out, version, value);
        }
        CqlType::Duration if version == Version::V4 => {
            out.short(CUSTOM);
            out.string(DURATION_CLASS);
        }
        scalar => match SCALARS.iter().find(|(_, known)| known == scalar) {
            Some((code, _)) => out.short(*code),
            None => out.fail("a type without a code"),
        },
    }
}

/// Reads a type. Collections come out as not frozen.
pub fn read(input: &mut Reader) -> Result<CqlType, Malformed> {
    read_nested(input, MAX_DEPTH)
}

fn read_nested(input: &mut Reader, depth: usize) -> Result<CqlType, Malformed> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Malformed::TooDeep(MAX_DEPTH));
    };
    let frozen = false;
    match input.short()? {
        LIST => Ok(CqlType::List {
            element: Box::new(read_nested(input, depth)?),
            frozen,
        }),
        SET => Ok(CqlType::Set {
            element: Box::new(read_nested(input, depth)?),
            frozen,
        }),
        MAP => {
            let key = Box::new(read_nested(input, depth)?);
            let value = Box::new(read_nested(input, depth)?);
            Ok(CqlType::Map { key, value, frozen })
        }
        CUSTOM => {
            let class = input.string()?;
            if class == DURATION_CLASS {
                Ok(CqlType::Duration)
            } else {
                Err(Malformed::unknown_name("custom type", &class))
            }
        }
        code => SCALARS
            .iter()
            .find(|(known, _)| *known == code)
            .map(|(_, cql_type)| cql_type.clone())
            .ok_or(Malformed::Unknown {
                what: "type",
                code: code.into(),
            }),
    }
}
