//! The data: uniform tokens, eight-byte partition keys, values that compress like text.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a key: the token, then the partition key.
pub const KEY_BYTES: usize = 16;

/// Bytes of user data in a row, over all its columns.
pub const VALUE_BYTES: usize = 100;

/// Columns of the wide variant, of ten bytes each.
pub const WIDE_COLUMNS: usize = 10;

/// Row numbers from here on are never written.
const MISSING: u64 = 1 << 40;

/// Values are slices of this much prepared content.
const POOL_BYTES: usize = 1 << 20;

/// A row's key: a token that is uniformly distributed, and the number that it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The place in the order of keys.
    pub token: u64,
    /// The partition key.
    pub number: u64,
}

impl Key {
    /// The key of row `number`. No two rows share a token: the mixing (the finaliser of splitmix64) can be
    /// undone.
    pub fn of(number: u64) -> Self {
        let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self {
            token: mixed ^ (mixed >> 31),
            number,
        }
    }

    /// A key that no row has, between those that rows have.
    pub fn missing(number: u64) -> Self {
        Self::of(number + MISSING)
    }

    /// The key as engines without a notion of tokens store it. Keys sort by token.
    pub fn bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&self.token.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }
}

/// The values of all rows. Two of the same seed are equal.
#[derive(Debug)]
pub struct Values {
    pool: Vec<u8>,
}

impl Values {
    /// A third of the content is random, the rest are words from a short list, so that LZ4 takes about a third off
    /// a block of rows.
    pub fn new() -> Self {
        let mut pool = Vec::with_capacity(POOL_BYTES + 32);
        let mut step = 0_u64;
        while pool.len() < POOL_BYTES {
            step += 1;
            let word = xxh3_64_with_seed(&step.to_le_bytes(), 1);
            for part in 0..2_u64 {
                pool.extend_from_slice(&xxh3_64_with_seed(&step.to_le_bytes(), 2 + part).to_le_bytes());
            }
            for part in 0..3_u64 {
                pool.extend_from_slice(
                    &xxh3_64_with_seed(&(word % 16).to_le_bytes(), 9 + part).to_le_bytes(),
                );
            }
        }
        Self { pool }
    }

    /// The value of row `number` after so many updates of it.
    pub fn of(&self, number: u64, update: u64) -> &[u8] {
        let place = Key::of(number ^ (update << 48)).token as usize % (POOL_BYTES - VALUE_BYTES);
        &self.pool[place..place + VALUE_BYTES]
    }
}

impl Default for Values {
    fn default() -> Self {
        Self::new()
    }
}

/// A value as one column, or as ten; what engines without columns store is the same row in a plain encoding: for
/// each column its number, its length and its bytes, after a timestamp.
pub fn plain_row(value: &[u8], columns: usize, out: &mut Vec<u8>) {
    out.clear();
    if columns == 1 {
        out.extend_from_slice(value);
        return;
    }
    out.extend_from_slice(&1_700_000_000_000_000_u64.to_be_bytes());
    for (column, part) in value.chunks(value.len() / columns).enumerate() {
        out.push(column as u8);
        out.push(part.len() as u8);
        out.extend_from_slice(part);
    }
}

/// The first column of what [`plain_row`] wrote.
pub fn first_column(row: &[u8], columns: usize) -> &[u8] {
    if columns == 1 {
        return row;
    }
    let length = usize::from(*row.get(9).unwrap_or(&0));
    row.get(10..10 + length).unwrap_or_default()
}
