//! Small readers of scalars.

/// Reads hexadecimal digits, an even number of them.
pub fn parse_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let bytes = digits.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes
        .chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect()
}

/// Reads a UUID of the form 8-4-4-4-12.
pub fn parse_uuid(text: &str) -> Option<u128> {
    let fits = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if !fits {
        return None;
    }
    u128::from_str_radix(&text.replace('-', ""), 16).ok()
}

/// Writes a UUID in the form 8-4-4-4-12.
pub fn format_uuid(bits: u128) -> String {
    starling_model::NodeId(bits).to_string()
}

/// A 4-byte big-endian integer.
pub fn int(value: &[u8]) -> Option<i32> {
    value.try_into().ok().map(i32::from_be_bytes)
}

/// An 8-byte big-endian integer.
pub fn long(value: &[u8]) -> Option<i64> {
    value.try_into().ok().map(i64::from_be_bytes)
}

/// 100-nanosecond steps from 1582-10-15 to 1970-01-01.
const GREGORIAN_TO_UNIX: i64 = 0x01B2_1DD2_1381_4000;

/// The time of a version 1 UUID, in microseconds since the Unix epoch; `None` for other versions.
pub fn timeuuid_micros(bits: u128) -> Option<i64> {
    if (bits >> 76) & 0xF != 1 {
        return None;
    }
    let low = (bits >> 96) as u64;
    let middle = (bits >> 80) as u64 & 0xFFFF;
    let high = (bits >> 64) as u64 & 0x0FFF;
    let steps = (high << 48 | middle << 32 | low) as i64;
    Some((steps - GREGORIAN_TO_UNIX).div_euclid(10))
}

/// A version 1 UUID: its time in microseconds since the Unix epoch, `steps` of 100 nanoseconds (0 to 9)
/// more, and the lower half as it is.
pub fn timeuuid_parts(micros: i64, steps: i64, lower: u64) -> u128 {
    let time = micros
        .saturating_mul(10)
        .saturating_add(steps)
        .saturating_add(GREGORIAN_TO_UNIX) as u64;
    let low = time & 0xFFFF_FFFF;
    let middle = (time >> 32) & 0xFFFF;
    let high = (time >> 48) & 0x0FFF;
    let upper = low << 32 | middle << 16 | 0x1000 | high;
    u128::from(upper) << 64 | u128::from(lower)
}
