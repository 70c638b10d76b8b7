//! Elements of collections, read in place: a 4-byte count, then each element with a 4-byte length; a map has
//! keys and values in turn (native protocol v5, section 6).

use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};
use starling_cql::CqlType;

use super::{DecodeError, cell::CellDeserializer};

/// Reads one element after another.
struct Items<'de> {
    input: &'de [u8],
    left: usize,
}

impl<'de> Items<'de> {
    /// `per_entry` is 2 for maps, else 1. Null has no elements: a collection without any is stored as null.
    fn new(value: Option<&'de [u8]>, per_entry: usize) -> Result<Self, DecodeError> {
        let Some(mut input) = value else {
            return Ok(Self { input: &[], left: 0 });
        };
        let count = number(&mut input)?;
        Ok(Self {
            input,
            left: count.checked_mul(per_entry).ok_or_else(malformed)?,
        })
    }

    fn next(&mut self) -> Result<Option<&'de [u8]>, DecodeError> {
        if self.left == 0 {
            return if self.input.is_empty() {
                Ok(None)
            } else {
                Err(malformed())
            };
        }
        self.left -= 1;
        let length = number(&mut self.input)?;
        let (item, rest) = self.input.split_at_checked(length).ok_or_else(malformed)?;
        self.input = rest;
        Ok(Some(item))
    }
}

fn number(input: &mut &[u8]) -> Result<usize, DecodeError> {
    let (head, rest) = input.split_first_chunk::<4>().ok_or_else(malformed)?;
    *input = rest;
    usize::try_from(i32::from_be_bytes(*head)).map_err(|_| malformed())
}

fn malformed() -> DecodeError {
    DecodeError::new("the collection is malformed")
}

/// The elements of a list or a set.
pub(super) struct Elements<'de> {
    cql_type: &'de CqlType,
    items: Items<'de>,
}

impl<'de> Elements<'de> {
    pub(super) fn new(cql_type: &'de CqlType, value: Option<&'de [u8]>) -> Result<Self, DecodeError> {
        Ok(Self {
            cql_type,
            items: Items::new(value, 1)?,
        })
    }
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        match self.items.next()? {
            Some(item) => seed
                .deserialize(CellDeserializer {
                    cql_type: self.cql_type,
                    value: Some(item),
                })
                .map(Some),
            None => Ok(None),
        }
    }
}

/// The entries of a map.
pub(super) struct Pairs<'de> {
    key: &'de CqlType,
    value: &'de CqlType,
    items: Items<'de>,
}

impl<'de> Pairs<'de> {
    pub(super) fn new(
        key: &'de CqlType,
        value: &'de CqlType,
        bytes: Option<&'de [u8]>,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            key,
            value,
            items: Items::new(bytes, 2)?,
        })
    }
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        match self.items.next()? {
            Some(item) => seed
                .deserialize(CellDeserializer {
                    cql_type: self.key,
                    value: Some(item),
                })
                .map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let item = self.items.next()?.ok_or_else(malformed)?;
        seed.deserialize(CellDeserializer {
            cql_type: self.value,
            value: Some(item),
        })
    }
}

/// A blob as a sequence of numbers, for `Vec<u8>`.
pub(super) struct BlobBytes<'de>(pub(super) std::slice::Iter<'de, u8>);

impl<'de> SeqAccess<'de> for BlobBytes<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0
            .next()
            .map(|byte| seed.deserialize((*byte).into_deserializer()))
            .transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}
