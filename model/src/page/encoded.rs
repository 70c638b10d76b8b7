//! A page that a replica sends on without looking at it.

use bytes::{Buf, Bytes};

use super::{Page, PartitionPage, put_clustering, put_key, take_partitions};
use crate::{
    encoding::{DecodeError, Input, Reader, Writer},
    key::DecoratedKey,
    read::Position,
    token::Token,
};

/// Room before the partitions for their number, so that nothing moves when it is known.
pub(super) const HEAD_BYTES: usize = 10;

/// A [`Page`] whose partitions are encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedPage {
    /// [`HEAD_BYTES`], then the partitions; empty if there are none.
    buffer: Vec<u8>,
    /// Where in the buffer each partition begins.
    starts: Vec<usize>,
    /// See [`Page::next`].
    pub next: Option<Position>,
}

/// A partition of an [`EncodedPage`], in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedPartition<'a> {
    /// The token of its key.
    pub token: Token,
    /// Its key.
    pub key: &'a [u8],
    /// See [`PartitionPage::cut`].
    pub cut: Option<&'a [u8]>,
    /// The content, in the layout of [`crate::encoding`].
    pub content: &'a [u8],
}

impl EncodedPage {
    pub(super) fn new(buffer: Vec<u8>, starts: Vec<usize>, next: Option<Position>) -> Self {
        Self { buffer, starts, next }
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is no partition. There may still be a `next`.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes of the partitions.
    pub fn bytes(&self) -> usize {
        self.buffer.len().saturating_sub(HEAD_BYTES)
    }

    /// The partitions, in order. Nothing of their content is checked.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = EncodedPartition<'_>> {
        (0..self.starts.len()).map(|at| {
            let end = self.starts.get(at + 1).copied().unwrap_or(self.buffer.len());
            let bytes = &self.buffer[self.starts[at]..end];
            take(bytes).expect("a page's writer wrote the heads of its partitions")
        })
    }

    /// The key of the last partition.
    pub fn last_key(&self) -> Option<DecoratedKey> {
        let last = take(&self.buffer[*self.starts.last()?..]).ok()?;
        Some(DecoratedKey {
            token: last.token,
            key: Bytes::copy_from_slice(last.key),
        })
    }

    /// Adds a page whose partitions come after those of this one; it goes on where the other does.
    pub fn append(&mut self, other: Self) {
        self.next = other.next;
        if self.is_empty() {
            self.buffer = other.buffer;
            self.starts = other.starts;
        } else if !other.starts.is_empty() {
            let by = self.buffer.len() - HEAD_BYTES;
            self.buffer.extend_from_slice(&other.buffer[HEAD_BYTES..]);
            self.starts.extend(other.starts.iter().map(|start| start + by));
        }
    }

    /// The page in the layout of [`page`](crate::page). Nothing is copied unless the buffer has to grow.
    pub fn into_bytes(mut self) -> Bytes {
        let mut count = Writer::default();
        count.varint(self.starts.len() as u64);
        let count = count.as_slice();
        if self.buffer.is_empty() {
            self.buffer.resize(HEAD_BYTES, 0);
        }
        let from = HEAD_BYTES - count.len();
        self.buffer[from..HEAD_BYTES].copy_from_slice(count);
        let mut out = Writer::behind(self.buffer);
        match &self.next {
            None => out.byte(0),
            Some(position) => {
                out.byte(1);
                put_key(&mut out, position.key.token, &position.key.key);
                put_clustering(&mut out, position.clustering.as_ref());
                out.varint(u64::from(position.rows));
            }
        }
        let mut bytes = out.finish();
        bytes.advance(from);
        bytes
    }

    /// The same page, decoded. Values share the page's memory.
    pub fn decode(self) -> Result<Page, DecodeError> {
        let mut bytes = Bytes::from(self.buffer);
        bytes.advance(HEAD_BYTES.min(bytes.len()));
        let mut input = Reader::new(bytes);
        let partitions: Vec<PartitionPage> = take_partitions(&mut input, self.starts.len())?;
        input.end()?;
        Ok(Page {
            partitions,
            next: self.next,
        })
    }
}

fn take(bytes: &[u8]) -> Result<EncodedPartition<'_>, DecodeError> {
    let mut input = Input::new(bytes);
    let token = Token(i64::from_be_bytes(input.fixed()?));
    let key = input.bytes()?;
    let cut = match input.flags(1)? {
        0 => None,
        _ => Some(input.bytes()?),
    };
    Ok(EncodedPartition {
        token,
        key,
        cut,
        content: input.rest(),
    })
}
