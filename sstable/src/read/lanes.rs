//! Many streams as one, in the order of their keys.

use super::{Source, Stream};
use crate::Error;

/// Streams that stand on entries; those that are through are let go.
///
/// A key's first eight bytes, its token, are compared as a number before anything else: tokens are uniform, so
/// the rest of a key is looked at only where streams meet.
pub(crate) struct Lanes<'a> {
    /// By key: the least is the last.
    lanes: Vec<Lane<'a>>,
}

struct Lane<'a> {
    /// The start of the key that the stream stands on.
    token: u64,
    /// Which of the sources it is of.
    source: usize,
    stream: Box<Stream<'a>>,
}

impl<'a> Lanes<'a> {
    /// All entries of some sources at or after `from`.
    pub(crate) fn new(sources: impl IntoIterator<Item = Source<'a>>, from: &[u8]) -> Result<Self, Error> {
        let mut lanes = Self { lanes: Vec::new() };
        for (number, source) in sources.into_iter().enumerate() {
            let mut stream = source.stream();
            if stream.seek(from)? {
                lanes.insert(Lane {
                    token: 0,
                    source: number,
                    stream: Box::new(stream),
                });
            }
        }
        Ok(lanes)
    }

    /// The stream with the least key; `None` at the end of all.
    #[inline]
    pub(crate) fn least(&self) -> Option<&Stream<'a>> {
        self.lanes.last().map(|lane| &*lane.stream)
    }

    /// The first eight bytes of the least key.
    #[inline]
    pub(crate) fn token(&self) -> Option<u64> {
        self.lanes.last().map(|lane| lane.token)
    }

    /// The first eight bytes of the least key of the other streams; the greatest number if there are none, or they
    /// have no lesser.
    pub(super) fn next_token(&self) -> u64 {
        let second = self.lanes.len().checked_sub(2);
        second.map_or(u64::MAX, |second| self.lanes[second].token)
    }

    /// How many streams stand on the least key.
    #[inline]
    pub(crate) fn together(&self) -> usize {
        let Some((least, others)) = self.lanes.split_last() else {
            return 0;
        };
        let same = |lane: &&Lane<'_>| lane.token == least.token && lane.stream.key() == least.stream.key();
        1 + others.iter().rev().take_while(same).count()
    }

    /// How many streams stand on entries whose keys begin with `prefix`, which the least key does.
    pub(super) fn under(&self, prefix: &[u8]) -> usize {
        let token = self.token();
        let inside = |lane: &&Lane<'_>| Some(lane.token) == token && lane.stream.under(prefix).is_some();
        self.lanes.iter().rev().take_while(inside).count()
    }

    /// The first `count` streams.
    pub(crate) fn first(&self, count: usize) -> impl Iterator<Item = &Stream<'a>> {
        self.lanes.iter().rev().take(count).map(|lane| &*lane.stream)
    }

    /// The first `count` streams, and of which of the sources each is, from 0.
    pub(crate) fn first_of_sources(&self, count: usize) -> impl Iterator<Item = (usize, &Stream<'a>)> {
        let first = self.lanes.iter().rev().take(count);
        first.map(|lane| (lane.source, &*lane.stream))
    }

    /// The first `count` streams, to be moved. Then [`arrange`](Self::arrange) them.
    pub(super) fn first_mut(&mut self, count: usize) -> impl Iterator<Item = &mut Stream<'a>> {
        self.lanes
            .iter_mut()
            .rev()
            .take(count)
            .map(|lane| &mut *lane.stream)
    }

    /// Puts the first `count` streams, which were moved, where they belong.
    pub(super) fn arrange(&mut self, count: usize) {
        if count == 1 {
            // By far the usual case.
            if let Some(lane) = self.lanes.pop() {
                self.insert(lane);
            }
            return;
        }
        let moved = self.lanes.split_off(self.lanes.len() - count);
        for lane in moved {
            self.insert(lane);
        }
    }

    /// Moves the first `count` streams to their next entries.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) -> Result<(), Error> {
        for stream in self.first_mut(count) {
            stream.next()?;
        }
        self.arrange(count);
        Ok(())
    }

    /// Moves the streams that stand before `target` to it, or to what comes after it.
    pub(crate) fn skip_to(&mut self, target: &[u8]) -> Result<(), Error> {
        let before = |stream: &&Stream<'_>| stream.key().is_some_and(|key| key < target);
        let before = self.first(self.lanes.len()).take_while(before).count();
        for stream in self.first_mut(before) {
            stream.seek(target)?;
        }
        self.arrange(before);
        Ok(())
    }

    /// Puts a stream where it belongs, if it stands on an entry.
    fn insert(&mut self, mut lane: Lane<'a>) {
        let Some(key) = lane.stream.key() else { return };
        lane.token = start_of(key);
        let is_before =
            |other: &&Lane<'_>| (other.token, other.stream.key()) < (lane.token, lane.stream.key());
        let before = self.lanes.iter().rev().take_while(is_before).count();
        self.lanes.insert(self.lanes.len() - before, lane);
    }
}

/// The first eight bytes of a key as a number; what is missing counts as zeros.
#[inline]
pub(crate) fn start_of(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(token) => u64::from_be_bytes(*token),
        None => {
            let mut token = [0; 8];
            token[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(token)
        }
    }
}
