//! One value of a known type.

use serde::{
    Deserializer,
    de::{Visitor, value::StringDeserializer},
    forward_to_deserialize_any,
};
use starling_cql::{CqlType, value::Collection};

use super::{
    DecodeError,
    collection::{BlobBytes, Elements, Pairs},
};
use crate::text;

/// A value, or null, and its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct CellDeserializer<'de> {
    pub(super) cql_type: &'de CqlType,
    pub(super) value: Option<&'de [u8]>,
}

impl<'de> CellDeserializer<'de> {
    /// The bytes; null is an error here.
    fn bytes(&self) -> Result<&'de [u8], DecodeError> {
        self.value
            .ok_or_else(|| DecodeError::new("the value is null; read it as an Option"))
    }

    fn fixed<const N: usize>(&self) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes()?;
        bytes
            .try_into()
            .map_err(|_| DecodeError::new(format!("a value of {} bytes where {N} are expected", bytes.len())))
    }

    /// The value as a 64-bit integer, where it is one by nature. `None`: it is not.
    fn integer(&self) -> Result<Option<i64>, DecodeError> {
        Ok(Some(match self.cql_type {
            CqlType::Tinyint => i8::from_be_bytes(self.fixed()?).into(),
            CqlType::Smallint => i16::from_be_bytes(self.fixed()?).into(),
            CqlType::Int => i32::from_be_bytes(self.fixed()?).into(),
            CqlType::Bigint | CqlType::Counter | CqlType::Timestamp | CqlType::Time => {
                i64::from_be_bytes(self.fixed()?)
            }
            CqlType::Date => i64::from(u32::from_be_bytes(self.fixed()?)) - (1 << 31),
            _ => return Ok(None),
        }))
    }

    fn visit_integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(number) = self.integer()? {
            return visitor.visit_i64(number);
        }
        if *self.cql_type == CqlType::Varint {
            let digits = text::plain(self.cql_type, self.bytes()?);
            return match digits.parse::<i128>() {
                Ok(number) => match i64::try_from(number) {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => visitor.visit_i128(number),
                },
                Err(_) => Err(DecodeError::new("the number is too large; read it as a string")),
            };
        }
        self.deserialize_any(visitor)
    }

    /// The value as text, for types that have no primitive in Rust.
    fn text(&self) -> Result<String, DecodeError> {
        let text = text::plain(self.cql_type, self.bytes()?);
        // RFC 3339, which everyone's types for points in time read.
        Ok(match self.cql_type {
            CqlType::Timestamp => text.replacen(' ', "T", 1).replace("+0000", "Z"),
            _ => text,
        })
    }

    fn utf8(&self) -> Result<&'de str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::new("the text is not UTF-8"))
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.visit_integer(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for CellDeserializer<'de> {
    type Error = DecodeError;

    integers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(collection) = Collection::of(self.cql_type) {
            return match collection {
                Collection::Map(..) => self.deserialize_map(visitor),
                Collection::List(_) | Collection::Set(_) => self.deserialize_seq(visitor),
            };
        }
        if self.value.is_none() {
            return Err(DecodeError::new("the value is null; read it as an Option"));
        }
        match self.cql_type {
            CqlType::Boolean => visitor.visit_bool(self.fixed::<1>()? != [0]),
            CqlType::Tinyint | CqlType::Smallint | CqlType::Int | CqlType::Bigint | CqlType::Counter => {
                self.visit_integer(visitor)
            }
            CqlType::Float => visitor.visit_f32(f32::from_be_bytes(self.fixed()?)),
            CqlType::Double => visitor.visit_f64(f64::from_be_bytes(self.fixed()?)),
            CqlType::Text | CqlType::Ascii => visitor.visit_borrowed_str(self.utf8()?),
            CqlType::Blob => visitor.visit_borrowed_bytes(self.bytes()?),
            _ => visitor.visit_string(self.text()?),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.cql_type {
            CqlType::Uuid | CqlType::Timeuuid | CqlType::Inet | CqlType::Text | CqlType::Ascii => {
                visitor.visit_borrowed_bytes(self.bytes()?)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.value.is_none() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.value.is_none() {
            visitor.visit_unit()
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match Collection::of(self.cql_type) {
            Some(Collection::List(element) | Collection::Set(element)) => {
                visitor.visit_seq(Elements::new(element, self.value)?)
            }
            _ if *self.cql_type == CqlType::Blob => visitor.visit_seq(BlobBytes(self.bytes()?.iter())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match Collection::of(self.cql_type) {
            Some(Collection::Map(key, mapped)) => visitor.visit_map(Pairs::new(key, mapped, self.value)?),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.cql_type {
            CqlType::Text | CqlType::Ascii => {
                StringDeserializer::new(self.utf8()?.to_owned()).deserialize_enum(name, variants, visitor)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bool f32 f64 char string unit_struct struct identifier }
}
