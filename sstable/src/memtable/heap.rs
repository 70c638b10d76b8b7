//! Where the rows of a memtable lie.
//!
//! A row lies in the arena as it came: its length and whether it has room to grow (4 bytes, little-endian), then its
//! bytes. What is written to it later is merged where it lies, if that fits; else the row moves, and from then on has
//! some room: so a small row that grows bit by bit leaves few copies of itself behind. A large one that is written to
//! in small pieces leaves the arena: it is [`Grown`].

use std::sync::Arc;

use starling_model::{DecodeError, encoding::RowMerger};

use super::{
    arena::{Arena, Place, Pool},
    grown::Grown,
};

/// From this many bytes on a row is not merged with each small write, and gets no room.
const LARGE_BYTES: usize = 2 << 10;
/// Set in a length: behind so many bytes there is [room](room_of) for more.
const ROOMY: u32 = 1 << 31;
/// Set in a slot: a number of a [`Grown`], not a place in the arena.
const GROWN: u32 = 1 << 31;

/// Where a row lies in a [`Heap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// The length of a row in the arena, and whether it has room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length(u32);

/// The rows of a memtable.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub(super) arena: Arena,
    grown: Vec<Grown>,
    /// What those hold, in bytes.
    outside: usize,
    /// The most bytes that a row had, or more.
    largest: usize,
}

impl Length {
    /// Of a row that came.
    pub(super) fn exact(row: &[u8]) -> Self {
        Self(row.len() as u32)
    }

    /// Of a row that gets room.
    pub(super) fn roomy(row: &[u8]) -> Self {
        Self(row.len() as u32 | ROOMY)
    }

    /// Of another row at the same place.
    pub(super) fn replaced_by(self, row: &[u8]) -> Self {
        Self(row.len() as u32 | self.0 & ROOMY)
    }

    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    pub(super) fn bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// The bytes of the row.
    #[inline]
    pub(super) fn get(self) -> usize {
        (self.0 & !ROOMY) as usize
    }

    /// How long a row at this place can be.
    pub(super) fn room(self) -> usize {
        if self.0 & ROOMY == 0 {
            self.get()
        } else {
            room_of(self.get())
        }
    }

    /// The zeros that follow the row.
    pub(super) fn padding(self) -> &'static [u8] {
        &[0; LARGE_BYTES][..self.room() - self.get()]
    }
}

/// The bytes that a roomy row of so many has for itself: up to a third more. The room of any length up to that is no
/// larger, so it can be told from the length that the row has now.
fn room_of(bytes: usize) -> usize {
    if bytes >= LARGE_BYTES {
        bytes
    } else {
        bytes.next_multiple_of((bytes.next_power_of_two() / 4).max(8))
    }
}

/// Whether a row is so large, and what is written to it so small, that they are not merged at once.
pub(super) fn is_apart(held: &[u8], row: &[u8]) -> bool {
    held.len() >= LARGE_BYTES && row.len() <= held.len() / 2
}

impl Heap {
    /// Lets the arena's chunks come from `pool` from now on, and go there at the end.
    pub(super) fn share(&mut self, pool: &Arc<Pool>) {
        self.arena.share(pool);
    }

    /// Memory held, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes() + self.outside
    }

    /// No row has more bytes.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// A row, encoded.
    #[inline]
    pub(super) fn row(&self, slot: Slot) -> &[u8] {
        if slot.is_grown() {
            self.grown[slot.number()].row()
        } else {
            row_at(&self.arena, Place(slot.0)).0
        }
    }

    /// Takes a row as it is.
    pub(super) fn put(&mut self, row: &[u8]) -> Slot {
        self.note(row.len());
        Slot(self.arena.put(&[&Length::exact(row).bytes(), row]).0)
    }

    /// Takes a row as it is, one to which more is written.
    pub(super) fn take(&mut self, row: Vec<u8>) -> Slot {
        if row.len() < LARGE_BYTES {
            self.put(&row)
        } else {
            self.grow(row)
        }
    }

    /// A row of so many bytes is put in.
    #[inline]
    pub(super) fn note(&mut self, bytes: usize) {
        self.largest = self.largest.max(bytes);
    }

    fn grow(&mut self, row: Vec<u8>) -> Slot {
        self.note(row.len());
        let grown = Grown::new(row);
        self.outside += grown.weight();
        self.grown.push(grown);
        Slot((self.grown.len() - 1) as u32 | GROWN)
    }

    /// Merges a state of a row into what is held of it, if anything is; where that lies from now on.
    pub(super) fn merge(
        &mut self,
        slot: Option<Slot>,
        row: &[u8],
        merger: &mut RowMerger,
    ) -> Result<Slot, DecodeError> {
        let Some(slot) = slot else {
            return Ok(self.put(row));
        };
        if slot.is_grown() {
            let grown = &mut self.grown[slot.number()];
            self.outside -= grown.weight();
            let pushed = grown.push(row, merger);
            self.outside += grown.weight();
            self.largest = self.largest.max(grown.bytes());
            return pushed.map(|()| slot);
        }
        let (held, length) = row_at(&self.arena, Place(slot.0));
        if is_apart(held, row) {
            let slot = self.grow(held.to_vec());
            return self.merge(Some(slot), row, merger);
        }
        let Some(merged) = merger.merge(&[held, row], None)? else {
            return Ok(slot);
        };
        if merged.len() <= length.room() {
            let bytes = self.arena.at_mut(Place(slot.0));
            bytes[..4].copy_from_slice(&length.replaced_by(merged).bytes());
            bytes[4..4 + merged.len()].copy_from_slice(merged);
            return Ok(slot);
        }
        self.largest = self.largest.max(merged.len());
        let length = Length::roomy(merged);
        let place = self.arena.put(&[&length.bytes(), merged, length.padding()]);
        Ok(Slot(place.0))
    }
}

impl Slot {
    #[inline]
    fn is_grown(self) -> bool {
        self.0 & GROWN != 0
    }

    #[inline]
    fn number(self) -> usize {
        (self.0 & !GROWN) as usize
    }
}

fn row_at(arena: &Arena, place: Place) -> (&[u8], Length) {
    let bytes = arena.at(place);
    let length = Length::from_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (&bytes[4..4 + length.get()], length)
}
