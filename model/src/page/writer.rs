//! A page as it is put together, partition by partition.

use super::{EncodedPage, encoded::HEAD_BYTES, put_clustering, put_key};
use crate::{encoding::Writer, key::Clustering, read::Position, token::Token};

/// Puts a page together in its bytes, without making a [`Page`](super::Page).
///
/// A partition is begun, its content written, and ended or dropped; then comes the next one.
#[derive(Debug, Default)]
pub struct PageWriter {
    out: Writer,
    starts: Vec<usize>,
    /// Where the mark stands that says whether the partition was cut.
    cut: usize,
}

impl PageWriter {
    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Begins a partition. Those before it have lesser keys.
    #[inline]
    pub fn begin(&mut self, token: Token, key: &[u8]) {
        if self.out.as_slice().is_empty() {
            self.out.fixed(&[0; HEAD_BYTES]);
        }
        self.starts.push(self.out.as_slice().len());
        put_key(&mut self.out, token, key);
        self.cut = self.out.as_slice().len();
        self.out.byte(0);
    }

    /// Where the content of the partition goes, in the layout of [`Writer::partition`], and nothing else.
    #[inline]
    pub fn content(&mut self) -> &mut Writer {
        &mut self.out
    }

    /// Ends the partition. Where it was cut, `cut` is the last clustering that was covered.
    #[inline]
    pub fn end(&mut self, cut: Option<&Clustering>) {
        if cut.is_some() {
            let mut mark = Writer::default();
            put_clustering(&mut mark, cut);
            self.out.replace(self.cut..self.cut + 1, mark.as_slice());
        }
    }

    /// Drops the partition that was begun.
    pub fn drop_last(&mut self) {
        if let Some(start) = self.starts.pop() {
            self.out.truncate(start);
        }
    }

    /// Bytes so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.out.as_slice().len()
    }

    /// Whether no partition was begun.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The page, which goes on at `next`.
    pub fn finish(self, next: Option<Position>) -> EncodedPage {
        if self.starts.is_empty() {
            return EncodedPage::new(Vec::new(), Vec::new(), next);
        }
        EncodedPage::new(self.out.into_vec(), self.starts, next)
    }
}
