//! A segment: a header, then groups of writes.
//!
//! ```text
//! 0   8  "STARLLOG"
//! 8   4  version, 4
//! 12  4  zero
//! 16  8  the segment's number, as in its name
//! 24  8  the number of its first write
//! 32  8  the newest write that was on disk when it was begun
//! 40  8  a random number, the salt; not there before version 4
//! 48  8  checksum of all before it
//! 56     groups; in version 2 records
//! ```
//!
//! Behind the last group, up to the end of the file, is what the file held before: zeros, where space was set aside
//! for it, or groups of another segment, where a file is used again. So a file whose header has a smaller number than
//! its name is a segment that was not begun; one whose header has a greater number has a name of an earlier use.
//!
//! All numbers are little-endian. The chain "newest write before" is what shows a missing segment, or
//! one that lost its end; it needs no repair of a torn tail, because the next segment says where the
//! recovery had cut it.

use std::path::Path;

use crate::{Error, checksum::checksum, log::Lsn};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 56;

/// The same before there was a salt.
const UNSALTED_HEADER_BYTES: usize = 48;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 4;

/// The first version with a salt.
pub(super) const SALTED_VERSION: u32 = 4;

/// The oldest version that is read.
pub const OLDEST_VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"STARLLOG";

const SUFFIX: &str = ".log";

/// The extension of a file that is kept for a new segment.
pub const FREE_EXTENSION: &str = "free";

/// The start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version: what follows is laid out in its way.
    pub version: u32,
    /// The file's number.
    pub number: u64,
    /// The number of its first write.
    pub first: Lsn,
    /// The newest write that was on disk when the segment was begun.
    pub previous: Lsn,
    /// A random number that is in the checksums of all that follows, so that nobody can make up what passes for it; 0 in
    /// a version that has none.
    pub salt: u64,
}

impl Header {
    /// The header's bytes, in the version that is written.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        debug_assert_eq!(self.version, VERSION);
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.version.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.previous.0.to_le_bytes());
        out[40..48].copy_from_slice(&self.salt.to_le_bytes());
        let sum = checksum(&out[..48]);
        out[48..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a header. `Ok(None)`: there is no whole one.
    pub fn decode(path: &Path, input: &[u8]) -> Result<Option<Self>, Error> {
        let word = |at: usize| {
            let word = input.get(at..).and_then(<[u8]>::first_chunk);
            word.map_or(0, |word| u64::from_le_bytes(*word))
        };
        let version = word(8) as u32;
        let salted = version >= SALTED_VERSION;
        let length = header_bytes(version);
        let Some(bytes) = input.get(..length) else {
            return Ok(None);
        };
        if checksum(&bytes[..length - 8]) != word(length - 8) || bytes[..8] != MAGIC {
            return Ok(None);
        }
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(Error::Version {
                file: path.to_path_buf(),
                found: version,
                known: VERSION,
            });
        }
        Ok(Some(Self {
            version,
            number: word(16),
            first: Lsn(word(24)),
            previous: Lsn(word(32)),
            salt: if salted { word(40) } else { 0 },
        }))
    }

    /// Bytes that it takes in its version: where what follows begins.
    pub(super) fn len(&self) -> usize {
        header_bytes(self.version)
    }
}

fn header_bytes(version: u32) -> usize {
    if version >= SALTED_VERSION {
        HEADER_BYTES
    } else {
        UNSALTED_HEADER_BYTES
    }
}

/// The name of a segment's file.
pub fn file_name(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

/// Whether a file is kept for a new segment.
pub fn is_free(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == FREE_EXTENSION)
}

/// The number in a segment's file name; `None` if the file is something else.
pub fn file_number(path: &Path) -> Option<u64> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    if stem.len() == 16 {
        u64::from_str_radix(stem, 16).ok()
    } else {
        None
    }
}
