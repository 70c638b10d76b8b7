//! Byte-comparable encodings: `memcmp` of the encodings orders as the values do.
//!
//! A clustering is the concatenation of its components. A component is
//!
//! ```text
//! 40 <payload>      a value; the payload is prefix-free (no payload is a proper prefix of another)
//! 3F                an empty value of a fixed-width type (CQL allows blobs of length 0 there)
//! 41                the same in a descending column
//! ```
//!
//! Payloads: fixed-width integers are big-endian with the sign bit flipped; floats have their sign bit
//! flipped when positive and all bits flipped when negative; variable-length bytes are escaped
//! (`00` becomes `00 01`) and end with `00 00`. A descending component keeps its first byte and
//! inverts its payload. No component begins with `FF`, which is what makes
//! [`crate::ClusteringRange`] work.
//!
//! Source of the idea: Cassandra CEP-25 "byte-comparable" and FoundationDB's tuple layer.

/// First byte of a component that holds a value.
pub const VALUE: u8 = 0x40;
/// First byte of an empty fixed-width component; sorts before every value.
pub const EMPTY: u8 = 0x3F;
/// First byte of an empty fixed-width component of a descending column; sorts after every value.
pub const EMPTY_DESCENDING: u8 = 0x41;

/// The bytes are not an encoding that this module made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a byte-comparable encoding")]
pub struct Malformed;

/// Appends `value` escaped and terminated: `00` becomes `00 01`, the end is `00 00`.
pub fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        out.push(byte);
        if byte == 0 {
            out.push(1);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Reads what [`put_bytes`] wrote from the front of `input`, and moves `input` past it.
pub fn take_bytes(input: &mut &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut value = Vec::new();
    take_bytes_into(input, &mut value)?;
    Ok(value)
}

/// [`take_bytes`] that appends the value to `value`. After an error, a part of it may be there.
pub fn take_bytes_into(input: &mut &[u8], value: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut at = 0;
    loop {
        match (input.get(at), input.get(at + 1)) {
            (Some(0), Some(0)) => {
                *input = &input[at + 2..];
                return Ok(());
            }
            (Some(0), Some(1)) => {
                value.push(0);
                at += 2;
            }
            (Some(0) | None, _) => return Err(Malformed),
            (Some(&byte), _) => {
                value.push(byte);
                at += 1;
            }
        }
    }
}

/// A two's-complement big-endian integer of fixed width, in place: flips the sign bit. Its own inverse.
pub fn flip_sign(big_endian: &mut [u8]) {
    if let Some(first) = big_endian.first_mut() {
        *first ^= 0x80;
    }
}

/// Makes an IEEE 754 big-endian float comparable in place: positive numbers get their sign bit flipped,
/// negative ones all bits. NaNs sort at the ends.
pub fn order_float(big_endian: &mut [u8]) {
    if big_endian.first().is_some_and(|first| first & 0x80 != 0) {
        invert(big_endian);
    } else {
        flip_sign(big_endian);
    }
}

/// The inverse of [`order_float`].
pub fn restore_float(ordered: &mut [u8]) {
    if ordered.first().is_some_and(|first| first & 0x80 != 0) {
        flip_sign(ordered);
    } else {
        invert(ordered);
    }
}

/// Inverts every bit, which reverses the order of prefix-free encodings. Its own inverse.
pub fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}
