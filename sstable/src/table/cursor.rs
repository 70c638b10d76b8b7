//! Moving through a table's entries, both ways.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use starling_model::DecodeError;

use super::{
    Table,
    block::{Entries, Malformed, Shape, View},
    codec::Codec,
    reader::Place,
};
use crate::Error;

/// A place among a table's entries: on one, or (after a call said `false`) on none.
///
/// It holds one data block, and reads another only if it must, so that short hops are cheap. The memory of a
/// block that was decompressed is used for the next one, unless a value of it is still held.
///
/// Forward, it steps over the table's [holes](super::holes). Backward, it ends at one: those who go backward do so
/// inside of a partition.
#[derive(Debug, Clone)]
pub struct Cursor {
    table: Arc<Table>,
    loaded: Option<Loaded>,
    valid: bool,
    /// The entry: its number in the block, its key, where its value is in the body.
    at: usize,
    key: Vec<u8>,
    value: Range<usize>,
    /// The table had a hole when the cursor was made.
    holes: bool,
}

/// A block that was checked and decompressed.
#[derive(Debug, Clone)]
struct Loaded {
    place: Place,
    offset: u64,
    block: Bytes,
    shape: Shape,
    /// The body, behind what it was decompressed with.
    memory: Bytes,
    prelude: usize,
}

impl Loaded {
    fn entries(&self) -> Entries<'_> {
        Entries::new(View::new(&self.block, self.shape), self.body())
    }

    fn body(&self) -> &[u8] {
        &self.memory[self.prelude..]
    }
}

impl Cursor {
    /// A cursor on no entry.
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self {
            holes: table.holes().any(),
            table,
            loaded: None,
            valid: false,
            at: 0,
            key: Vec::new(),
            value: 0..0,
        }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The entry's key; `None` on no entry.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.valid.then_some(&self.key)
    }

    /// The entry's value; `None` on no entry. It shares memory with the block or the file.
    pub fn value(&self) -> Option<Bytes> {
        let loaded = self.loaded.as_ref().filter(|_| self.valid)?;
        let Range { start, end } = self.value;
        Some(loaded.memory.slice(loaded.prelude + start..loaded.prelude + end))
    }

    /// The entry's value in place; empty on no entry.
    #[inline]
    pub fn value_bytes(&self) -> &[u8] {
        match &self.loaded {
            Some(loaded) if self.valid => &loaded.body()[self.value.clone()],
            _ => &[],
        }
    }

    /// The error for an entry whose content can't be right.
    pub fn malformed(&self, what: impl Into<String>) -> Error {
        let offset = self.loaded.as_ref().map_or(0, |loaded| loaded.offset);
        Error::corrupt(self.table.path(), offset, what)
    }

    /// Whether the index leads from the entry's key to the block that it is in.
    pub(super) fn is_where_the_index_leads(&self) -> Result<bool, Error> {
        let here = self.loaded.as_ref().map(|loaded| loaded.place);
        Ok(here == Some(self.table.place(&self.key)?))
    }

    /// Goes to the first entry of the table.
    pub fn first(&mut self) -> Result<bool, Error> {
        if self.holes {
            return self.seek_outside(self.table.ends().0);
        }
        self.valid = false;
        self.load(Place { stripe: 0, block: 0 })?;
        self.go(0)
    }

    /// Goes to the last entry of the table.
    pub fn last(&mut self) -> Result<bool, Error> {
        self.valid = false;
        let place = self.table.last_place()?;
        let count = self.load(place)?.shape.count;
        self.go(count - 1)
    }

    /// Goes to the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) -> Result<bool, Error> {
        if self.holes && self.is_outside(target) {
            return self.seek_outside(token_of(target));
        }
        let (at, count) = self.search(target)?;
        if at < count {
            self.go(at)?;
            return self.ahead();
        }
        self.enter_next()
    }

    /// Goes to the last entry before `target`.
    pub fn seek_before(&mut self, target: &[u8]) -> Result<bool, Error> {
        if self.holes && self.is_outside(target) {
            self.valid = false;
            return Ok(false);
        }
        let (at, _) = self.search(target)?;
        match at.checked_sub(1) {
            Some(before) => {
                self.go(before)?;
                Ok(self.behind())
            }
            None => self.enter_before(),
        }
    }

    /// Goes to the next entry. On no entry it stays there.
    #[allow(
        clippy::should_implement_trait,
        reason = "a cursor that can fail and go back is no iterator"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<bool, Error> {
        let Some(loaded) = self.loaded.as_ref().filter(|_| self.valid) else {
            return Ok(false);
        };
        if self.at + 1 == loaded.shape.count {
            return self.enter_next();
        }
        self.at += 1;
        match loaded.entries().next_key(self.at, &mut self.key) {
            Ok(value) => self.value = value,
            Err(Malformed) => return self.fail(),
        }
        if self.holes { self.ahead() } else { Ok(true) }
    }

    /// Hands the entry that it stands on and those that follow to `take`, key and value, as long as that says
    /// `true`. Then it stands on the entry that was not taken, or behind the last. Whole blocks are gone through
    /// in one go.
    pub fn each(&mut self, mut take: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        while self.valid {
            let Some(loaded) = &self.loaded else { return Ok(()) };
            let (entries, body) = (loaded.entries(), loaded.body());
            let count = if self.holes {
                self.at + 1
            } else {
                loaded.shape.count
            };
            loop {
                if !take(&self.key, &body[self.value.clone()]) {
                    return Ok(());
                }
                if self.at + 1 >= count {
                    break;
                }
                self.at += 1;
                match entries.next_key(self.at, &mut self.key) {
                    Ok(value) => self.value = value,
                    Err(Malformed) => return self.fail().map(drop),
                }
            }
            self.next()?;
        }
        Ok(())
    }

    /// Whether it stands on the first entry of a block.
    pub(super) fn begins_block(&self) -> bool {
        self.valid && self.at == 0
    }

    /// Whether it stands at the beginning of a block of which no key has a token, as keys begin with it, after `last`, and the
    /// table had no hole when the cursor was made.
    pub fn begins_block_up_to(&self, last: u64) -> Result<bool, Error> {
        let Some(loaded) = self.loaded.as_ref().filter(|_| self.begins_block()) else {
            return Ok(false);
        };
        if self.holes {
            return Ok(false);
        }
        // What the next block is found by is greater than all keys of this one.
        if let Some(next) = self.table.next_place(loaded.place)?
            && self.table.start_of(next)? <= last
        {
            return Ok(true);
        }
        let mut key = Vec::new();
        match loaded.entries().key(loaded.shape.count - 1, &mut key) {
            Ok(_) => Ok(token_of(&key) <= last),
            Err(Malformed) => Err(self.malformed("malformed block")),
        }
    }

    /// The block that it stands in, as it is stored, and its offset in the file; empty on no entry.
    pub(super) fn block(&self) -> (&[u8], u64) {
        match &self.loaded {
            Some(loaded) if self.valid => (&loaded.block, loaded.offset),
            _ => (&[], 0),
        }
    }

    /// Hands the entry that it stands on and those that follow in its block to `take`, key and value, and stands on the last
    /// one then. What `take` says of an entry's content becomes an error of the table.
    pub(super) fn each_of_block(
        &mut self,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), Error> {
        let Some(loaded) = self.loaded.as_ref().filter(|_| self.valid) else {
            return Ok(());
        };
        let (entries, body) = (loaded.entries(), loaded.body());
        loop {
            if let Err(error) = take(&self.key, &body[self.value.clone()]) {
                self.valid = false;
                return Err(self.malformed(error.to_string()));
            }
            if self.at + 1 >= loaded.shape.count {
                return Ok(());
            }
            self.at += 1;
            match entries.next_key(self.at, &mut self.key) {
                Ok(value) => self.value = value,
                Err(Malformed) => return self.fail().map(drop),
            }
        }
    }

    /// Goes to the entry before. On no entry it stays there.
    pub fn prev(&mut self) -> Result<bool, Error> {
        if !self.valid {
            return Ok(false);
        }
        match self.at.checked_sub(1) {
            Some(before) => {
                self.go(before)?;
                Ok(self.behind())
            }
            None => self.enter_before(),
        }
    }

    /// Loads the block that may hold `target`. Returns where in it the first entry at or after it is or would
    /// be, and how many entries there are.
    fn search(&mut self, target: &[u8]) -> Result<(usize, usize), Error> {
        self.valid = false;
        let place = self.table.place(target)?;
        let loaded = self.load(place)?;
        let count = loaded.shape.count;
        match loaded.entries().lower_bound(target) {
            Ok((at, _)) => Ok((at, count)),
            Err(Malformed) => Err(self.malformed("malformed block")),
        }
    }

    /// Goes to an entry of the loaded block.
    fn go(&mut self, at: usize) -> Result<bool, Error> {
        self.valid = false;
        let Some(loaded) = &self.loaded else {
            return Ok(false);
        };
        match loaded.entries().key(at, &mut self.key) {
            Ok(value) => self.value = value,
            Err(Malformed) => return self.fail(),
        }
        self.at = at;
        self.valid = true;
        Ok(true)
    }

    #[cold]
    fn fail(&mut self) -> Result<bool, Error> {
        self.valid = false;
        Err(self.malformed("malformed block"))
    }

    fn enter_next(&mut self) -> Result<bool, Error> {
        self.valid = false;
        let Some(loaded) = &self.loaded else {
            return Ok(false);
        };
        let Some(place) = self.table.next_place(loaded.place)? else {
            return Ok(false);
        };
        if self.holes {
            let start = self.table.start_of(place)?;
            if self.table.holes().over(start).is_some() {
                return self.seek_outside(start);
            }
        }
        self.load(place)?;
        self.go(0)?;
        self.ahead()
    }

    /// Whether a target is in a hole, or beyond one at an end of the table.
    fn is_outside(&self, target: &[u8]) -> bool {
        let (first, last) = self.table.ends();
        let token = token_of(target).clamp(first, last);
        self.table.holes().over(token).is_some()
    }

    /// Goes on to the first entry that is in no hole.
    fn ahead(&mut self) -> Result<bool, Error> {
        let token = token_of(&self.key);
        if self.holes && self.valid && self.table.holes().over(token).is_some() {
            return self.seek_outside(token);
        }
        Ok(self.valid)
    }

    /// Stays where it is, if that is in no hole.
    fn behind(&mut self) -> bool {
        if self.holes && self.table.holes().over(token_of(&self.key)).is_some() {
            self.valid = false;
        }
        self.valid
    }

    /// Goes to the first entry at or after a token that is in no hole.
    #[cold]
    fn seek_outside(&mut self, mut token: u64) -> Result<bool, Error> {
        self.valid = false;
        let (first, last) = self.table.ends();
        token = token.clamp(first, last);
        while let Some((_, to)) = self.table.holes().over(token) {
            if to >= last {
                return Ok(false);
            }
            token = to + 1;
        }
        self.seek(&token.to_be_bytes())
    }

    fn enter_before(&mut self) -> Result<bool, Error> {
        self.valid = false;
        let Some(loaded) = &self.loaded else {
            return Ok(false);
        };
        if self.holes {
            // A block is damaged only if its start and the next one's are in a hole.
            let start = self.table.start_of(loaded.place)?;
            if self.table.holes().over(start).is_some() {
                return Ok(false);
            }
        }
        let Some(place) = self.table.place_before(loaded.place)? else {
            return Ok(false);
        };
        let count = self.load(place)?.shape.count;
        self.go(count - 1)?;
        Ok(self.behind())
    }

    /// Loads a block, if it is not the one that is loaded.
    fn load(&mut self, place: Place) -> Result<&Loaded, Error> {
        // A failed load must leave nothing.
        let memory = match self.loaded.take() {
            Some(loaded) if loaded.place == place => return Ok(self.loaded.insert(loaded)),
            Some(loaded) if loaded.shape.codec != Codec::None => {
                let memory = loaded.memory.try_into_mut().ok();
                memory.map(|memory| (memory, loaded.prelude))
            }
            _ => None,
        };
        let (block, offset) = self.table.block(place)?;
        let shape = Shape::read(block).map_err(|_| self.table.malformed(offset))?;
        let stored = View::new(block, shape).stored();
        let (memory, prelude) = if shape.codec == Codec::None {
            (self.table.share(stored), 0)
        } else {
            let decompressor = self.table.decompressor();
            let (_, prelude) = decompressor.prelude(shape.codec);
            let length = prelude.len() + shape.body_bytes;
            let mut memory = match memory {
                Some((memory, before)) if before == prelude.len() => memory,
                _ => {
                    let mut memory = BytesMut::with_capacity(length);
                    memory.extend_from_slice(prelude);
                    memory
                }
            };
            memory.resize(length, 0);
            decompressor
                .decompress(shape.codec, stored, prelude.len(), &mut memory)
                .map_err(|_| self.table.malformed(offset))?;
            (memory.freeze(), prelude.len())
        };
        let block = self.table.share(block);
        Ok(self.loaded.insert(Loaded {
            place,
            offset,
            block,
            shape,
            memory,
            prelude,
        }))
    }
}

/// The token that a key begins with.
fn token_of(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(token) => u64::from_be_bytes(*token),
        // Shorter ones are seen only as the place before all that they begin.
        None => key
            .iter()
            .rev()
            .fold(0, |token, byte| (token >> 8) | (u64::from(*byte) << 56)),
    }
}
