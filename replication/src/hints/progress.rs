//! How far the oldest segment of a target was delivered, on disk: so a restart does not send all of it again.
//!
//! ```text
//! progress   the segment's number, the place in it up to which its hints need not be read (8 bytes each, big-endian);
//!            in a file that is replaced as a whole
//! ```

use std::path::Path;

use starling_sstable::fs::Fs;

use crate::durable_file::{self, ReplaceError};

/// In a target's directory.
pub(super) const FILE: &str = "progress";
/// Another one than that of version 1, in which hints were counted.
const MAGIC: [u8; 8] = *b"STRLHPR2";

/// A place in a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The segment's number; 0: none.
    pub(super) number: u64,
    /// What ends here or before is delivered, or worth nothing any more.
    pub(super) place: u64,
}

impl Progress {
    pub(super) fn store(self, fs: &dyn Fs, dir: &Path) -> Result<(), ReplaceError> {
        let mut content = self.number.to_be_bytes().to_vec();
        content.extend_from_slice(&self.place.to_be_bytes());
        durable_file::replace(fs, &dir.join(FILE), MAGIC, &content)
    }

    /// From the start of all segments if it can't be read.
    pub(super) fn load(fs: &dyn Fs, dir: &Path) -> Self {
        let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        match durable_file::read(fs, &dir.join(FILE), MAGIC) {
            Ok(Some(content)) if content.len() == 16 => {
                let read = number(&content[..8]).zip(number(&content[8..]));
                read.map(|(number, place)| Self { number, place })
                    .unwrap_or_default()
            }
            Ok(_) => Self::default(),
            Err(error) => {
                ::tracing::warn!(%error, "hints that were delivered may be sent again");
                Self::default()
            }
        }
    }
}
