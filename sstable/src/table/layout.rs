//! Header, footer, and the checksum around everything between them.
//!
//! ```text
//! header   8 "STARLTBL", 4 version, 4 zero
//!
//! footer   0   12  handle of the directory
//!          12  12  handle of the properties
//!          24  12  handle of the dictionary; zero if there is none
//!          36  4   zero
//!          40  8   length of the file
//!          48  4   version
//!          52  4   zero
//!          56  8   checksum of bytes 0 to 56 of the footer, at place 0
//!          64  8   "STARLTBL"
//!
//! handle   8 offset, 4 length
//! ```
//!
//! All numbers are little-endian. Whatever a handle leads to begins with the checksum of the rest of it.

use std::path::Path;

use bytes::Bytes;

use crate::{Error, checksum::checksum_at};

/// The version that is written.
pub const VERSION: u32 = 3;

/// The oldest version that is read: 1 was never released. What version 3 added, blocks and rows say themselves.
pub const OLDEST_VERSION: u32 = 2;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;

/// Bytes of the footer.
pub const FOOTER_BYTES: usize = 72;

/// Bytes of the checksum that everything between begins with.
pub const CHECKSUM_BYTES: usize = 8;

/// The largest content of a block: bounds what a damaged length can make the reader allocate, and with
/// it the size of one row.
pub const MAX_CONTENT_BYTES: usize = 1 << 30;

const MAGIC: [u8; 8] = *b"STARLTBL";

/// Where a part of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handle {
    /// Its offset in the file.
    pub offset: u64,
    /// Its length, in bytes.
    pub length: u32,
}

impl Handle {
    /// Bytes of an encoded handle.
    pub const BYTES: usize = 12;

    /// Where it ends, if it is one of a file.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length.into())
    }

    /// 8 bytes offset, 4 bytes length.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..].copy_from_slice(&self.length.to_le_bytes());
        out
    }

    /// Reads an encoded handle.
    pub fn decode(input: [u8; Self::BYTES]) -> Self {
        let (offset, length) = input.split_at(8);
        Self {
            offset: u64::from_le_bytes(offset.try_into().unwrap_or_default()),
            length: u32::from_le_bytes(length.try_into().unwrap_or_default()),
        }
    }
}

/// The header's bytes.
pub fn header() -> [u8; HEADER_BYTES] {
    header_of(VERSION)
}

fn header_of(version: u32) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&version.to_le_bytes());
    out
}

/// The way into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Where the stripes are.
    pub directory: Handle,
    /// What is known of the table.
    pub properties: Handle,
    /// What its blocks were compressed with.
    pub dictionary: Option<Handle>,
}

impl Footer {
    /// The footer of a file of `file_length` bytes, footer included.
    pub fn encode(&self, file_length: u64) -> [u8; FOOTER_BYTES] {
        let mut out = [0; FOOTER_BYTES];
        out[..12].copy_from_slice(&self.directory.encode());
        out[12..24].copy_from_slice(&self.properties.encode());
        out[24..36].copy_from_slice(&self.dictionary.unwrap_or_default().encode());
        out[40..48].copy_from_slice(&file_length.to_le_bytes());
        out[48..52].copy_from_slice(&VERSION.to_le_bytes());
        let sum = checksum_at(0, &out[..56]);
        out[56..64].copy_from_slice(&sum.to_le_bytes());
        out[64..].copy_from_slice(&MAGIC);
        out
    }

    /// Checks header and footer of a whole file.
    pub fn decode(path: &Path, file: &[u8]) -> Result<Self, Error> {
        let Some((_, footer)) = file
            .split_last_chunk::<FOOTER_BYTES>()
            .filter(|(rest, _)| rest.len() >= HEADER_BYTES)
        else {
            return Err(Error::corrupt(path, 0, "the file is too short for a table"));
        };
        let at = (file.len() - FOOTER_BYTES) as u64;
        let word = |from: usize| {
            footer[from..]
                .first_chunk()
                .map_or(0, |word| u64::from_le_bytes(*word))
        };
        if footer[64..] != MAGIC || checksum_at(0, &footer[..56]) != word(56) {
            return Err(Error::corrupt(
                path,
                at,
                "the footer is damaged, or the file was cut short",
            ));
        }
        let version = word(48) as u32;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(Error::Version {
                file: path.to_path_buf(),
                found: version,
                known: VERSION,
            });
        }
        if file[..HEADER_BYTES] != header_of(version) {
            return Err(Error::corrupt(path, 0, "the header is damaged"));
        }
        if word(40) != file.len() as u64 {
            return Err(Error::corrupt(
                path,
                at + 40,
                "the file has another length than it had",
            ));
        }
        let handle = |from: usize| {
            let bytes = footer[from..].first_chunk().copied().unwrap_or_default();
            Handle::decode(bytes)
        };
        Ok(Self {
            directory: handle(0),
            properties: handle(12),
            dictionary: Some(handle(24)).filter(|handle| handle.length > 0),
        })
    }
}

/// Puts the checksum into something that will be at `offset`.
pub fn seal(part: &mut [u8], offset: u64) {
    if let Some((sum, rest)) = part.split_first_chunk_mut() {
        *sum = checksum_at(offset, rest).to_le_bytes();
    }
}

/// The bytes of a part of the file, not checked yet.
#[inline]
pub fn part<'a>(path: &Path, file: &'a Bytes, offset: u64, length: u64) -> Result<&'a [u8], Error> {
    let end = offset.checked_add(length).filter(|end| *end <= file.len() as u64);
    match end {
        Some(end) if length > CHECKSUM_BYTES as u64 => Ok(&file[offset as usize..end as usize]),
        _ => Err(Error::corrupt(path, offset, "a part lies outside of the file")),
    }
}

/// Whether a part that is at `offset` matches its checksum.
#[inline]
pub fn is_whole(part: &[u8], offset: u64) -> bool {
    fetch(part);
    part.split_first_chunk()
        .is_some_and(|(sum, rest)| checksum_at(offset, rest) == u64::from_le_bytes(*sum))
}

/// Asks for all lines of a short part at once: a checksum alone waits for one after the other.
#[inline]
fn fetch(part: &[u8]) {
    const LINE_BYTES: usize = 64;
    const MOST_BYTES: usize = 8 << 10;
    let lines = part[..part.len().min(MOST_BYTES)].iter().step_by(LINE_BYTES);
    std::hint::black_box(lines.fold(0, |all, byte| all | byte));
}

/// A part of the file, checked, with its checksum; it shares the file's memory.
pub fn checked(path: &Path, file: &Bytes, handle: Handle, what: &str) -> Result<Bytes, Error> {
    let part = part(path, file, handle.offset, handle.length.into())?;
    if is_whole(part, handle.offset) {
        Ok(file.slice_ref(part))
    } else {
        Err(Error::corrupt(
            path,
            handle.offset,
            format!("the {what} does not match its checksum"),
        ))
    }
}
