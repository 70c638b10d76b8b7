//! The byte layout of pages between nodes, and their digest.
//!
//! ```text
//! page       varint number of partitions, partitions, then 0, or 1 and a position
//! partition  key, 0 or 1 and the cut's bytes, the partition (see `model::encoding`)
//! position   key, 0 or 1 and the clustering's bytes, varint rows
//! key        token (8 bytes, big-endian), key bytes
//! ```
//!
//! Equal pages have equal bytes, so the XXH3-128 of them is the digest by which a coordinator sees
//! that replicas agree.

use bytes::Bytes;
use starling_model::{
    Clustering, DecodeError, DecoratedKey, Page, PartitionPage, Position, Token,
    encoding::{Reader, Writer},
};

/// About how many bytes a page takes, in memory and encoded; more rather than less.
pub fn page_weight(page: &Page) -> usize {
    let part = |part: &PartitionPage| 64 + part.key.key.len() + part.partition.weight();
    128 + page.partitions.iter().map(part).sum::<usize>()
}

/// The page's bytes.
pub fn encode_page(page: &Page) -> Bytes {
    let mut out = Writer::with_capacity(page_weight(page));
    out.varint(page.partitions.len() as u64);
    for part in &page.partitions {
        put_key(&mut out, &part.key);
        put_clustering(&mut out, part.cut.as_ref());
        out.partition(&part.partition);
    }
    match &page.next {
        None => out.byte(0),
        Some(position) => {
            out.byte(1);
            put_key(&mut out, &position.key);
            put_clustering(&mut out, position.clustering.as_ref());
            out.varint(u64::from(position.rows));
        }
    }
    out.finish()
}

/// Reads what [`encode_page`] wrote. Values share `bytes`' memory.
pub fn decode_page(bytes: Bytes) -> Result<Page, DecodeError> {
    let mut input = Reader::new(bytes);
    let count = input.count()?;
    let mut partitions: Vec<PartitionPage> = Vec::new();
    for _ in 0..count {
        let key = take_key(&mut input)?;
        let cut = take_clustering(&mut input)?;
        let partition = input.partition()?;
        if partitions.last().is_some_and(|last| last.key >= key) {
            return Err(DecodeError::NotCanonical);
        }
        partitions.push(PartitionPage { key, partition, cut });
    }
    let next = match input.flags(1)? {
        0 => None,
        _ => Some(Position {
            key: take_key(&mut input)?,
            clustering: take_clustering(&mut input)?,
            rows: u32::try_from(input.varint()?).map_err(|_| DecodeError::Number)?,
        }),
    };
    input.end()?;
    Ok(Page { partitions, next })
}

/// XXH3-128 of the page's bytes.
pub fn page_digest(page: &Page) -> u128 {
    xxhash_rust::xxh3::xxh3_128(&encode_page(page))
}

fn put_key(out: &mut Writer, key: &DecoratedKey) {
    out.fixed(&key.token.0.to_be_bytes());
    out.bytes(&key.key);
}

fn take_key(input: &mut Reader) -> Result<DecoratedKey, DecodeError> {
    let token = Token(i64::from_be_bytes(input.fixed()?));
    let key = input.bytes()?;
    Ok(DecoratedKey { token, key })
}

fn put_clustering(out: &mut Writer, clustering: Option<&Clustering>) {
    out.byte(u8::from(clustering.is_some()));
    if let Some(clustering) = clustering {
        out.bytes(&clustering.0);
    }
}

fn take_clustering(input: &mut Reader) -> Result<Option<Clustering>, DecodeError> {
    Ok(match input.flags(1)? {
        0 => None,
        _ => Some(Clustering(input.bytes()?)),
    })
}
