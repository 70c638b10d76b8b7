//! The digest of a page, see [`starling_model::page`] for its byte layout.

/// XXH3-128 of a page's bytes. Equal pages have equal bytes, so this is how a coordinator sees that replicas agree.
pub fn page_digest(page: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(page)
}
