//! One value, of a type that is known.

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::Impossible};
use starling_cql::{
    CqlType,
    request::Bound,
    value::{self, Collection},
};

use super::{
    BindError, UNSET,
    collection::{MapItems, SequenceItems},
    shapes::no_variants,
};

/// Takes one value for a column, or for an element of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CellSerializer<'a> {
    /// The column, for errors.
    pub(super) name: &'a str,
    pub(super) cql_type: &'a CqlType,
}

impl CellSerializer<'_> {
    pub(super) fn mismatch<T>(&self, what: &str) -> Result<T, BindError> {
        Err(BindError(format!(
            "column {} is of type {}, which {what} can't be bound to",
            self.name, self.cql_type
        )))
    }

    fn fixed<const N: usize>(bytes: [u8; N]) -> Bound {
        Bound::Value(Some(Bytes::copy_from_slice(&bytes)))
    }

    pub(super) fn done(bytes: impl Into<Bytes>) -> Bound {
        Bound::Value(Some(bytes.into()))
    }

    fn integer(self, number: i128) -> Result<Bound, BindError> {
        let out_of_range = |_| {
            BindError(format!(
                "column {} is of type {}, and {number} is out of its range",
                self.name, self.cql_type
            ))
        };
        match self.cql_type {
            CqlType::Tinyint => Ok(Self::fixed(
                i8::try_from(number).map_err(out_of_range)?.to_be_bytes(),
            )),
            CqlType::Smallint => Ok(Self::fixed(
                i16::try_from(number).map_err(out_of_range)?.to_be_bytes(),
            )),
            CqlType::Int => Ok(Self::fixed(
                i32::try_from(number).map_err(out_of_range)?.to_be_bytes(),
            )),
            CqlType::Bigint | CqlType::Counter | CqlType::Timestamp | CqlType::Time => {
                let number = i64::try_from(number).map_err(out_of_range)?;
                self.checked(Bytes::copy_from_slice(&number.to_be_bytes()))
            }
            // Day 0 lies in the middle of the unsigned range.
            CqlType::Date => Ok(Self::fixed(
                u32::try_from(number + (1 << 31))
                    .map_err(out_of_range)?
                    .to_be_bytes(),
            )),
            CqlType::Varint => self.parsed(&number.to_string()),
            _ => self.mismatch("an integer"),
        }
    }

    /// Text of a type that Rust has no primitive for.
    fn parsed(self, text: &str) -> Result<Bound, BindError> {
        value::parse_text(self.cql_type, text)
            .map(|bytes| Bound::Value(Some(bytes)))
            .map_err(|error| BindError(format!("column {}: {error}", self.name)))
    }

    fn checked(self, bytes: Bytes) -> Result<Bound, BindError> {
        match value::validate(self.cql_type, &bytes) {
            Ok(()) => Ok(Bound::Value(Some(bytes))),
            Err(error) => Err(BindError(format!("column {}: {error}", self.name))),
        }
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, number: $type) -> Result<Bound, BindError> { self.integer(number.into()) })*
    };
}

impl<'a> Serializer for CellSerializer<'a> {
    type Ok = Bound;
    type Error = BindError;
    type SerializeSeq = SequenceItems<'a>;
    type SerializeTuple = SequenceItems<'a>;
    type SerializeTupleStruct = SequenceItems<'a>;
    type SerializeTupleVariant = Impossible<Bound, BindError>;
    type SerializeMap = MapItems<'a>;
    type SerializeStruct = Impossible<Bound, BindError>;
    type SerializeStructVariant = Impossible<Bound, BindError>;

    integers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64);

    fn serialize_u128(self, number: u128) -> Result<Bound, BindError> {
        match i128::try_from(number) {
            Ok(number) => self.integer(number),
            Err(_) if *self.cql_type == CqlType::Varint => self.parsed(&number.to_string()),
            Err(_) => self.mismatch("an integer this large"),
        }
    }

    fn serialize_bool(self, truth: bool) -> Result<Bound, BindError> {
        match self.cql_type {
            CqlType::Boolean => Ok(Self::fixed([u8::from(truth)])),
            _ => self.mismatch("a bool"),
        }
    }

    fn serialize_f32(self, number: f32) -> Result<Bound, BindError> {
        match self.cql_type {
            CqlType::Float => Ok(Self::fixed(number.to_be_bytes())),
            CqlType::Double => Ok(Self::fixed(f64::from(number).to_be_bytes())),
            _ => self.mismatch("an f32"),
        }
    }

    fn serialize_f64(self, number: f64) -> Result<Bound, BindError> {
        match self.cql_type {
            CqlType::Double => Ok(Self::fixed(number.to_be_bytes())),
            _ => self.mismatch("an f64"),
        }
    }

    fn serialize_char(self, each: char) -> Result<Bound, BindError> {
        self.serialize_str(each.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<Bound, BindError> {
        match self.cql_type {
            CqlType::Text => Ok(Self::done(text.as_bytes().to_vec())),
            CqlType::Ascii => self.checked(Bytes::copy_from_slice(text.as_bytes())),
            CqlType::Uuid
            | CqlType::Timeuuid
            | CqlType::Inet
            | CqlType::Timestamp
            | CqlType::Date
            | CqlType::Time
            | CqlType::Decimal
            | CqlType::Varint
            | CqlType::Duration => self.parsed(text),
            _ => self.mismatch("a string"),
        }
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Bound, BindError> {
        match self.cql_type {
            CqlType::Blob => Ok(Self::done(bytes.to_vec())),
            CqlType::Uuid | CqlType::Timeuuid | CqlType::Inet => self.checked(Bytes::copy_from_slice(bytes)),
            _ => self.mismatch("bytes"),
        }
    }

    fn serialize_none(self) -> Result<Bound, BindError> {
        Ok(Bound::Value(None))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Bound, BindError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Bound, BindError> {
        Ok(Bound::Value(None))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Bound, BindError> {
        if name == UNSET {
            Ok(Bound::Unset)
        } else {
            self.mismatch("a unit struct")
        }
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Bound, BindError> {
        match self.cql_type {
            CqlType::Text | CqlType::Ascii => self.serialize_str(variant),
            _ => self.mismatch("a variant of an enum"),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Bound, BindError> {
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<SequenceItems<'a>, BindError> {
        match Collection::of(self.cql_type) {
            Some(Collection::List(element) | Collection::Set(element)) => {
                Ok(SequenceItems::elements(self, element, length))
            }
            _ if *self.cql_type == CqlType::Blob => Ok(SequenceItems::bytes(self)),
            _ => self.mismatch("a sequence"),
        }
    }

    fn serialize_tuple(self, length: usize) -> Result<SequenceItems<'a>, BindError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<SequenceItems<'a>, BindError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<MapItems<'a>, BindError> {
        match Collection::of(self.cql_type) {
            Some(Collection::Map(key, value)) => Ok(MapItems::new(self, key, value)),
            _ => self.mismatch("a map"),
        }
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, BindError> {
        self.mismatch("a struct")
    }

    no_variants!(Bound, |cell: &Self| cell.mismatch("a variant with content"));
}
