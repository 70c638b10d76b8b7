//! Tables: immutable, sorted, memory-mapped files.
//!
//! A table is one flat space of byte keys ([`key`]): a wide partition is many entries, and finding one of
//! its rows costs as much as finding a partition. Entries lie in prefix-compressed blocks ([`block`]) under a
//! tree of index blocks; a Bloom filter ([`filter`]) tells which partitions are not there, and
//! [`properties`] what the rest of the engine wants to know without reading. [`layout`] has the header,
//! the footer and the framing with checksums. `docs/format.md` draws it all.
//!
//! [`writer`] makes a table, [`reader`] opens one, [`cursor`] moves through it, [`dump`] shows it to people.

pub mod block;
pub mod cursor;
pub mod dump;
pub mod entry;
pub mod filter;
pub mod key;
pub mod layout;
pub mod properties;
pub mod reader;
pub mod writer;

pub use cursor::Cursor;
pub use properties::Properties;
pub use reader::Table;
pub use writer::{TableWriter, WriterOptions};

#[cfg(test)]
mod tests;
