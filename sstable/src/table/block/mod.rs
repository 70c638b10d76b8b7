//! A data block: sorted entries, found without decompressing anything that does not hold them.
//!
//! What all keys of a block begin with is stored once. Of the rest, the first bytes of every key (the
//! *heads*, all of one width, just enough to tell the keys apart, at most 8) lie side by side and are never
//! compressed, and so do the places where the entries end: a search needs nothing else until a head is equal.
//! In a table of small partitions the heads are pieces of the tokens, in a wide partition of the clusterings.
//! The *body* has the entries, with what is left of their keys, and is compressed as a whole.
//!
//! ```text
//! 0    8  checksum of everything after it, at place "offset in the file"
//! 8    4  bytes of the body before compression
//! 12   2  entries, at least 1
//! 14   2  bytes that all keys begin with
//! 16   1  codec of the body
//! 17   1  width of a head, 0 to 8; and 128 if the tails have a stem and an ending
//! 18      what all keys begin with
//!         [1 length of the stem, 1 of the ending, both]
//!         heads: the next bytes of each key, filled up with zeros
//!         ends: where each entry ends in the body; 2 bytes each if the body has less than 65,536, else 4
//!         body
//!
//! entry   varint 2 * (bytes of the key after what all begin with) + 1 if it shares,
//!         [varint bytes shared with the key before, behind the head],
//!         the bytes of the key behind head and shared ones, the value up to the end
//! ```
//!
//! The *tail* of a key is what it has behind its head. Where no two keys have the same head, as in a table of small
//! partitions, tails are not shared, but what all of them begin with (the *stem*) and what all of them end with (the
//! *ending*) is stored once: zeros of numbers, terminators, kinds. An entry has the bytes between.
//!
//! An entry shares only with one before it that has the same head, and every eighth never does: so an
//! entry is at most seven others away from where its key can be put together.
//!
//! - [`builder`]: makes a block;
//! - [`view`]: looks into one;
//! - [`entries`]: what is in its body.

pub mod builder;
pub mod entries;
pub mod view;

pub use builder::Builder;
pub use entries::Entries;
pub use view::{Shape, View};

/// Bytes before what all keys begin with.
pub const HEADER_BYTES: usize = 18;

/// The widest head.
pub const MAX_WIDTH: usize = 8;

/// Set beside the width of a head: there are a stem and an ending.
const AFFIXES: u8 = 0x80;

/// Every so many entries, one shares nothing.
pub const RESTART_INTERVAL: usize = 8;

/// The most entries of a block.
pub const MAX_ENTRIES: usize = u16::MAX as usize;

/// The content can't be what [`Builder`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// How many bytes two keys begin with in common.
pub fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut at = 0;
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return at + difference.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes two keys end with in common.
pub fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let pairs = a.iter().rev().zip(b.iter().rev());
    pairs.take_while(|(a, b)| a == b).count()
}

/// The first `width` bytes of a key's rest as a number, filled up with zeros. Numbers are ordered as the
/// bytes are.
pub fn head(rest: &[u8], width: usize) -> u64 {
    let whole = match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(padded)
        }
    };
    narrow(whole, width)
}

/// The first `width` of eight bytes.
fn narrow(whole: u64, width: usize) -> u64 {
    if width == 0 { 0 } else { whole >> (64 - 8 * width) }
}
