//! The manifest: what a restart begins from.
//!
//! ```text
//! 8   "STARLMAN"
//! 4   version, 5 (little-endian)
//! 4   length of one copy, in bytes (little-endian); zero before version 5
//! varint   the next number for a file
//! varint   the newest write known when it was written
//! varint   the oldest write that may be in the log only ("floor")
//! 8   the salt of the log's segments (little-endian); not in version 3
//! varint   number of tables, and for each, in order:
//!          16 table id (big-endian), varint newest write of the table that the log need not be asked for,
//!          varint number of files, and for each, ascending:
//!          varint number, 8 + 8 the tokens that it was made for (start exclusive, end inclusive, big-endian);
//!          varint number of damaged pieces of files, and for each:
//!          varint file, 8 + 8 the tokens concerned (first and last, inclusive, big-endian), varint offset,
//!          varint second it was found in, 1 healed or not, varint length and text of what is wrong
//! 8   checksum of all before it (little-endian)
//! ```
//!
//! All of that is there twice, the second time from a multiple of 4 KiB on, after zeros; then come 8 bytes, the checksum of
//! all before them. So no bad sector costs both. Before version 5 there was one.
//!
//! Varints as in `model::encoding`. The file is small (some bytes for each live file), so it is
//! written anew for every change, synced, and renamed over the old one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use starling_model::{
    DecodeError, TableId, Token, TokenRange,
    encoding::{Reader, Writer},
};

use super::Damage;
use crate::{Error, checksum::checksum, fs::Fs, log::Lsn};

/// The name of the manifest in the engine's directory.
pub const FILE_NAME: &str = "manifest";

/// The name it has while it is written.
pub const NEW_FILE_NAME: &str = "manifest.new";

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 5;

/// The oldest version that is read.
pub const OLDEST_VERSION: u32 = 3;

/// The first version with a salt.
const SALTED_VERSION: u32 = 4;

/// The first version with two copies.
const TWICE_VERSION: u32 = 5;

/// The second copy begins at a multiple of this, in bytes: disks fail by sectors, which are no larger.
pub const COPY_ALIGNMENT: usize = 4096;

const MAGIC: [u8; 8] = *b"STARLMAN";
const HEADER_BYTES: usize = 16;

/// What a restart begins from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The next number for a file when the manifest was made. Files with larger ones may lie beside it: they
    /// were begun, and are in no manifest yet.
    pub next_file: u64,
    /// The newest write known then; later ones get larger numbers, also if the log lost this one.
    pub last: Lsn,
    /// Writes older than this are in tables, or not wanted any more.
    pub floor: Lsn,
    /// A random number in the checksums of the log's segments, so that no client can make up what passes for a part of
    /// them; 0: none was drawn yet.
    pub salt: u64,
    /// The tables that have files, or writes in the log to be ignored.
    pub tables: BTreeMap<TableId, Entry>,
}

/// One table of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Writes up to this are in the files, or were truncated: the log's are to be ignored.
    pub replayed: Lsn,
    /// The live files, by ascending numbers.
    pub files: Vec<File>,
    /// What of them was found damaged.
    pub damage: Vec<Damage>,
}

/// One live file of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its number, which is in its name.
    pub number: u64,
    /// The tokens that it was made for: it holds nothing else. Does not wrap.
    pub tokens: TokenRange,
}

impl Manifest {
    /// Reads the manifest of a directory; `None` if there is none. Where one of its copies is damaged, or can't be
    /// read, the other one is taken, with a warning.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE_NAME);
        if !fs.exists(&path).map_err(Error::io("find", &path))? {
            return Ok(None);
        }
        let bytes = match fs.read(&path) {
            Ok(bytes) => bytes,
            // What of it can't be read is zeros in a map.
            Err(error) => match fs.map(&path) {
                Ok(map) => map.bytes().clone(),
                Err(_) => return Err(Error::io("read", &path)(error)),
            },
        };
        Self::decode(&path, &bytes).map(Some)
    }

    /// First half of replacing the manifest: writes and syncs the new one beside the old one. After an
    /// error the old one is in force.
    pub fn prepare(&self, fs: &dyn Fs, dir: &Path) -> Result<Prepared, Error> {
        let path = dir.join(NEW_FILE_NAME);
        let mut file = fs.create(&path).map_err(Error::io("create", &path))?;
        file.append(&self.encode()).map_err(Error::io("write", &path))?;
        file.sync().map_err(Error::io("sync", &path))?;
        Ok(Prepared {
            from: path,
            to: dir.join(FILE_NAME),
            dir: dir.to_path_buf(),
        })
    }

    fn encode(&self) -> Bytes {
        let copy = self.encode_once();
        let second = copy.len().next_multiple_of(COPY_ALIGNMENT);
        let mut out = Vec::with_capacity(second + copy.len() + 8);
        out.extend_from_slice(&copy);
        out.resize(second, 0);
        out.extend_from_slice(&copy);
        // A release that knows of one copy takes this for its checksum, and so sees the version.
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out.into()
    }

    fn encode_once(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64 + 32 * self.tables.len());
        out.fixed(&MAGIC);
        out.fixed(&VERSION.to_le_bytes());
        out.fixed(&[0; 4]);
        out.varint(self.next_file);
        out.varint(self.last.0);
        out.varint(self.floor.0);
        out.fixed(&self.salt.to_le_bytes());
        out.varint(self.tables.len() as u64);
        for (id, entry) in &self.tables {
            out.fixed(&id.0.to_be_bytes());
            out.varint(entry.replayed.0);
            out.varint(entry.files.len() as u64);
            for File { number, tokens } in &entry.files {
                out.varint(*number);
                out.fixed(&tokens.start.0.to_be_bytes());
                out.fixed(&tokens.end.0.to_be_bytes());
            }
            out.varint(entry.damage.len() as u64);
            for damage in &entry.damage {
                damage.encode(&mut out);
            }
        }
        let mut copy = out.finish().to_vec();
        let length = (copy.len() + 8) as u32;
        copy[12..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        let sum = checksum(&copy);
        copy.extend_from_slice(&sum.to_le_bytes());
        copy
    }

    fn decode(path: &Path, bytes: &Bytes) -> Result<Self, Error> {
        let first = match Self::copy_at(path, bytes, 0) {
            Err(error @ Error::Corrupt { .. }) => error,
            read => return read,
        };
        let starts = (COPY_ALIGNMENT..bytes.len()).step_by(COPY_ALIGNMENT);
        let mut others = starts.map(|at| Self::copy_at(path, bytes, at));
        let Some(manifest) = others.find_map(Result::ok) else {
            return Err(first);
        };
        tracing::warn!(
            error = %first,
            "the first copy of the manifest is damaged, and the second one is whole: it is taken, and both are \
             written anew; look after the disk"
        );
        Ok(manifest)
    }

    /// The copy that begins at a place, if it is whole.
    fn copy_at(path: &Path, bytes: &Bytes, at: usize) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::corrupt(path, at as u64, what);
        let rest = bytes.slice(at.min(bytes.len())..);
        if rest.len() < HEADER_BYTES + 8 {
            return Err(corrupt("the file is too short"));
        }
        let word =
            |from: usize| u32::from_le_bytes([rest[from], rest[from + 1], rest[from + 2], rest[from + 3]]);
        let version = word(8);
        let length = match word(12) as usize {
            0 => rest.len(),
            length => length,
        };
        let whole = (HEADER_BYTES + 8..=rest.len()).contains(&length) && rest[..8] == MAGIC;
        let Some((checked, sum)) = rest[..length.min(rest.len())]
            .split_last_chunk::<8>()
            .filter(|_| whole)
        else {
            return Err(corrupt("it is cut, or no manifest"));
        };
        if checksum(checked) != u64::from_le_bytes(*sum) {
            return Err(corrupt("it does not match its checksum"));
        }
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(Error::Version {
                file: path.to_path_buf(),
                found: version,
                known: VERSION,
            });
        }
        if (version >= TWICE_VERSION) != (word(12) != 0) {
            return Err(corrupt("its length is missing"));
        }
        body(version, Reader::new(rest.slice(HEADER_BYTES..checked.len())))
            .map_err(|error| Error::corrupt(path, (at + HEADER_BYTES) as u64, error.to_string()))
    }
}

fn body(version: u32, mut input: Reader) -> Result<Manifest, DecodeError> {
    let mut manifest = Manifest {
        next_file: input.varint()?,
        last: Lsn(input.varint()?),
        floor: Lsn(input.varint()?),
        salt: if version >= SALTED_VERSION {
            u64::from_le_bytes(input.fixed()?)
        } else {
            0
        },
        tables: BTreeMap::new(),
    };
    for _ in 0..input.count()? {
        let id = TableId(u128::from_be_bytes(input.fixed()?));
        let mut entry = Entry {
            replayed: Lsn(input.varint()?),
            ..Entry::default()
        };
        for _ in 0..input.count()? {
            entry.files.push(file(&mut input)?);
        }
        for _ in 0..input.count()? {
            entry.damage.push(Damage::decode(&mut input)?);
        }
        manifest.tables.insert(id, entry);
    }
    input.end()?;
    Ok(manifest)
}

fn file(input: &mut Reader) -> Result<File, DecodeError> {
    let number = input.varint()?;
    let tokens = TokenRange {
        start: Token(i64::from_be_bytes(input.fixed()?)),
        end: Token(i64::from_be_bytes(input.fixed()?)),
    };
    if tokens.start >= tokens.end {
        return Err(DecodeError::NotCanonical);
    }
    Ok(File { number, tokens })
}

/// A manifest that is on disk, but not in force yet.
#[derive(Debug)]
#[must_use]
pub struct Prepared {
    from: PathBuf,
    to: PathBuf,
    dir: PathBuf,
}

impl Prepared {
    /// Second half: puts it in force. After an error it may or may not be, so files that either manifest
    /// names must stay.
    pub fn commit(self, fs: &dyn Fs) -> Result<(), Error> {
        fs.rename(&self.from, &self.to)
            .map_err(Error::io("rename", &self.from))?;
        fs.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))
    }
}
