//! What a directory of linked files takes.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

/// Files below a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// How many tables there are.
    pub(super) tables: u64,
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Bytes of those that have no other name: what removing them gives back.
    pub(super) own_bytes: u64,
}

/// How deep directories are looked into.
const DEPTH: u32 = 4;

/// Adds up what is below a directory. Symbolic links are not followed.
pub(super) fn of(dir: &Path) -> io::Result<Size> {
    let mut size = Size::default();
    add(&mut size, dir, DEPTH)?;
    Ok(size)
}

fn add(size: &mut Size, dir: &Path, depth: u32) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let known = match entry.metadata() {
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if known.is_dir() {
            if depth > 0 {
                add(size, &entry.path(), depth - 1)?;
            }
            continue;
        }
        let is_table = starling_sstable::table::reader::file_number(&entry.path()).is_some();
        size.tables += u64::from(is_table);
        size.bytes += known.len();
        size.own_bytes += if known.nlink() > 1 { 0 } else { known.len() };
    }
    Ok(())
}
