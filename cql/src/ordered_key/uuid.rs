//! UUIDs in order.

/// Orders as Cassandra's `uuid`: by version, version 1 by its time, others by their bytes.
pub(super) fn encode(value: &[u8]) -> Option<[u8; 16]> {
    let bits = u128::from_be_bytes(value.try_into().ok()?);
    let (upper, lower) = ((bits >> 64) as u64, bits as u64);
    let version = (upper >> 12) & 0xF;
    let upper = if version == 1 {
        by_time(upper)
    } else {
        version << 60 | (upper >> 16) << 12 | upper & 0xFFF
    };
    Some((u128::from(upper) << 64 | u128::from(lower)).to_be_bytes())
}

pub(super) fn decode(ordered: &[u8]) -> Vec<u8> {
    let bits = to_bits(ordered);
    let (upper, lower) = ((bits >> 64) as u64, bits as u64);
    let version = upper >> 60;
    let upper = if version == 1 {
        from_time(upper)
    } else {
        (upper << 4 >> 16) << 16 | version << 12 | upper & 0xFFF
    };
    (u128::from(upper) << 64 | u128::from(lower))
        .to_be_bytes()
        .to_vec()
}

/// What makes signed bytes compare as unsigned ones.
const SIGNS: u64 = 0x8080_8080_8080_8080;

/// Orders as Cassandra's `timeuuid`: by time, then by the lower half as signed bytes.
pub(super) fn encode_time(value: &[u8]) -> Option<[u8; 16]> {
    let bits = u128::from_be_bytes(value.try_into().ok()?);
    let (upper, lower) = ((bits >> 64) as u64, bits as u64);
    Some((u128::from(by_time(upper)) << 64 | u128::from(lower ^ SIGNS)).to_be_bytes())
}

pub(super) fn decode_time(ordered: &[u8]) -> Vec<u8> {
    let bits = to_bits(ordered);
    let (upper, lower) = ((bits >> 64) as u64, bits as u64);
    (u128::from(from_time(upper)) << 64 | u128::from(lower ^ SIGNS))
        .to_be_bytes()
        .to_vec()
}

fn to_bits(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

/// Low, middle, version and high parts of the time, to version and high, middle, low.
fn by_time(upper: u64) -> u64 {
    (upper & 0xFFFF) << 48 | (upper >> 16 & 0xFFFF) << 32 | upper >> 32
}

fn from_time(ordered: u64) -> u64 {
    (ordered & 0xFFFF_FFFF) << 32 | (ordered >> 32 & 0xFFFF) << 16 | ordered >> 48
}
