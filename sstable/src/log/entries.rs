//! Writes, one behind the other, as they wait for a sync and as they lie in a group.
//!
//! ```text
//! varint  0: the body is whole
//!         2 n + 1: it lacks its first 16 bytes, the table's id, which follow: number n from here on in the group
//!         2 n + 2: it lacks them, and they are number n
//! [16     the table's id]
//! varint  length of the body, or of what is left of it
//! ..      the body
//! ```
//!
//! Those that wait never have the id: which group they will be in is not known yet.

use std::collections::BTreeMap;

/// Bytes of a table's id, with which a mutation begins.
pub(super) const ID_BYTES: usize = 16;

/// The most that a write that waits takes beside its own bytes.
pub(super) const MOST_OVERHEAD: usize = 10;

/// More tables than this are not numbered.
const MOST_TABLES: usize = 1 << 16;

type Id = [u8; ID_BYTES];

/// The numbers of tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    ids: Vec<Id>,
    numbers: BTreeMap<Id, u32>,
    /// The one that was asked for last.
    last: Option<(Id, u32)>,
}

impl Tables {
    fn number(&mut self, id: &Id) -> Option<u32> {
        if let Some((last, number)) = &self.last
            && last == id
        {
            return Some(*number);
        }
        let number = match self.numbers.get(id) {
            Some(number) => *number,
            None if self.ids.len() < MOST_TABLES => {
                let number = self.ids.len() as u32;
                self.ids.push(*id);
                self.numbers.insert(*id, number);
                number
            }
            None => return None,
        };
        self.last = Some((*id, number));
        Some(number)
    }

    /// All ids, by number. There are never fewer.
    pub(super) fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// Appends a write that waits.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, body: &[u8]) {
        let known = body
            .split_first_chunk()
            .and_then(|(id, rest)| Some((self.number(id)?, rest)));
        let (number, rest) = known.map_or((0, body), |(number, rest)| (u64::from(number) * 2 + 2, rest));
        put_varint(out, number);
        put_varint(out, rest.len() as u64);
        out.extend_from_slice(rest);
    }
}

/// A write that waits.
pub(super) struct Waiting<'a> {
    /// Its table's number.
    pub(super) table: Option<u32>,
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// Bytes of it before the length.
    head: usize,
}

impl<'a> Waiting<'a> {
    /// The one at the start of `bytes`, which [`Tables::put`] wrote.
    #[inline]
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let mut input = bytes;
        let number = take_varint(&mut input)?;
        let head = bytes.len() - input.len();
        let length = take_varint(&mut input)? as usize;
        let whole = bytes.len() - input.len() + length;
        Some(Self {
            table: number.checked_sub(2).map(|number| (number / 2) as u32),
            bytes: bytes.get(..whole)?,
            head,
        })
    }

    /// Appends it as the first of its table in a group.
    pub(super) fn introduce(&self, out: &mut Vec<u8>, number: u32, id: &Id) {
        put_varint(out, u64::from(number) * 2 + 1);
        out.extend_from_slice(id);
        out.extend_from_slice(&self.bytes[self.head..]);
    }
}

/// The writes of a group, from its content.
#[derive(Debug)]
pub(super) struct Bodies<'a> {
    input: &'a [u8],
    tables: BTreeMap<u64, &'a [u8]>,
    /// The last table's number and id.
    last: (u64, &'a [u8]),
}

/// The content of a group is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Bodies<'a> {
    pub(super) fn new(content: &'a [u8]) -> Self {
        Self {
            input: content,
            tables: BTreeMap::new(),
            last: (u64::MAX, &[]),
        }
    }

    /// The next body, as its table's id, which may be missing, and the rest; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<[&'a [u8]; 2]>, Malformed> {
        if self.input.is_empty() {
            return Ok(None);
        }
        let number = take_varint(&mut self.input).ok_or(Malformed)?;
        let id = match number.checked_sub(1) {
            None => &[][..],
            Some(number) if number % 2 == 0 => {
                let (id, rest) = self.input.split_at_checked(ID_BYTES).ok_or(Malformed)?;
                self.input = rest;
                self.tables.insert(number / 2, id);
                self.last = (number / 2, id);
                id
            }
            Some(number) => {
                if self.last.0 != number / 2 {
                    let id = self.tables.get(&(number / 2)).ok_or(Malformed)?;
                    self.last = (number / 2, id);
                }
                self.last.1
            }
        };
        let length =
            usize::try_from(take_varint(&mut self.input).ok_or(Malformed)?).map_err(|_| Malformed)?;
        let (rest, behind) = self.input.split_at_checked(length).ok_or(Malformed)?;
        self.input = behind;
        Ok(Some([id, rest]))
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
