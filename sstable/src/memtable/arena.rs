//! Where the bytes of a memtable lie: appended to chunks, never moved, freed all at once.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a chunk; what is larger gets a chunk of its own.
const CHUNK_BYTES: usize = 256 << 10;
/// Places are counted in units of this many bytes.
const UNIT_BYTES: usize = 8;
const UNITS_PER_CHUNK: u32 = (CHUNK_BYTES / UNIT_BYTES) as u32;

/// The largest arena, in bytes: so many that a [`Place`] can name, and half of them for safety.
pub(super) const MAX_BYTES: usize = 8 << 30;

/// Where something lies in an [`Arena`]: below 2^31, in units of eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u32);

/// Chunks of memtables that are gone, for those that come: new memory would have to be cleared by the system first,
/// page by page.
#[derive(Debug)]
pub struct Pool {
    chunks: Mutex<Vec<Vec<u8>>>,
    /// The most chunks that are kept.
    most: usize,
}

impl Pool {
    /// A pool that keeps at most so much, in bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            chunks: Mutex::default(),
            most: bytes / CHUNK_BYTES,
        }
    }

    /// Gives back what is kept.
    pub fn clear(&self) {
        drop(std::mem::take(&mut *self.lock()));
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.lock().pop()
    }

    fn give(&self, chunks: impl Iterator<Item = Vec<u8>>) {
        for mut chunk in chunks.filter(|chunk| chunk.capacity() == CHUNK_BYTES) {
            chunk.clear();
            let mut kept = self.lock();
            if kept.len() >= self.most {
                break;
            }
            kept.push(chunk);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that are only ever added to.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    used: usize,
    /// Where chunks come from and go to.
    pool: Option<Arc<Pool>>,
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.give(self.chunks.drain(..));
        }
    }
}

impl Arena {
    /// Copies `parts` in, one after the other.
    pub(super) fn put(&mut self, parts: &[&[u8]]) -> Place {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let fits = |chunk: &Vec<u8>| chunk.len().next_multiple_of(UNIT_BYTES) + bytes <= CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            let chunk = self.chunk(bytes);
            self.chunks.push(chunk);
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let start = chunk.len().next_multiple_of(UNIT_BYTES);
        chunk.resize(start, 0);
        for part in parts {
            chunk.extend_from_slice(part);
        }
        self.used += bytes.next_multiple_of(UNIT_BYTES);
        Place(number as u32 * UNITS_PER_CHUNK + (start / UNIT_BYTES) as u32)
    }

    /// A chunk for so many bytes, and more.
    fn chunk(&self, bytes: usize) -> Vec<u8> {
        // The first chunk grows as it is filled: there may be very many small memtables.
        if self.chunks.is_empty() {
            return Vec::with_capacity(bytes);
        }
        let kept = self.pool.as_ref().filter(|_| bytes <= CHUNK_BYTES);
        kept.and_then(|pool| pool.take())
            .unwrap_or_else(|| Vec::with_capacity(bytes.max(CHUNK_BYTES)))
    }

    /// Lets chunks come from `pool` from now on, and go there at the end.
    pub(super) fn share(&mut self, pool: &Arc<Pool>) {
        self.pool = Some(Arc::clone(pool));
    }

    /// Everything from a place to the end of its chunk.
    pub(super) fn at(&self, place: Place) -> &[u8] {
        let chunk = &self.chunks[(place.0 / UNITS_PER_CHUNK) as usize];
        &chunk[(place.0 % UNITS_PER_CHUNK) as usize * UNIT_BYTES..]
    }

    /// The same, to be changed.
    pub(super) fn at_mut(&mut self, place: Place) -> &mut [u8] {
        let chunk = &mut self.chunks[(place.0 / UNITS_PER_CHUNK) as usize];
        &mut chunk[(place.0 % UNITS_PER_CHUNK) as usize * UNIT_BYTES..]
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> usize {
        self.used
    }
}
