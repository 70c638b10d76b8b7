//! Many streams as one, in the order of their keys.

use super::stream::{Input, Stream};
use crate::Error;

/// Streams that stand on entries, the one with the least key first.
///
/// A key's first eight bytes, its token, are compared as a number before anything else: tokens are uniform, so
/// the rest of a key is looked at only where streams meet.
pub(super) struct Merge<'a> {
    streams: Vec<Head<'a>>,
    /// Streams that stand on an entry, by key: the least is the last.
    order: Vec<usize>,
}

struct Head<'a> {
    stream: Stream<'a>,
    /// The start of the key it stands on.
    token: u64,
}

impl<'a> Merge<'a> {
    /// All entries of some inputs at or after `from`.
    pub(super) fn new(inputs: &'a [Input], from: &[u8]) -> Result<Self, Error> {
        let mut merge = Self {
            streams: Vec::with_capacity(inputs.len()),
            order: Vec::with_capacity(inputs.len()),
        };
        for input in inputs {
            let mut stream = input.stream();
            let found = stream.seek(from)?;
            merge.streams.push(Head { stream, token: 0 });
            if found {
                merge.insert(merge.streams.len() - 1);
            }
        }
        Ok(merge)
    }

    /// The stream with the least key; `None` at the end of all.
    pub(super) fn least(&self) -> Option<&Stream<'a>> {
        self.order.last().map(|at| &self.streams[*at].stream)
    }

    /// The first eight bytes of the least key.
    pub(super) fn token(&self) -> Option<u64> {
        self.order.last().map(|at| self.streams[*at].token)
    }

    /// How many streams stand on the least key.
    pub(super) fn together(&self) -> usize {
        let Some((least, others)) = self.order.split_last() else {
            return 0;
        };
        let least = &self.streams[*least];
        let same = |at: &&usize| {
            let other = &self.streams[**at];
            other.token == least.token && other.stream.key() == least.stream.key()
        };
        1 + others.iter().rev().take_while(same).count()
    }

    /// The first `count` streams.
    pub(super) fn first(&self, count: usize) -> impl Iterator<Item = &Stream<'a>> {
        self.order
            .iter()
            .rev()
            .take(count)
            .map(|at| &self.streams[*at].stream)
    }

    /// Moves the first `count` streams to their next entries.
    pub(super) fn advance(&mut self, count: usize) -> Result<(), Error> {
        self.go(count, Stream::next)
    }

    /// Moves the streams that stand before `target` to it, or to what comes after it.
    pub(super) fn skip_to(&mut self, target: &[u8]) -> Result<(), Error> {
        let before = self.order.iter().rev();
        let before = before
            .take_while(|at| self.streams[**at].stream.key() < target)
            .count();
        self.go(before, |stream| stream.seek(target))
    }

    fn go(
        &mut self,
        count: usize,
        mut go: impl FnMut(&mut Stream<'a>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        if let (1, Some(at)) = (count, self.order.last().copied()) {
            // By far the usual case, and often the stream stays the first.
            self.order.pop();
            if go(&mut self.streams[at].stream)? {
                self.insert(at);
            }
            return Ok(());
        }
        let moving = self.order.split_off(self.order.len() - count);
        for at in moving {
            if go(&mut self.streams[at].stream)? {
                self.insert(at);
            }
        }
        Ok(())
    }

    /// Puts a stream where it belongs.
    fn insert(&mut self, at: usize) {
        let head = &mut self.streams[at];
        head.token = start_of(head.stream.key());
        let head = &self.streams[at];
        let is_before = |other: &usize| {
            let other = &self.streams[*other];
            (other.token, other.stream.key()) < (head.token, head.stream.key())
        };
        let before = self
            .order
            .iter()
            .rev()
            .take_while(|other| is_before(other))
            .count();
        self.order.insert(self.order.len() - before, at);
    }
}

/// The first eight bytes of a key as a number; what is missing counts as zeros.
pub(super) fn start_of(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(token) => u64::from_be_bytes(*token),
        None => {
            let mut token = [0; 8];
            token[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(token)
        }
    }
}
