//! Elements of collections.

use bytes::Bytes;
use serde::{Serialize, ser::SerializeMap};
use starling_cql::{CqlType, request::Bound, value};

use super::{BindError, cell::CellSerializer, shapes::by_position};

/// The elements of a list or set, or the bytes of a blob.
pub(super) struct SequenceItems<'a> {
    whole: CellSerializer<'a>,
    items: Items<'a>,
}

enum Items<'a> {
    Elements(CellSerializer<'a>, Vec<Bytes>),
    Bytes(Vec<u8>),
}

/// Sizes that callers announce are believed up to here.
const MAX_RESERVED: usize = 1024;

impl<'a> SequenceItems<'a> {
    pub(super) fn elements(whole: CellSerializer<'a>, element: &'a CqlType, length: Option<usize>) -> Self {
        let each = CellSerializer {
            cql_type: element,
            ..whole
        };
        let items = Vec::with_capacity(length.unwrap_or(0).min(MAX_RESERVED));
        Self {
            whole,
            items: Items::Elements(each, items),
        }
    }

    pub(super) fn bytes(whole: CellSerializer<'a>) -> Self {
        Self {
            whole,
            items: Items::Bytes(Vec::new()),
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), BindError> {
        match &mut self.items {
            Items::Elements(each, items) => items.push(element(*each, item)?),
            Items::Bytes(bytes) => {
                // A byte is what fits a number from 0 to 255.
                let byte = serde_json::to_value(item).ok().and_then(|value| value.as_u64());
                match byte.and_then(|byte| u8::try_from(byte).ok()) {
                    Some(byte) => bytes.push(byte),
                    None => return self.whole.mismatch("a sequence of anything but bytes"),
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Bound, BindError> {
        match self.items {
            Items::Bytes(bytes) => Ok(CellSerializer::done(bytes)),
            Items::Elements(_, items) => collection(
                self.whole,
                value::write_elements(items.len(), items.iter().map(|item| &item[..])),
            ),
        }
    }
}

/// An element of a collection: neither null nor unset.
fn element<T: Serialize + ?Sized>(each: CellSerializer<'_>, item: &T) -> Result<Bytes, BindError> {
    match item.serialize(each)? {
        Bound::Value(Some(bytes)) => Ok(bytes),
        Bound::Value(None) | Bound::Unset => Err(BindError(format!(
            "column {}: an element of a collection can't be null",
            each.name
        ))),
    }
}

/// Brings sets and maps in order.
fn collection(whole: CellSerializer<'_>, bytes: Bytes) -> Result<Bound, BindError> {
    value::normalize(whole.cql_type, &bytes)
        .map(|bytes| Bound::Value(Some(bytes)))
        .map_err(|error| BindError(format!("column {}: {error}", whole.name)))
}

by_position!(SequenceItems => Bound);

/// The entries of a map.
pub(super) struct MapItems<'a> {
    whole: CellSerializer<'a>,
    key: CellSerializer<'a>,
    value: CellSerializer<'a>,
    /// Keys and values in turn.
    items: Vec<Bytes>,
}

impl<'a> MapItems<'a> {
    pub(super) fn new(whole: CellSerializer<'a>, key: &'a CqlType, value: &'a CqlType) -> Self {
        let key = CellSerializer {
            cql_type: key,
            ..whole
        };
        let value = CellSerializer {
            cql_type: value,
            ..whole
        };
        Self {
            whole,
            key,
            value,
            items: Vec::new(),
        }
    }
}

impl SerializeMap for MapItems<'_> {
    type Ok = Bound;
    type Error = BindError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), BindError> {
        self.items.push(element(self.key, key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), BindError> {
        self.items.push(element(self.value, value)?);
        Ok(())
    }

    fn end(self) -> Result<Bound, BindError> {
        let items = self.items.iter().map(|item| &item[..]);
        collection(self.whole, value::write_elements(self.items.len() / 2, items))
    }
}
