//! How the bodies of data blocks are compressed.
//!
//! LZ4 can stop in the middle, so a search decompresses a block up to its row only. Zstandard is slower and
//! smaller. Either can use a dictionary that is made from the table's own first blocks and stored in it, so that
//! small blocks, which are fast to read, lose little against large ones: for LZ4 it is a sample, which costs
//! nothing to make, for Zstandard it is trained. A body that does not shrink by an eighth is stored as it is.

use std::{
    fmt,
    sync::{Mutex, OnceLock, PoisonError},
};

use lzzzz::lz4;
use xxhash_rust::xxh3::xxh3_64;
use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict};

use super::{block::Malformed, layout::MAX_CONTENT_BYTES};
use crate::Compression;

/// Zstandard's level: the fastest of its regular ones. Higher levels cost far more time than they save.
const ZSTD_LEVEL: i32 = 1;

/// Bytes of a trained dictionary, at most.
const DICTIONARY_BYTES: usize = 16 << 10;

/// A dictionary is trained from so much content, in bytes: about a hundred times its own size.
const TRAINED_BYTES: usize = 1 << 20;

/// How much LZ4 hurries when it has a dictionary: looking things up in it takes time, and what is missed by hurrying
/// is less than what the dictionary gains.
const LZ4_HURRY: i32 = 3;

/// A dictionary for LZ4 has so many pieces of so many bytes: much less and things are missing, much more and it
/// pushes what is read often out of the nearest cache.
const SAMPLE_PIECES: usize = 64;
const SAMPLE_PIECE_BYTES: usize = 128;

/// A dictionary for LZ4 is made of so much content, in bytes, if there is so much.
const SAMPLED_BYTES: usize = 128 << 10;

/// And at least of so much, or it would be too large a part of a table.
const LEAST_SAMPLED_BYTES: usize = 64 << 10;

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
    /// One LZ4 block, made with the table's dictionary.
    Lz4Dictionary = 4,
}

impl Codec {
    /// The codec of this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Lz4,
            2 => Self::Zstd,
            3 => Self::ZstdDictionary,
            4 => Self::Lz4Dictionary,
            _ => return None,
        })
    }

    /// Whether `stored` bytes can be the compressed form of `content`: bounds what a malformed length can
    /// make a reader allocate.
    pub fn can_hold(self, stored: usize, content: usize) -> bool {
        match self {
            Self::None => stored == content,
            Self::Lz4 | Self::Lz4Dictionary => {
                content <= MAX_CONTENT_BYTES && content <= stored.saturating_mul(MAX_LZ4_RATIO)
            }
            Self::Zstd | Self::ZstdDictionary => content <= MAX_CONTENT_BYTES,
        }
    }

    /// Whether the beginning of a body can be had alone.
    pub fn is_partial(self) -> bool {
        matches!(self, Self::Lz4 | Self::Lz4Dictionary)
    }
}

/// Compresses bodies, one after the other.
pub struct Compressor {
    compression: Compression,
    zstd: Option<CCtx<'static>>,
    zstd_dictionary: Option<CDict<'static>>,
    lz4_dictionary: Option<Lz4Dictionary>,
    out: Vec<u8>,
}

/// LZ4's state, and that which knows the dictionary.
struct Lz4Dictionary {
    state: lz4::Compressor<'static>,
    learned: lz4::Compressor<'static>,
}

impl Lz4Dictionary {
    fn new(dictionary: &[u8]) -> Option<Self> {
        Some(Self {
            state: lz4::Compressor::new().ok()?,
            learned: lz4::Compressor::with_dict(dictionary.to_vec()).ok()?,
        })
    }

    fn compress(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        // Forgets the body before, of which a reader knows nothing.
        self.state.attach_dict(None);
        self.state.attach_dict(Some(&mut self.learned));
        self.state.next_to_vec(body, out, LZ4_HURRY).ok()
    }
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
            zstd_dictionary: None,
            lz4_dictionary: None,
            out: Vec::new(),
        }
    }

    /// How much content it wants to see, in bytes, before it can make a dictionary; `None` if it wants none.
    pub fn wanted_sample(&self) -> Option<usize> {
        match self.compression {
            Compression::None | Compression::Zstd => None,
            Compression::Lz4 => Some(SAMPLED_BYTES),
            Compression::ZstdDictionary => Some(TRAINED_BYTES),
        }
    }

    /// Makes a dictionary for content like `samples`, of which pieces of `sizes` lie one behind the other, and
    /// uses it from now on; `None` if there is too little to learn from.
    pub fn learn(&mut self, samples: &[u8], sizes: &[usize]) -> Option<Vec<u8>> {
        match self.compression {
            Compression::None | Compression::Zstd => None,
            Compression::Lz4 => {
                let dictionary = sample(samples)?;
                self.lz4_dictionary = Lz4Dictionary::new(&dictionary);
                self.lz4_dictionary.is_some().then_some(dictionary)
            }
            Compression::ZstdDictionary => {
                let dictionary = zstd::dict::from_continuous(samples, sizes, DICTIONARY_BYTES).ok()?;
                self.zstd_dictionary = Some(CDict::create(&dictionary, ZSTD_LEVEL));
                Some(dictionary)
            }
        }
    }

    /// A body as it is to be stored.
    pub fn compress<'a>(&'a mut self, body: &'a [u8]) -> (Codec, &'a [u8]) {
        let worth = body.len() - body.len() / 8;
        self.out.clear();
        let codec = match (self.compression, &mut self.zstd) {
            (Compression::Lz4, _) => match &mut self.lz4_dictionary {
                Some(dictionary) => dictionary
                    .compress(body, &mut self.out)
                    .map(|_| Codec::Lz4Dictionary),
                None => lz4::compress_to_vec(body, &mut self.out, lz4::ACC_LEVEL_DEFAULT)
                    .ok()
                    .map(|_| Codec::Lz4),
            },
            (Compression::Zstd | Compression::ZstdDictionary, Some(context)) => {
                self.out.reserve(zstd::zstd_safe::compress_bound(body.len()));
                match &self.zstd_dictionary {
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

/// Pieces of some content, spread evenly over it; `None` if there is too little.
fn sample(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() < LEAST_SAMPLED_BYTES {
        return None;
    }
    let pieces = content.chunks_exact(content.len() / SAMPLE_PIECES);
    Some(
        pieces
            .flat_map(|piece| &piece[..SAMPLE_PIECE_BYTES])
            .copied()
            .collect(),
    )
}

/// Decompresses the bodies of one table.
#[derive(Default)]
pub struct Decompressor {
    dictionary: Option<Vec<u8>>,
    /// Its hash.
    id: u64,
    /// The same, prepared for Zstandard when it is first needed.
    prepared: OnceLock<DDict<'static>>,
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
            id: dictionary.map_or(0, xxh3_64),
            dictionary: dictionary.map(<[u8]>::to_vec),
            prepared: OnceLock::new(),
            contexts: Mutex::default(),
        }
    }

    /// The table's dictionary.
    pub(super) fn dictionary(&self) -> Option<&[u8]> {
        self.dictionary.as_deref()
    }

    /// What should lie right before the memory that a body of this codec is decompressed to: LZ4 looks back into its
    /// dictionary for most of a small body, and does so at once where the two are one piece of memory. And a number that
    /// tells it from others, as hashes do; 0 for none.
    pub fn prelude(&self, codec: Codec) -> (u64, &[u8]) {
        match (codec, &self.dictionary) {
            (Codec::Lz4Dictionary, Some(dictionary)) => (self.id, dictionary),
            _ => (0, &[]),
        }
    }

    /// Fills what of `memory` is behind the [prelude](Self::prelude), which it begins with and which has so many bytes, with
    /// the body, or, of a codec that [is partial](Codec::is_partial), with its beginning.
    pub fn decompress(
        &self,
        codec: Codec,
        stored: &[u8],
        prelude: usize,
        memory: &mut [u8],
    ) -> Result<(), Malformed> {
        let (prelude, out) = memory.split_at_mut_checked(prelude).ok_or(Malformed)?;
        let length = out.len();
        let written = match codec {
            Codec::None => {
                out.copy_from_slice(stored.get(..length).ok_or(Malformed)?);
                length
            }
            Codec::Lz4 => lz4::decompress_partial(stored, out, length).map_err(|_| Malformed)?,
            Codec::Zstd => self.with_context(|context| context.decompress(out, stored))?,
            Codec::Lz4Dictionary => {
                lz4::decompress_partial_with_dict(stored, out, length, prelude).map_err(|_| Malformed)?
            }
            Codec::ZstdDictionary => {
                let dictionary = self.dictionary.as_ref().ok_or(Malformed)?;
                let dictionary = self.prepared.get_or_init(|| DDict::create(dictionary));
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
