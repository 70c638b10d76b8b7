//! Header, footer, and the frame around every block.
//!
//! ```text
//! header   8 "STARLTBL", 4 version, 4 zero
//! frames   anywhere between, found through handles
//! footer   0   8  root of the index: offset
//!          8   4                     length
//!          12  4  levels of the index, at least 1
//!          16  8  index of the filter: offset
//!          24  4                       length
//!          28  4  properties: length
//!          32  8              offset
//!          40  8  length of the file
//!          48  4  version
//!          52  4  zero
//!          56  8  checksum of bytes 0 to 56 of the footer
//!          64  8  "STARLTBL"
//!
//! frame    payload, 1 byte compression (0 none, 1 LZ4), 4 length before compression,
//!          8 checksum of all before it, at place "offset in the file"
//! ```
//!
//! All numbers are little-endian.

use std::path::Path;

use bytes::Bytes;

use crate::{Compression, Error, checksum::checksum_at};

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 16;

/// Bytes of the footer.
pub const FOOTER_BYTES: usize = 72;

/// Bytes of a frame after its payload.
pub const TRAILER_BYTES: usize = 13;

/// The largest content of a frame: bounds what a damaged length can make the reader allocate, and with
/// it the size of one row.
pub const MAX_CONTENT_BYTES: usize = 1 << 30;

/// The most levels an index can have; far more than the largest file needs.
pub const MAX_LEVELS: u32 = 16;

/// LZ4 does not shrink anything further than this.
const MAX_LZ4_RATIO: usize = 255;

const MAGIC: [u8; 8] = *b"STARLTBL";

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handle {
    /// Its offset in the file.
    pub offset: u64,
    /// Its length with the trailer, in bytes.
    pub length: u32,
}

impl Handle {
    /// Bytes of an encoded handle.
    pub const BYTES: usize = 12;

    /// 8 bytes offset, 4 bytes length.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..].copy_from_slice(&self.length.to_le_bytes());
        out
    }

    /// Reads an encoded handle; `None` if the length is wrong.
    pub fn decode(input: &[u8]) -> Option<Self> {
        let input: &[u8; Self::BYTES] = input.try_into().ok()?;
        Some(Self {
            offset: u64::from_le_bytes(*input.first_chunk()?),
            length: u32::from_le_bytes(*input.last_chunk()?),
        })
    }
}

/// The header's bytes.
pub fn header() -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(&MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out
}

/// The way into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// The root block of the index.
    pub root: Handle,
    /// How many index blocks lie between the file and a data block.
    pub levels: u32,
    /// The index of the filter.
    pub filter: Handle,
    /// The properties.
    pub properties: Handle,
}

impl Footer {
    /// The footer of a file of `file_length` bytes, footer included.
    pub fn encode(&self, file_length: u64) -> [u8; FOOTER_BYTES] {
        let mut out = [0; FOOTER_BYTES];
        out[..12].copy_from_slice(&self.root.encode());
        out[12..16].copy_from_slice(&self.levels.to_le_bytes());
        out[16..28].copy_from_slice(&self.filter.encode());
        out[28..32].copy_from_slice(&self.properties.length.to_le_bytes());
        out[32..40].copy_from_slice(&self.properties.offset.to_le_bytes());
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
        if version != VERSION {
            return Err(Error::Version {
                file: path.to_path_buf(),
                found: version,
                known: VERSION,
            });
        }
        if file[..HEADER_BYTES] != header() {
            return Err(Error::corrupt(path, 0, "the header is damaged"));
        }
        if word(40) != file.len() as u64 {
            return Err(Error::corrupt(
                path,
                at + 40,
                "the file has another length than it had",
            ));
        }
        let handle = |from: usize| Handle::decode(&footer[from..from + Handle::BYTES]).unwrap_or_default();
        let levels = word(12) as u32;
        if levels == 0 || levels > MAX_LEVELS {
            return Err(Error::corrupt(path, at + 12, "impossible number of index levels"));
        }
        Ok(Self {
            root: handle(0),
            levels,
            filter: handle(16),
            properties: Handle {
                offset: word(32),
                length: word(28) as u32,
            },
        })
    }
}

/// Frames `content` for `offset` in the file: compressed if asked for and worth it.
pub fn frame(content: &[u8], offset: u64, compression: Compression) -> Vec<u8> {
    let compressed = match compression {
        Compression::None => None,
        Compression::Lz4 => Some(lz4_flex::block::compress(content))
            .filter(|compressed| compressed.len() <= content.len() - content.len() / 8),
    };
    let (mut out, kind) = match compressed {
        Some(compressed) => (compressed, 1),
        None => (content.to_vec(), 0),
    };
    out.push(kind);
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    let sum = checksum_at(offset, &out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// Checks a frame and returns its content, which shares the file's memory if it is not compressed.
pub fn unframe(path: &Path, file: &Bytes, handle: Handle) -> Result<Bytes, Error> {
    let corrupt = |what: &str| Error::corrupt(path, handle.offset, what);
    let (start, length) = (handle.offset, u64::from(handle.length));
    let end = start.checked_add(length).filter(|end| *end <= file.len() as u64);
    let Some(end) = end.filter(|_| length >= TRAILER_BYTES as u64) else {
        return Err(corrupt("a block lies outside of the file"));
    };
    let framed = &file[start as usize..end as usize];
    let (checked, sum) = framed
        .split_last_chunk::<8>()
        .ok_or_else(|| corrupt("a block is too short"))?;
    if checksum_at(start, checked) != u64::from_le_bytes(*sum) {
        return Err(corrupt("a block does not match its checksum"));
    }
    let (rest, size) = checked
        .split_last_chunk::<4>()
        .ok_or_else(|| corrupt("a block is too short"))?;
    let size = u32::from_le_bytes(*size) as usize;
    let (kind, payload) = rest.split_last().ok_or_else(|| corrupt("a block is too short"))?;
    match kind {
        0 if size == payload.len() => Ok(file.slice_ref(payload)),
        1 if size <= MAX_CONTENT_BYTES && size <= payload.len().saturating_mul(MAX_LZ4_RATIO) => {
            let mut content = vec![0; size];
            match lz4_flex::block::decompress_into(payload, &mut content) {
                Ok(written) if written == size => Ok(content.into()),
                _ => Err(corrupt("a block can't be decompressed")),
            }
        }
        _ => Err(corrupt(
            "a block has impossible lengths or an unknown compression",
        )),
    }
}
