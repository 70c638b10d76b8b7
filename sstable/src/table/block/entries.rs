//! The entries in a body that was read, all of it or its beginning.

use std::{cmp::Ordering, ops::Range};

use super::{Malformed, RESTART_INTERVAL, View};

/// A block with its body, or as much of it as is needed.
#[derive(Debug, Clone, Copy)]
pub struct Entries<'a> {
    view: View<'a>,
    body: &'a [u8],
}

/// One entry: what its key has behind its head, and where its value is.
#[derive(Debug, Clone)]
struct Entry<'a> {
    /// Bytes of the key after what all begin with.
    rest: usize,
    /// Bytes shared with the key before, behind the head.
    shared: usize,
    /// The bytes of the key behind those, without stem and ending.
    tail: &'a [u8],
    value: Range<usize>,
}

impl<'a> Entries<'a> {
    /// The entries of `view` in its body, not compressed. Entries that lie behind the end of `body` are
    /// malformed to it.
    pub fn new(view: View<'a>, body: &'a [u8]) -> Self {
        Self { view, body }
    }

    /// The first entry that is not less than `target`, and whether it is equal.
    pub fn lower_bound(&self, target: &[u8]) -> Result<(usize, bool), Malformed> {
        let ties = self.view.ties(target);
        self.search(ties, target)
    }

    /// Among `ties` (see [`View::ties`]), the first entry that is not less than `target`, and whether it is
    /// equal; the end of `ties` if there is none.
    pub fn search(&self, ties: Range<usize>, target: &[u8]) -> Result<(usize, bool), Malformed> {
        if ties.is_empty() {
            return Ok((ties.start, false));
        }
        let rest = &target[self.view.prefix().len()..];
        let width = self.view.shape().width;
        if self.view.has_affixes() {
            return self.only(ties, rest);
        }
        let start = self.restart(ties.clone(), rest)?;
        let tail = &rest[rest.len().min(width)..];
        // Bytes in which the tail wanted agrees with that of the entry before, which is less.
        let mut agreed = 0;
        for at in start..ties.end {
            let entry = self.entry(at)?;
            if at == start && entry.shared != 0 {
                return Err(Malformed);
            }
            let order = match entry.rest.min(width).cmp(&rest.len().min(width)) {
                Ordering::Equal if entry.shared > agreed => Ordering::Less,
                Ordering::Equal if entry.shared < agreed => Ordering::Greater,
                Ordering::Equal => {
                    let wanted = &tail[agreed..];
                    agreed += super::common_prefix(entry.tail, wanted);
                    entry.tail.cmp(wanted)
                }
                unequal => unequal,
            };
            if order.is_ge() {
                return Ok((at, order.is_eq()));
            }
        }
        Ok((ties.end, false))
    }

    /// [`search`](Self::search) where no two heads are equal.
    fn only(&self, ties: Range<usize>, rest: &[u8]) -> Result<(usize, bool), Malformed> {
        let width = self.view.shape().width;
        if ties.len() != 1 {
            return Err(Malformed);
        }
        let Some(tail) = rest.get(width..) else {
            // Keys are longer than their heads here, and this one is not.
            return Ok((ties.start, false));
        };
        let (stem, ending) = self.view.affixes();
        let own = self.entry(ties.start)?.tail;
        let order = match tail.split_at_checked(stem.len()) {
            Some((begin, tail)) if begin == stem => match tail.split_at_checked(own.len()) {
                Some((middle, end)) => own.cmp(middle).then_with(|| ending.cmp(end)),
                None if own.starts_with(tail) => Ordering::Greater,
                None => own.cmp(tail),
            },
            // What is shorter than the stem and begins it is less; so it is when compared with it.
            _ => stem.cmp(tail),
        };
        Ok((ties.start + usize::from(order.is_lt()), order.is_eq()))
    }

    /// Where in `ties` to begin: the last entry that shares nothing and is not greater than the key.
    fn restart(&self, ties: Range<usize>, rest: &[u8]) -> Result<usize, Malformed> {
        let width = self.view.shape().width;
        let tail = &rest[rest.len().min(width)..];
        let (mut low, mut high) = (
            ties.start / RESTART_INTERVAL + 1,
            ties.end.div_ceil(RESTART_INTERVAL),
        );
        let first = low;
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entry(middle * RESTART_INTERVAL)?;
            if entry.shared != 0 {
                return Err(Malformed);
            }
            let order = (entry.rest.min(width), entry.tail).cmp(&(rest.len().min(width), tail));
            if order.is_le() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(if low == first {
            ties.start
        } else {
            (low - 1) * RESTART_INTERVAL
        })
    }

    /// Where in the body an entry's value is.
    pub fn value(&self, at: usize) -> Result<Range<usize>, Malformed> {
        Ok(self.entry(at)?.value)
    }

    /// Puts an entry's key together, whatever `key` holds. Returns where the value is.
    pub fn key(&self, at: usize, key: &mut Vec<u8>) -> Result<Range<usize>, Malformed> {
        let mut from = at;
        while self.entry(from)?.shared != 0 {
            if from.is_multiple_of(RESTART_INTERVAL) {
                return Err(Malformed);
            }
            from -= 1;
        }
        key.clear();
        key.extend_from_slice(self.view.prefix());
        let mut value = 0..0;
        for step in from..=at {
            value = self.next_key(step, key)?;
        }
        Ok(value)
    }

    /// Changes the key of the entry before this one (or, of one that shares nothing, anything that begins as
    /// all keys of the block do) to that of this one. Returns where the value is.
    #[inline]
    pub fn next_key(&self, at: usize, key: &mut Vec<u8>) -> Result<Range<usize>, Malformed> {
        let entry = self.entry(at)?;
        let prefix = self.view.prefix().len();
        let width = self.view.shape().width;
        if entry.shared > 0 {
            let kept = prefix + width + entry.shared;
            if kept > key.len() {
                return Err(Malformed);
            }
            key.truncate(kept);
        } else {
            key.truncate(prefix);
            key.extend_from_slice(&self.view.head_bytes(at)[..entry.rest.min(width)]);
        }
        let (stem, ending) = self.view.affixes();
        key.extend_from_slice(stem);
        key.extend_from_slice(entry.tail);
        key.extend_from_slice(ending);
        Ok(entry.value)
    }

    #[inline]
    fn entry(&self, at: usize) -> Result<Entry<'a>, Malformed> {
        let (start, end) = (self.view.start(at), self.view.end(at));
        let bytes = self.body.get(start..end).ok_or(Malformed)?;
        let mut input = bytes;
        let word = varint(&mut input)?;
        let shared = if word & 1 != 0 { varint(&mut input)? } else { 0 };
        let rest = word >> 1;
        let own = if self.view.has_affixes() {
            let (stem, ending) = self.view.affixes();
            let known = self.view.shape().width + stem.len() + ending.len() + shared;
            rest.checked_sub(known).filter(|_| shared == 0)
        } else {
            rest.saturating_sub(self.view.shape().width).checked_sub(shared)
        };
        let own = own.ok_or(Malformed)?;
        let (tail, value) = input.split_at_checked(own).ok_or(Malformed)?;
        Ok(Entry {
            rest,
            shared,
            tail,
            value: end - value.len()..end,
        })
    }
}

#[inline]
fn varint(input: &mut &[u8]) -> Result<usize, Malformed> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = input.split_first().ok_or(Malformed)?;
        *input = rest;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}
