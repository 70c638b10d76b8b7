//! All sources of a scan, moving from partition to partition.

use super::{Source, Stream, name::Name};
use crate::{Error, table::key};

/// Streams that stand on entries; those that are through are let go.
pub(super) struct Lanes<'a> {
    streams: Vec<Stream<'a>>,
    /// How many of them, from the first, stand on the partition that comes next.
    together: usize,
}

impl<'a> Lanes<'a> {
    /// All entries at or after `from`.
    pub(super) fn new(sources: &[Source<'a>], from: &[u8]) -> Result<Self, Error> {
        let mut streams = Vec::with_capacity(sources.len());
        for source in sources {
            let mut stream = source.stream();
            if stream.seek(from)? {
                streams.push(stream);
            }
        }
        Ok(Self { streams, together: 0 })
    }

    /// Finds the partition that comes next, and the streams that have it; `false` if there is none.
    pub(super) fn meet(&mut self, name: &mut Name) -> Result<bool, Error> {
        let mut least = 0;
        for at in 1..self.streams.len() {
            if self.streams[at].key() < self.streams[least].key() {
                least = at;
            }
        }
        let Some(stream) = self.streams.get(least) else {
            return Ok(false);
        };
        name.read(stream)?;
        self.streams.swap(0, least);
        self.together = 1;
        for at in 1..self.streams.len() {
            if self.streams[at].under(&name.prefix).is_some() {
                self.streams.swap(at, self.together);
                self.together += 1;
            }
        }
        Ok(true)
    }

    /// The streams that stand on the partition.
    pub(super) fn together(&mut self) -> &mut [Stream<'a>] {
        &mut self.streams[..self.together]
    }

    /// Goes past the partition.
    pub(super) fn leave(&mut self, prefix: &[u8], reversed: bool) -> Result<(), Error> {
        let mut behind = None;
        for stream in &mut self.streams[..self.together] {
            // Most partitions are small: the next entry may be the next partition's.
            if !reversed && stream.under(prefix).is_some() {
                stream.next()?;
            }
            if reversed || stream.under(prefix).is_some() {
                let behind = behind.get_or_insert_with(|| key::after_partition(prefix));
                stream.seek(behind)?;
            }
        }
        self.streams.retain(|stream| stream.key().is_some());
        Ok(())
    }
}
