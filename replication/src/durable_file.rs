//! Small files that are replaced as a whole: the node's identity, its schema, kept batches.
//!
//! ```text
//! file   magic (8 bytes), XXH3-64 of the content (8 bytes, big-endian), content
//! ```

use std::{io, path::Path};

use bytes::Bytes;
use starling_sstable::fs::Fs;
use xxhash_rust::xxh3::xxh3_64;

use crate::start_error::StartError;

const HEADER_BYTES: usize = 16;

/// Why a file was not replaced, and what a restart will find.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// The file has its old content.
    #[error("{0}")]
    Unchanged(io::Error),
    /// The name was moved, and that may not be durable: a restart finds the old content or the new one.
    #[error("{0}")]
    Unsure(io::Error),
}

/// Replaces a file atomically and durably: after a crash the file has its old content or the new one.
pub(crate) fn replace(fs: &dyn Fs, path: &Path, magic: [u8; 8], content: &[u8]) -> Result<(), ReplaceError> {
    let temporary = path.with_extension("new");
    write_beside(fs, &temporary, magic, content).map_err(ReplaceError::Unchanged)?;
    fs.rename(&temporary, path)
        .and_then(|()| fs.sync_dir(dir_of(path)))
        .map_err(ReplaceError::Unsure)
}

/// The new content, durable under a name that nobody reads.
fn write_beside(fs: &dyn Fs, temporary: &Path, magic: [u8; 8], content: &[u8]) -> io::Result<()> {
    make_dir(fs, dir_of(temporary))?;
    let mut file = fs.create(temporary)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&xxh3_64(content).to_be_bytes());
    bytes.extend_from_slice(content);
    file.append(&bytes)?;
    file.sync()
}

fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Makes a directory, durably with its name.
pub(crate) fn make_dir(fs: &dyn Fs, dir: &Path) -> io::Result<()> {
    if fs.exists(dir)? {
        return Ok(());
    }
    fs.create_dir_all(dir)?;
    for made in dir.ancestors() {
        if let Some(parent) = made.parent() {
            fs.sync_dir(parent)?;
        }
    }
    Ok(())
}

/// The content of a file that [`replace`] wrote; `None` if there is no such file.
pub(crate) fn read(fs: &dyn Fs, path: &Path, magic: [u8; 8]) -> Result<Option<Bytes>, StartError> {
    let bytes = match fs.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk(path, &error)),
    };
    let damaged = |problem: &str| StartError::Damaged {
        file: path.display().to_string(),
        problem: problem.to_owned(),
    };
    if bytes.len() < HEADER_BYTES {
        return Err(damaged("it is too short"));
    }
    if bytes[..8] != magic {
        return Err(damaged("it does not begin as such a file does"));
    }
    let content = bytes.slice(HEADER_BYTES..);
    if bytes[8..HEADER_BYTES] != xxh3_64(&content).to_be_bytes() {
        return Err(damaged("its checksum does not match"));
    }
    Ok(Some(content))
}

/// A disk error as the reason why a node does not start.
pub(crate) fn disk(path: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError::Disk(format!("{}: {error}", path.display()))
}
