//! The hash of Cassandra's `Murmur3Partitioner`.
//!
//! This is the first half of MurmurHash3 x64-128 (Appleby, public domain) with seed 0 and one deviation that
//! Cassandra has had since its first release and that every driver repeats: the bytes of the tail (the last
//! `length mod 16`) are sign-extended before they are shifted into place.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The first 64 bits of the hash, as Cassandra computes them.
pub(crate) fn hash(key: &[u8]) -> i64 {
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let (blocks, tail) = key.as_chunks::<16>();
    for block in blocks {
        let bits = u128::from_le_bytes(*block);
        h1 = (h1 ^ mix_low(bits as u64))
            .rotate_left(27)
            .wrapping_add(h2)
            .wrapping_mul(5)
            .wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix_high((bits >> 64) as u64))
            .rotate_left(31)
            .wrapping_add(h1)
            .wrapping_mul(5)
            .wrapping_add(0x3849_5ab5);
    }
    let (low, high) = tail.split_at(tail.len().min(8));
    if !high.is_empty() {
        h2 ^= mix_high(signed_tail(high));
    }
    if !low.is_empty() {
        h1 ^= mix_low(signed_tail(low));
    }
    h1 ^= key.len() as u64;
    h2 ^= key.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    finish(h1).wrapping_add(finish(h2)) as i64
}

fn mix_low(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix_high(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

/// Up to eight bytes, little-endian, each sign-extended before it is combined with exclusive or.
fn signed_tail(bytes: &[u8]) -> u64 {
    bytes.iter().enumerate().fold(0, |bits, (at, &byte)| {
        bits ^ ((i64::from(byte as i8) as u64) << (8 * at))
    })
}

fn finish(mut h: u64) -> u64 {
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}
