//! Mapping a file into memory: the only unsafe code of the storage engine.

#![allow(
    clippy::disallowed_types,
    reason = "this is the implementation of the seam that everything else goes through"
)]

use std::{fs::File, io};

use bytes::Bytes;

/// Maps a whole file for reading. An empty file, which can't be mapped, is empty bytes.
#[allow(unsafe_code, reason = "there is no safe way to map a file")]
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: The contract of `Fs::map` is that the file is not written to any more. Tables are written
    // once, synced, and only then mapped; the data directory is locked, so that no other process of ours
    // writes there; removing a mapped file leaves its pages alone. What remains is another program that
    // truncates or overwrites the file, which no user of a map can exclude.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
