//! The values of a whole statement.

use serde::{
    Serialize, Serializer,
    ser::{Impossible, SerializeMap, SerializeStruct},
};
use starling_cql::{ColumnSpec, Values, request::Bound};

use super::{
    BindError,
    cell::CellSerializer,
    shapes::{by_position, no_variants},
};

/// Takes what has fields or elements.
pub(super) struct RowSerializer<'a> {
    pub(super) markers: &'a [ColumnSpec],
}

fn encode<T: Serialize + ?Sized>(marker: &ColumnSpec, value: &T) -> Result<Bound, BindError> {
    value.serialize(CellSerializer {
        name: &marker.name,
        cql_type: &marker.cql_type,
    })
}

/// Fields by position.
pub(super) struct ByPosition<'a> {
    markers: &'a [ColumnSpec],
    values: Vec<Bound>,
}

impl ByPosition<'_> {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BindError> {
        let Some(marker) = self.markers.get(self.values.len()) else {
            return Err(BindError(format!(
                "the statement has {} bind markers, and there are more values",
                self.markers.len()
            )));
        };
        self.values.push(encode(marker, value)?);
        Ok(())
    }

    fn finish(self) -> Result<Values, BindError> {
        if self.values.len() < self.markers.len() {
            return Err(BindError(format!(
                "the statement has {} bind markers, and there are {} values",
                self.markers.len(),
                self.values.len()
            )));
        }
        Ok(Values::Positional(self.values))
    }
}

/// Fields by name. A name that several markers have is bound to all of them.
pub(super) struct ByName<'a> {
    markers: &'a [ColumnSpec],
    values: Vec<Option<Bound>>,
    key: Option<String>,
}

impl ByName<'_> {
    fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), BindError> {
        let mut found = false;
        for (marker, slot) in self.markers.iter().zip(&mut self.values) {
            if marker.name == name {
                *slot = Some(encode(marker, value)?);
                found = true;
            }
        }
        if found {
            Ok(())
        } else {
            Err(BindError(format!(
                "the statement has no bind marker named {name}"
            )))
        }
    }

    fn finish(self) -> Result<Values, BindError> {
        let bound = self.values.into_iter().zip(self.markers).map(|(value, marker)| {
            value.ok_or_else(|| BindError(format!("there is no value for the bind marker {}", marker.name)))
        });
        bound.collect::<Result<_, _>>().map(Values::Positional)
    }
}

impl<'a> RowSerializer<'a> {
    fn by_position(self) -> ByPosition<'a> {
        ByPosition {
            markers: self.markers,
            values: Vec::with_capacity(self.markers.len()),
        }
    }

    fn by_name(self) -> ByName<'a> {
        ByName {
            markers: self.markers,
            values: vec![None; self.markers.len()],
            key: None,
        }
    }
}

fn not_a_row<T>() -> Result<T, BindError> {
    Err(BindError(
        "values are bound from a tuple, a sequence, a struct or a map; for a single one write (value,)"
            .to_owned(),
    ))
}

macro_rules! refuse {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<Values, BindError> { not_a_row() })*
    };
}

impl<'a> Serializer for RowSerializer<'a> {
    type Ok = Values;
    type Error = BindError;
    type SerializeSeq = ByPosition<'a>;
    type SerializeTuple = ByPosition<'a>;
    type SerializeTupleStruct = ByPosition<'a>;
    type SerializeTupleVariant = Impossible<Values, BindError>;
    type SerializeMap = ByName<'a>;
    type SerializeStruct = ByName<'a>;
    type SerializeStructVariant = Impossible<Values, BindError>;

    refuse!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8]);

    fn serialize_none(self) -> Result<Values, BindError> {
        not_a_row()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Values, BindError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Values, BindError> {
        self.by_position().finish()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Values, BindError> {
        self.by_position().finish()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Values, BindError> {
        not_a_row()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Values, BindError> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<ByPosition<'a>, BindError> {
        Ok(self.by_position())
    }

    fn serialize_tuple(self, _: usize) -> Result<ByPosition<'a>, BindError> {
        Ok(self.by_position())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<ByPosition<'a>, BindError> {
        Ok(self.by_position())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<ByName<'a>, BindError> {
        Ok(self.by_name())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<ByName<'a>, BindError> {
        Ok(self.by_name())
    }

    no_variants!(Values, |_: &Self| not_a_row());
}

by_position!(ByPosition => Values);

impl SerializeStruct for ByName<'_> {
    type Ok = Values;
    type Error = BindError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), BindError> {
        self.put(name, value)
    }

    fn end(self) -> Result<Values, BindError> {
        self.finish()
    }
}

impl SerializeMap for ByName<'_> {
    type Ok = Values;
    type Error = BindError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), BindError> {
        match serde_json::to_value(key) {
            Ok(serde_json::Value::String(name)) => self.key = Some(name),
            _ => {
                return Err(BindError(
                    "the keys of a map of values must be strings".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BindError> {
        let name = self.key.take().unwrap_or_default();
        self.put(&name, value)
    }

    fn end(self) -> Result<Values, BindError> {
        self.finish()
    }
}
