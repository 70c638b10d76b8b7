//! Where the bytes of a memtable lie: appended to chunks, never moved, freed all at once.

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

/// Bytes that are only ever added to.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
    used: usize,
}

impl Arena {
    /// Copies `parts` in, one after the other.
    pub(super) fn put(&mut self, parts: &[&[u8]]) -> Place {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let fits = |chunk: &Vec<u8>| chunk.len().next_multiple_of(UNIT_BYTES) + bytes <= CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            // The first chunk grows as it is filled: there may be very many small memtables.
            let room = if self.chunks.is_empty() { 0 } else { CHUNK_BYTES };
            self.chunks.push(Vec::with_capacity(room.max(bytes)));
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
