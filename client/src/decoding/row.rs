//! A whole row.

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};
use starling_cql::{ColumnSpec, request::Value};

use super::{DecodeError, cell::CellDeserializer};

pub(super) struct RowDeserializer<'de> {
    pub(super) columns: &'de [ColumnSpec],
    pub(super) values: &'de [Value],
}

impl<'de> RowDeserializer<'de> {
    fn fields(self) -> Fields<'de> {
        Fields {
            columns: self.columns,
            values: self.values,
            at: 0,
        }
    }

    /// The value of the only column, for what is no row.
    fn only<T>(
        self,
        visit: impl FnOnce(CellDeserializer<'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        match (self.columns, self.values) {
            ([column], [value]) => {
                let cell = CellDeserializer {
                    cql_type: &column.cql_type,
                    value: value.as_deref(),
                };
                visit(cell).map_err(|error| error.at(column))
            }
            _ => Err(DecodeError::new(format!(
                "the row has {} columns: read it as a struct, a map or a tuple",
                self.columns.len()
            ))),
        }
    }
}

macro_rules! only {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.only(|cell| cell.$method(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for RowDeserializer<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(self.fields())
    }

    only!(deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_option);

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(self.fields())
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        if length != self.columns.len() {
            return Err(DecodeError::new(format!(
                "the row has {} columns, and the tuple {length} fields",
                self.columns.len()
            )));
        }
        visitor.visit_seq(self.fields())
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.only(|cell| cell.deserialize_enum(name, variants, visitor))
    }

    forward_to_deserialize_any! { unit_struct map struct identifier ignored_any }
}

struct Fields<'de> {
    columns: &'de [ColumnSpec],
    values: &'de [Value],
    at: usize,
}

impl<'de> Fields<'de> {
    fn value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        let (column, value) = (&self.columns[self.at], &self.values[self.at]);
        self.at += 1;
        seed.deserialize(CellDeserializer {
            cql_type: &column.cql_type,
            value: value.as_deref(),
        })
        .map_err(|error| error.at(column))
    }
}

impl<'de> SeqAccess<'de> for Fields<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if self.at == self.columns.len() {
            Ok(None)
        } else {
            self.value(seed).map(Some)
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.columns.len() - self.at)
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        match self.columns.get(self.at) {
            Some(column) => seed.deserialize(StrDeserializer::new(&column.name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        self.value(seed)
    }
}
