//! What codecs make of blocks of rows: their size, and what they cost.

use starling_model::encoding::Writer;
use starling_sstable::{
    Compression,
    table::codec::{Compressor, Decompressor},
};

use super::{command::Findings, nanos_each, timed};
use crate::engine::{
    error::Error,
    rows::{VALUE_BYTES, Values},
    starling::failed,
};

/// Bytes of content that are compressed for each figure.
const CONTENT_BYTES: usize = 16 << 20;

/// Bytes that a row has beside its value, which hardly compress: what tells it from others.
const OWN_BYTES: usize = 12;

/// Measures LZ4 and Zstandard, with and without a dictionary, on blocks of some sizes.
///
/// # Errors
///
/// A block that is not decompressed to what it was.
pub fn study() -> Result<Findings, Error> {
    let mut rows = Vec::new();
    for block in [1 << 10, 4 << 10, 16 << 10] {
        for (name, compression, dictionary) in [
            ("LZ4", Compression::Lz4, false),
            ("LZ4, with a dictionary", Compression::Lz4, true),
            ("Zstandard", Compression::Zstd, false),
            ("Zstandard, with a dictionary", Compression::ZstdDictionary, true),
        ] {
            let mut figures = vec![format!("{name}, {} KiB", block >> 10)];
            figures.extend(measure(compression, dictionary, block)?);
            rows.push(figures);
        }
    }
    Ok(Findings {
        header: vec!["", "size", "compress, us", "decompress, us"],
        rows,
    })
}

fn measure(compression: Compression, dictionary: bool, block: usize) -> Result<[String; 3], Error> {
    let blocks = blocks(block);
    let mut compressor = Compressor::new(compression);
    let mut learned = None;
    if let Some(wanted) = compressor.wanted_sample().filter(|_| dictionary) {
        let count = wanted.div_ceil(block);
        let sizes: Vec<usize> = blocks[..count].iter().map(Vec::len).collect();
        learned = compressor.learn(&blocks[..count].concat(), &sizes);
        if learned.is_none() {
            return Err(failed("no dictionary was made"));
        }
    }
    let decompressor = Decompressor::new(learned.as_deref());
    let (stored, compressed) = timed(|| {
        let stored = blocks.iter().map(|block| {
            let (codec, bytes) = compressor.compress(block);
            (codec, bytes.to_vec())
        });
        stored.collect::<Vec<_>>()
    });
    // A body that is stored as it is leaves alone what lies before it.
    let preludes = stored.iter().map(|(codec, _)| decompressor.prelude(*codec).1);
    let prelude = preludes.max_by_key(|prelude| prelude.len()).unwrap_or(&[]);
    let mut out = [prelude, &vec![0; 2 * block]].concat();
    let (wrong, decompressed) = timed(|| {
        blocks
            .iter()
            .zip(&stored)
            .filter(|(block, (codec, bytes))| {
                let out = &mut out[..prelude.len() + block.len()];
                let outcome = decompressor.decompress(*codec, bytes, prelude.len(), out);
                outcome.is_err() || out[prelude.len()..] != ***block
            })
            .count()
    });
    if wrong > 0 {
        return Err(failed(format!("{wrong} blocks are not what they were")));
    }
    let before: usize = blocks.iter().map(Vec::len).sum();
    let after: usize = stored.iter().map(|(_, bytes)| bytes.len()).sum();
    let count = blocks.len() as u64;
    Ok([
        format!("{:.3}", after as f64 / before as f64),
        format!("{:.2}", nanos_each(compressed, count) / 1e3),
        format!("{:.2}", nanos_each(decompressed, count) / 1e3),
    ])
}

/// The content of blocks of rows, about as a table has it.
fn blocks(bytes: usize) -> Vec<Vec<u8>> {
    let values = Values::new();
    let mut number = 0_u64;
    (0..CONTENT_BYTES / bytes)
        .map(|_| {
            let mut out = Writer::default();
            while out.as_slice().len() < bytes {
                number += 1;
                let own = xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()).to_le_bytes();
                out.fixed(&own[..OWN_BYTES]);
                out.bytes(&values.of(number, 0)[..VALUE_BYTES]);
            }
            out.finish().to_vec()
        })
        .collect()
}
