//! Partition keys: the bytes that drivers hash.
//!
//! A key of one column is the value itself. A composite one is, for each component, a 2-byte big-endian
//! length, the value, and a zero byte.

use bytes::Bytes;
use starling_model::key::MAX_PARTITION_KEY_BYTES;

use crate::error::Error;

/// Puts a key together from its components, in the order of the columns.
pub fn compose(components: &[Bytes]) -> Result<Bytes, Error> {
    let too_long = |length: usize| {
        Error::invalid(format!(
            "Key length of {length} is longer than maximum of {MAX_PARTITION_KEY_BYTES}"
        ))
    };
    if let [single] = components {
        if single.is_empty() {
            return Err(Error::invalid("Key may not be empty"));
        }
        if single.len() > MAX_PARTITION_KEY_BYTES {
            return Err(too_long(single.len()));
        }
        return Ok(single.clone());
    }
    let length = components.iter().map(|component| component.len() + 3).sum();
    if length > MAX_PARTITION_KEY_BYTES {
        return Err(too_long(length));
    }
    let mut key = Vec::with_capacity(length);
    for component in components {
        key.extend_from_slice(&(component.len() as u16).to_be_bytes());
        key.extend_from_slice(component);
        key.push(0);
    }
    Ok(key.into())
}

/// Takes a key of `count` components apart. `None` if it is malformed.
pub fn split(key: &Bytes, count: usize) -> Option<Vec<Bytes>> {
    if count == 1 {
        return Some(vec![key.clone()]);
    }
    let mut rest = key.clone();
    let mut components = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        if rest.len() < length + 3 {
            return None;
        }
        let mut component = rest.split_to(length + 3);
        let _ = component.split_to(2);
        component.truncate(length);
        components.push(component);
    }
    rest.is_empty().then_some(components)
}
