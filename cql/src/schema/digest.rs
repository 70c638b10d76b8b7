//! The schema's version: a digest by which nodes see that they agree.

use xxhash_rust::xxh3::Xxh3Default;

use super::view::View;
use crate::describe;

/// The digest of everything that users made: definitions as CQL text, ids of tables and columns.
///
/// Drops don't count, nor do versions of entries: a node that never heard of a table agrees with one
/// that heard of its drop.
pub(super) fn version(view: &View) -> u128 {
    let mut hasher = Xxh3Default::new();
    let mut put = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for content in view
        .keyspaces
        .values()
        .filter(|content| !content.definition.is_system())
    {
        put(describe::create_keyspace(&content.definition).as_bytes());
        for table in content.tables.values() {
            put(&table.id.0.to_le_bytes());
            put(describe::create_table(table).as_bytes());
            for column in &table.columns {
                put(&column.id.0.to_le_bytes());
            }
        }
    }
    as_uuid(hasher.digest128())
}

/// Marks 128 bits as a UUID of version 8 (RFC 9562, section 5.8).
fn as_uuid(bits: u128) -> u128 {
    (bits & !(0xF << 76) & !(0b11 << 62)) | (0x8 << 76) | (0b10 << 62)
}
