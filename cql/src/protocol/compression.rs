//! Compression of bodies (v4) and of segments (v5), with the size of what comes out bounded before
//! anything is allocated.
//!
//! ```text
//! LZ4 in v4     uncompressed length (4 bytes, big-endian), then one LZ4 block
//! Snappy in v4  one Snappy block, which begins with its uncompressed length
//! LZ4 in v5     one LZ4 block; the uncompressed length is in the segment's header
//! ```

use bytes::Bytes;

use super::version::Version;

/// An LZ4 block can't expand by more than this factor, so a larger claim is a lie.
const LZ4_MAX_EXPANSION: usize = 255;

/// A Snappy copy makes at most 64 bytes out of 2.
const SNAPPY_MAX_EXPANSION: usize = 64;

/// How a connection's bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4 blocks.
    Lz4,
    /// Snappy blocks; v4 only.
    Snappy,
}

/// Compressed bytes that don't decompress, or to more than is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// It is not a block of this kind.
    #[error("the compressed bytes are damaged")]
    Damaged,
    /// It would be larger than the bound. Nothing was allocated.
    #[error("{length} bytes after decompression are more than the {limit} allowed")]
    TooLarge {
        /// What it claims to become, in bytes.
        length: usize,
        /// The bound, in bytes.
        limit: usize,
    },
}

impl Compression {
    /// The name in STARTUP and SUPPORTED.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
        }
    }

    /// What a version allows, in the order of preference.
    pub fn supported(version: Version) -> &'static [Self] {
        match version {
            Version::V4 => &[Self::Lz4, Self::Snappy],
            Version::V5 => &[Self::Lz4],
        }
    }

    /// The one with a name, in any case, if `version` allows it.
    pub fn named(name: &str, version: Version) -> Option<Self> {
        Self::supported(version)
            .iter()
            .copied()
            .find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// Appends the v4 form of `body` to `out`.
    pub fn compress_body(self, body: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Lz4 => {
                let length = u32::try_from(body.len()).expect("a body is shorter than 4 GiB");
                out.extend_from_slice(&length.to_be_bytes());
                compress_lz4(body, out);
            }
            Self::Snappy => {
                let start = out.len();
                out.resize(start + snap::raw::max_compress_len(body.len()), 0);
                let written = snap::raw::Encoder::new()
                    .compress(body, &mut out[start..])
                    .expect("the output has room for the worst case");
                out.truncate(start + written);
            }
        }
    }

    /// How long the body behind a v4 form says it is, of which `begun` is the beginning; `None` if that is
    /// too short to tell.
    pub fn plain_length(self, begun: &[u8]) -> Option<usize> {
        match self {
            Self::Lz4 => begun
                .first_chunk()
                .map(|length| u32::from_be_bytes(*length) as usize),
            Self::Snappy => snap::raw::decompress_len(begun).ok(),
        }
    }

    /// The body behind its v4 form, at most `limit` bytes long.
    pub fn decompress_body(self, compressed: &[u8], limit: usize) -> Result<Bytes, DecompressError> {
        match self {
            Self::Lz4 => {
                let (length, block) = compressed.split_first_chunk().ok_or(DecompressError::Damaged)?;
                decompress_lz4(block, u32::from_be_bytes(*length) as usize, limit)
            }
            Self::Snappy => {
                let length = snap::raw::decompress_len(compressed).map_err(|_| DecompressError::Damaged)?;
                check_claim(length, compressed.len(), SNAPPY_MAX_EXPANSION, limit)?;
                let body = snap::raw::Decoder::new()
                    .decompress_vec(compressed)
                    .map_err(|_| DecompressError::Damaged)?;
                Ok(body.into())
            }
        }
    }
}

/// Appends an LZ4 block without a length.
pub fn compress_lz4(plain: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(plain.len()), 0);
    let written = lz4_flex::block::compress_into(plain, &mut out[start..])
        .expect("the output has room for the worst case");
    out.truncate(start + written);
}

/// What an LZ4 block holds: exactly `length` bytes, at most `limit`.
pub fn decompress_lz4(block: &[u8], length: usize, limit: usize) -> Result<Bytes, DecompressError> {
    if length == 0 {
        return Ok(Bytes::new());
    }
    check_claim(length, block.len(), LZ4_MAX_EXPANSION, limit)?;
    let mut plain = vec![0; length];
    match lz4_flex::block::decompress_into(block, &mut plain) {
        Ok(written) if written == length => Ok(plain.into()),
        _ => Err(DecompressError::Damaged),
    }
}

fn check_claim(
    length: usize,
    compressed: usize,
    max_expansion: usize,
    limit: usize,
) -> Result<(), DecompressError> {
    if length > limit {
        return Err(DecompressError::TooLarge { length, limit });
    }
    if length > compressed.saturating_mul(max_expansion) {
        return Err(DecompressError::Damaged);
    }
    Ok(())
}
