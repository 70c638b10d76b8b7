//! How the bodies of data blocks are compressed.
//!
//! LZ4 can stop in the middle, so a search decompresses a block up to its row only. Zstandard is slower and
//! smaller; with a dictionary, trained from the table's own first blocks and stored in it, small blocks lose
//! little against large ones. A body that does not shrink by an eighth is stored as it is.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use lzzzz::lz4;
use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict};

use super::{block::Malformed, layout::MAX_CONTENT_BYTES};
use crate::Compression;

/// Zstandard's level: the fastest of its regular ones. Higher levels cost far more time than they save.
const ZSTD_LEVEL: i32 = 1;

/// Bytes of a dictionary, at most.
const DICTIONARY_BYTES: usize = 16 << 10;

/// LZ4 does not shrink anything further than this.
const MAX_LZ4_RATIO: usize = 255;

/// How one body is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    None = 0,
    /// One LZ4 block.
    Lz4 = 1,
    /// One Zstandard frame.
    Zstd = 2,
    /// One Zstandard frame, made with the table's dictionary.
    ZstdDictionary = 3,
}

impl Codec {
    /// The codec of this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Lz4,
            2 => Self::Zstd,
            3 => Self::ZstdDictionary,
            _ => return None,
        })
    }

    /// Whether `stored` bytes can be the compressed form of `content`: bounds what a malformed length can
    /// make a reader allocate.
    pub fn can_hold(self, stored: usize, content: usize) -> bool {
        match self {
            Self::None => stored == content,
            Self::Lz4 => content <= MAX_CONTENT_BYTES && content <= stored.saturating_mul(MAX_LZ4_RATIO),
            Self::Zstd | Self::ZstdDictionary => content <= MAX_CONTENT_BYTES,
        }
    }

    /// Whether the beginning of a body can be had alone.
    pub fn is_partial(self) -> bool {
        matches!(self, Self::Lz4)
    }
}

/// Compresses bodies, one after the other.
pub struct Compressor {
    compression: Compression,
    zstd: Option<CCtx<'static>>,
    dictionary: Option<CDict<'static>>,
    out: Vec<u8>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressor").field(&self.compression).finish()
    }
}

impl Compressor {
    /// A compressor for a new table.
    pub fn new(compression: Compression) -> Self {
        let zstd = matches!(compression, Compression::Zstd | Compression::ZstdDictionary);
        Self {
            compression,
            zstd: zstd.then(CCtx::create),
            dictionary: None,
            out: Vec::new(),
        }
    }

    /// Uses a dictionary from now on.
    pub fn set_dictionary(&mut self, dictionary: &[u8]) {
        self.dictionary = Some(CDict::create(dictionary, ZSTD_LEVEL));
    }

    /// A body as it is to be stored.
    pub fn compress<'a>(&'a mut self, body: &'a [u8]) -> (Codec, &'a [u8]) {
        let worth = body.len() - body.len() / 8;
        self.out.clear();
        let codec = match (self.compression, &mut self.zstd) {
            (Compression::Lz4, _) => lz4::compress_to_vec(body, &mut self.out, lz4::ACC_LEVEL_DEFAULT)
                .ok()
                .map(|_| Codec::Lz4),
            (Compression::Zstd | Compression::ZstdDictionary, Some(context)) => {
                self.out.reserve(zstd::zstd_safe::compress_bound(body.len()));
                match &self.dictionary {
                    Some(dictionary) => context
                        .compress_using_cdict(&mut self.out, body, dictionary)
                        .ok()
                        .map(|_| Codec::ZstdDictionary),
                    None => context
                        .compress(&mut self.out, body, ZSTD_LEVEL)
                        .ok()
                        .map(|_| Codec::Zstd),
                }
            }
            _ => None,
        };
        match codec.filter(|_| self.out.len() <= worth) {
            Some(codec) => (codec, &self.out),
            None => (Codec::None, body),
        }
    }
}

/// A dictionary for bodies like `samples`, which lie one behind the other; `None` if there is too little to
/// learn from.
pub fn train(samples: &[u8], sizes: &[usize]) -> Option<Vec<u8>> {
    zstd::dict::from_continuous(samples, sizes, DICTIONARY_BYTES).ok()
}

/// Decompresses the bodies of one table.
#[derive(Default)]
pub struct Decompressor {
    dictionary: Option<DDict<'static>>,
    /// Contexts at rest. They are large, so they are kept; there are as many as there were readers at once.
    contexts: Mutex<Vec<DCtx<'static>>>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("dictionary", &self.dictionary.is_some())
            .finish_non_exhaustive()
    }
}

impl Decompressor {
    /// For a table with this dictionary.
    pub fn new(dictionary: Option<&[u8]>) -> Self {
        Self {
            dictionary: dictionary.map(DDict::create),
            contexts: Mutex::default(),
        }
    }

    /// Fills `out` with the body, or, of a codec that [is partial](Codec::is_partial), with its beginning.
    pub fn decompress(&self, codec: Codec, stored: &[u8], out: &mut [u8]) -> Result<(), Malformed> {
        let length = out.len();
        let written = match codec {
            Codec::None => {
                out.copy_from_slice(stored.get(..length).ok_or(Malformed)?);
                length
            }
            Codec::Lz4 => lz4::decompress_partial(stored, out, length).map_err(|_| Malformed)?,
            Codec::Zstd => self.with_context(|context| context.decompress(out, stored))?,
            Codec::ZstdDictionary => {
                let dictionary = self.dictionary.as_ref().ok_or(Malformed)?;
                self.with_context(|context| context.decompress_using_ddict(out, stored, dictionary))?
            }
        };
        if written == length { Ok(()) } else { Err(Malformed) }
    }

    fn with_context(
        &self,
        run: impl FnOnce(&mut DCtx<'static>) -> Result<usize, usize>,
    ) -> Result<usize, Malformed> {
        let kept = self.contexts.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut context = kept.unwrap_or_else(DCtx::create);
        let result = run(&mut context).map_err(|_| Malformed);
        self.contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(context);
        result
    }
}
