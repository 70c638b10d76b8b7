//! Tables: immutable, sorted, memory-mapped files.
//!
//! A table is one flat space of byte keys ([`key`]): a wide partition is many entries, and finding one of
//! its rows costs as much as finding a partition. Entries lie in data blocks ([`block`], [`codec`]), some
//! hundred of which make a [`stripe`] with an index and a [`filter`] of its own; the [`directory`] leads to the
//! stripes. Tokens are uniform, so on this way places are computed more than searched. [`properties`] has what the
//! rest of the engine wants to know without reading, [`layout`] the header, the footer and the checksums.
//! `docs/format.md` draws it all.
//!
//! [`writer`] makes a table, [`reader`] opens one, [`target`] is what a point read looks for, `bodies` what it decompresses to, [`cursor`] moves
//! through a table, [`verify`](mod@verify) reads every byte of it, [`dump`] shows it to people, `extent` tells how much of it belongs
//! to which tokens.

pub mod block;
mod bodies;
mod checks;
pub mod codec;
pub mod cursor;
pub mod directory;
pub mod dump;
pub mod entry;
mod extent;
pub mod filter;
pub mod holes;
pub mod key;
pub mod layout;
pub mod properties;
pub mod reader;
pub mod scrub;
pub mod stripe;
pub mod target;
pub mod verify;
mod warmth;
pub mod writer;

pub use cursor::Cursor;
pub use properties::Properties;
pub use reader::Table;
pub use scrub::Scrub;
pub use target::Target;
pub use verify::{Verified, verify};
pub use writer::{TableWriter, WriterOptions};

#[cfg(test)]
mod tests;
