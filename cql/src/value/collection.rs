//! The serialization of collections: a 4-byte count, then for each element a 4-byte length and its bytes;
//! a map has keys and values in turn.

use bytes::{Buf, Bytes};

use crate::types::CqlType;

/// What kind of collection a type is, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection<'a> {
    /// A list of these.
    List(&'a CqlType),
    /// A set of these.
    Set(&'a CqlType),
    /// A map from these to those.
    Map(&'a CqlType, &'a CqlType),
}

impl<'a> Collection<'a> {
    /// `None` for a scalar.
    pub fn of(cql_type: &'a CqlType) -> Option<Self> {
        match cql_type {
            CqlType::List { element, .. } => Some(Self::List(element)),
            CqlType::Set { element, .. } => Some(Self::Set(element)),
            CqlType::Map { key, value, .. } => Some(Self::Map(key, value)),
            _ => None,
        }
    }
}

/// The elements of a list or a set. `None` if the bytes are malformed.
pub fn elements(value: &Bytes) -> Option<Vec<Bytes>> {
    read(value, 1)
}

/// The keys and values of a map. `None` if the bytes are malformed.
pub fn pairs(value: &Bytes) -> Option<Vec<(Bytes, Bytes)>> {
    let items = read(value, 2)?;
    let mut items = items.into_iter();
    let mut pairs = Vec::with_capacity(items.len() / 2);
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    Some(pairs)
}

fn read(value: &Bytes, each: usize) -> Option<Vec<Bytes>> {
    let mut input = value.clone();
    let length = |input: &mut Bytes| {
        (input.len() >= 4)
            .then(|| input.get_i32())
            .and_then(|length| usize::try_from(length).ok())
    };
    let count = length(&mut input)?.checked_mul(each)?;
    // Each item takes 4 bytes at least, so a huge count can't make a huge allocation.
    if count > input.len() / 4 {
        return None;
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let length = length(&mut input)?;
        if length > input.len() {
            return None;
        }
        items.push(input.split_to(length));
    }
    input.is_empty().then_some(items)
}

/// Writes a collection of `count` elements (or pairs); `items` are its elements, or keys and values in turn.
pub fn write_elements<'a>(count: usize, items: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = (count as u32).to_be_bytes().to_vec();
    for item in items {
        out.extend_from_slice(&(item.len() as u32).to_be_bytes());
        out.extend_from_slice(item);
    }
    out.into()
}
