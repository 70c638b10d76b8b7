//! Types.

use super::cursor::Parser;
use crate::{
    error::Error,
    lexer::TokenKind,
    types::{CqlType, MAX_TYPE_DEPTH},
};

impl Parser<'_> {
    /// A type's name, collections included.
    pub(super) fn cql_type(&mut self) -> Result<CqlType, Error> {
        let cql_type = self.deeper(Self::nested_type)?;
        if cql_type.depth() > MAX_TYPE_DEPTH {
            return Err(Error::invalid(format!(
                "the type nests more than {MAX_TYPE_DEPTH} collections"
            )));
        }
        Ok(cql_type)
    }

    fn nested_type(&mut self) -> Result<CqlType, Error> {
        if matches!(self.kind(), TokenKind::String) {
            return Err(Error::unsupported("a custom type"));
        }
        // A reserved word elsewhere.
        let name = if self.word_if("SET") {
            "set".to_owned()
        } else {
            self.name("a type")?
        };
        if self.is_symbol(0, ".") {
            return Err(Error::unsupported("a user-defined type"));
        }
        if let Some(scalar) = scalar(&name) {
            return Ok(scalar);
        }
        match name.as_str() {
            "list" => self.parameter().map(|element| CqlType::List {
                element: Box::new(element),
                frozen: false,
            }),
            "set" => self.parameter().map(|element| CqlType::Set {
                element: Box::new(element),
                frozen: false,
            }),
            "map" => {
                self.symbol("<")?;
                let key = self.element_type()?;
                self.symbol(",")?;
                let value = self.element_type()?;
                self.symbol(">")?;
                Ok(CqlType::Map {
                    key: Box::new(key),
                    value: Box::new(value),
                    frozen: false,
                })
            }
            "frozen" => {
                self.symbol("<")?;
                let inner = self.deeper(Self::frozen_type)?;
                self.symbol(">")?;
                Ok(inner)
            }
            "tuple" => Err(Error::unsupported("the type tuple")),
            "vector" => Err(Error::unsupported("the type vector")),
            _ => Err(Error::invalid(format!(
                "Unknown type {name}: it is no type of CQL, and user-defined types are not supported yet"
            ))),
        }
    }

    fn parameter(&mut self) -> Result<CqlType, Error> {
        self.symbol("<")?;
        let element = self.element_type()?;
        self.symbol(">")?;
        Ok(element)
    }

    /// What stands in a collection. Whether a collection in there has to be frozen depends on what
    /// is around it, so that is checked where the column is defined.
    fn element_type(&mut self) -> Result<CqlType, Error> {
        self.deeper(Self::nested_type)
    }

    fn frozen_type(&mut self) -> Result<CqlType, Error> {
        let inner = self.nested_type()?;
        if !inner.is_collection() {
            return Err(Error::invalid(format!(
                "frozen<> is only allowed on collections, tuples, and user-defined types (got {inner})"
            )));
        }
        Ok(inner.freeze())
    }
}

fn scalar(name: &str) -> Option<CqlType> {
    Some(match name {
        "ascii" => CqlType::Ascii,
        "bigint" => CqlType::Bigint,
        "blob" => CqlType::Blob,
        "boolean" => CqlType::Boolean,
        "counter" => CqlType::Counter,
        "date" => CqlType::Date,
        "decimal" => CqlType::Decimal,
        "double" => CqlType::Double,
        "duration" => CqlType::Duration,
        "float" => CqlType::Float,
        "inet" => CqlType::Inet,
        "int" => CqlType::Int,
        "smallint" => CqlType::Smallint,
        "text" | "varchar" => CqlType::Text,
        "time" => CqlType::Time,
        "timestamp" => CqlType::Timestamp,
        "timeuuid" => CqlType::Timeuuid,
        "tinyint" => CqlType::Tinyint,
        "uuid" => CqlType::Uuid,
        "varint" => CqlType::Varint,
        _ => return None,
    })
}
