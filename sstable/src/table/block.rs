//! A block: sorted entries, prefix-compressed, with restart points for binary search.
//!
//! ```text
//! entries   each: varint bytes shared with the key before it, varint bytes not shared,
//!           varint length of the value, the bytes not shared, the value
//! restarts  4 bytes each: offset of an entry that shares nothing; the first is 0
//! count     4 bytes: number of restarts
//! ```

use bytes::Bytes;

/// Every so many entries, one shares nothing with the one before it.
const RESTART_INTERVAL: usize = 16;

/// The content can't be what [`Builder`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Makes a block from sorted entries.
#[derive(Debug, Default)]
pub struct Builder {
    out: Vec<u8>,
    restarts: Vec<u32>,
    entries: usize,
    last: Vec<u8>,
}

impl Builder {
    /// Adds an entry; keys are strictly ascending.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        let shared = if self.entries.is_multiple_of(RESTART_INTERVAL) {
            self.restarts.push(self.out.len() as u32);
            0
        } else {
            common_prefix(&self.last, key)
        };
        put_varint(&mut self.out, shared);
        put_varint(&mut self.out, key.len() - shared);
        put_varint(&mut self.out, value.len());
        self.out.extend_from_slice(&key[shared..]);
        self.out.extend_from_slice(value);
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        self.entries += 1;
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len() + 4 * self.restarts.len() + 4
    }

    /// How many entries there are.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The block's content; the builder is empty afterwards.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.out);
        for restart in &self.restarts {
            out.extend_from_slice(&restart.to_le_bytes());
        }
        out.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        *self = Self::default();
        out
    }
}

/// How many bytes two keys begin with in common.
pub fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A place in a block: on an entry, or (after a call said `false`) on none.
#[derive(Debug, Clone)]
pub struct BlockCursor {
    content: Bytes,
    /// Where the entries end and the restarts begin.
    end: usize,
    restarts: usize,
    /// The entry: its start, its value, and where the next one starts.
    at: usize,
    value: (usize, usize),
    key: Vec<u8>,
}

impl BlockCursor {
    /// A cursor on no entry.
    pub fn new(content: Bytes) -> Result<Self, Malformed> {
        let (rest, count) = content.split_last_chunk::<4>().ok_or(Malformed)?;
        let restarts = u32::from_le_bytes(*count) as usize;
        let end = restarts
            .checked_mul(4)
            .and_then(|bytes| rest.len().checked_sub(bytes))
            .ok_or(Malformed)?;
        if restarts == 0 || end == 0 {
            return Err(Malformed);
        }
        Ok(Self {
            content,
            end,
            restarts,
            at: 0,
            value: (0, 0),
            key: Vec::new(),
        })
    }

    /// The entry's key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The entry's value; it shares the block's memory.
    pub fn value(&self) -> Bytes {
        self.content.slice(self.value.0..self.value.1)
    }

    /// Goes to the first entry.
    pub fn first(&mut self) -> Result<bool, Malformed> {
        self.restart(0)?;
        Ok(true)
    }

    /// Goes to the last entry.
    pub fn last(&mut self) -> Result<bool, Malformed> {
        self.restart(self.restarts - 1)?;
        while self.value.1 < self.end {
            self.parse(self.value.1)?;
        }
        Ok(true)
    }

    /// Goes to the next entry; `false` at the end.
    #[allow(
        clippy::should_implement_trait,
        reason = "a cursor that can fail and go back is no iterator"
    )]
    pub fn next(&mut self) -> Result<bool, Malformed> {
        if self.value.1 >= self.end {
            return Ok(false);
        }
        self.parse(self.value.1)?;
        Ok(true)
    }

    /// Goes to the entry before; `false` at the start.
    pub fn prev(&mut self) -> Result<bool, Malformed> {
        let target = self.at;
        if target == 0 {
            return Ok(false);
        }
        let after = self.search(|offset, _| offset < target)?;
        self.restart(after.checked_sub(1).ok_or(Malformed)?)?;
        while self.value.1 < target {
            self.parse(self.value.1)?;
        }
        if self.value.1 == target {
            Ok(true)
        } else {
            Err(Malformed)
        }
    }

    /// Goes to the first entry at or after `target`; `false` if all are before it.
    pub fn seek(&mut self, target: &[u8]) -> Result<bool, Malformed> {
        let after = self.search(|_, key| key < target)?;
        self.restart(after.saturating_sub(1))?;
        while self.key.as_slice() < target {
            if !self.next()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes to the last entry at or before `target`; `false` if all are after it.
    pub fn seek_back(&mut self, target: &[u8]) -> Result<bool, Malformed> {
        if !self.seek(target)? {
            return self.last();
        }
        if self.key == target { Ok(true) } else { self.prev() }
    }

    /// How many restarts, from the first, fulfil a condition that holds up to some point.
    fn search(&self, holds: impl Fn(usize, &[u8]) -> bool) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.restarts);
        while low < high {
            let middle = low.midpoint(high);
            let offset = self.restart_offset(middle)?;
            let head = self.head(offset)?;
            if head.shared != 0 {
                return Err(Malformed);
            }
            if holds(offset, &self.content[head.suffix..head.value]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn restart_offset(&self, index: usize) -> Result<usize, Malformed> {
        let bytes = self.content.get(self.end + 4 * index..).ok_or(Malformed)?;
        let offset = u32::from_le_bytes(*bytes.first_chunk().ok_or(Malformed)?) as usize;
        if offset < self.end {
            Ok(offset)
        } else {
            Err(Malformed)
        }
    }

    fn restart(&mut self, index: usize) -> Result<(), Malformed> {
        let offset = self.restart_offset(index)?;
        self.key.clear();
        self.parse(offset)
    }

    fn parse(&mut self, at: usize) -> Result<(), Malformed> {
        let head = self.head(at)?;
        if head.shared > self.key.len() {
            return Err(Malformed);
        }
        self.key.truncate(head.shared);
        self.key.extend_from_slice(&self.content[head.suffix..head.value]);
        self.at = at;
        self.value = (head.value, head.end);
        Ok(())
    }

    fn head(&self, mut at: usize) -> Result<Head, Malformed> {
        let shared = self.varint(&mut at)?;
        let unshared = self.varint(&mut at)?;
        let length = self.varint(&mut at)?;
        let value = at.checked_add(unshared).ok_or(Malformed)?;
        let end = value
            .checked_add(length)
            .filter(|end| *end <= self.end)
            .ok_or(Malformed)?;
        Ok(Head {
            shared,
            suffix: at,
            value,
            end,
        })
    }

    fn varint(&self, at: &mut usize) -> Result<usize, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.content[..self.end].get(*at).ok_or(Malformed)?;
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// The start of an entry.
struct Head {
    shared: usize,
    suffix: usize,
    value: usize,
    end: usize,
}
