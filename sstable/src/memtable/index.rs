//! Where each partition of a memtable is, in order.
//!
//! Tokens are uniform, so a place is computed rather than searched for: the leading bits of the token lead
//! through a trie of small nodes to a bucket of at most 63 entries, and the bits after them tell where in the
//! bucket to look. The trie of half a million partitions is about one megabyte; so finding one costs one far
//! load, and one more for the partition itself.
//!
//! - A node has 64 slots, for six bits. A bucket that was split less often than its node could tell apart is in
//!   several slots, side by side.
//! - An entry is eight bytes: the first half of the token, and where the partition's content is. Entries that
//!   are equal in the first half (few of millions) are told apart by asking the content.
//! - A full bucket is split in two by the next bit. What can't be told apart by 60 bits of the token stays in
//!   one bucket, which then is searched in halves.

use std::cmp::Ordering;

/// Partitions of a bucket.
const BUCKET_ENTRIES: usize = 63;
/// Bits that a node tells apart.
const NODE_BITS: u32 = 6;
/// A child that is a node, not a bucket.
const NODE: u32 = 1 << 31;
/// Bits that can be told apart: ten levels of nodes.
const MAX_DEPTH: u32 = 10 * NODE_BITS;

/// What the index asks about what its entries stand for.
pub(super) trait Contents {
    /// The token in its order: its bits with the sign flipped.
    fn token(&self, content: u32) -> u64;
    /// The partition's key.
    fn key(&self, content: u32) -> &[u8];
}

/// Partitions by token and key.
#[derive(Debug)]
pub(super) struct Index {
    root: u32,
    nodes: Vec<[u32; 1 << NODE_BITS]>,
    buckets: Vec<Bucket>,
    len: usize,
}

#[derive(Debug)]
struct Bucket {
    /// How many leading bits all tokens in it share.
    depth: u32,
    entries: Vec<Entry>,
}

/// The upper half of a token, then where the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    fn new(token: u64, content: u32) -> Self {
        Self(token & (u64::MAX << 32) | u64::from(content))
    }

    fn upper(self) -> u64 {
        self.0 >> 32
    }

    fn content(self) -> u32 {
        self.0 as u32
    }
}

/// A place in the index: at an entry, or where one could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    bucket: u32,
    at: usize,
    /// The smallest token of the bucket.
    low: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            root: 0,
            nodes: Vec::new(),
            buckets: vec![Bucket {
                depth: 0,
                entries: Vec::new(),
            }],
            len: 0,
        }
    }
}

impl Index {
    /// How many partitions there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Memory held, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let nodes = self.nodes.len() * size_of::<[u32; 1 << NODE_BITS]>();
        let entry = size_of::<Bucket>() + BUCKET_ENTRIES * size_of::<Entry>();
        if self.buckets.len() == 1 {
            self.len * size_of::<Entry>()
        } else {
            nodes + self.buckets.len() * entry
        }
    }

    /// The bucket of a token.
    fn locate(&self, token: u64) -> u32 {
        let mut child = self.root;
        let mut shift = u64::BITS;
        while child & NODE != 0 {
            shift -= NODE_BITS;
            child = self.nodes[(child & !NODE) as usize][(token >> shift) as usize % (1 << NODE_BITS)];
        }
        child
    }

    /// Where a partition is, or would be.
    pub(super) fn find(&self, token: u64, key: &[u8], contents: &impl Contents) -> Result<Spot, Spot> {
        let number = self.locate(token);
        let bucket = &self.buckets[number as usize];
        let (found, at) = match bucket.search(token, key, contents) {
            Ok(at) => (true, at),
            Err(at) => (false, at),
        };
        let spot = Spot {
            bucket: number,
            at,
            low: low(token, bucket.depth),
        };
        if found { Ok(spot) } else { Err(spot) }
    }

    /// The content at a spot; `None` if it is behind the last of its bucket.
    pub(super) fn content(&self, spot: Spot) -> Option<u32> {
        let entry = self.buckets[spot.bucket as usize].entries.get(spot.at)?;
        Some(entry.content())
    }

    /// Lets an entry stand for another content of the same partition.
    pub(super) fn set(&mut self, spot: Spot, content: u32) {
        let entry = &mut self.buckets[spot.bucket as usize].entries[spot.at];
        *entry = Entry(entry.0 & (u64::MAX << 32) | u64::from(content));
    }

    /// Puts a partition where [`find`](Self::find) missed it.
    pub(super) fn insert(&mut self, spot: Spot, token: u64, content: u32, contents: &impl Contents) {
        self.len += 1;
        let bucket = &mut self.buckets[spot.bucket as usize];
        bucket.insert(spot.at, Entry::new(token, content));
        // Once more for tokens that are close to each other.
        while self.buckets[self.locate(token) as usize].entries.len() > BUCKET_ENTRIES {
            if !self.split(token, contents) {
                break;
            }
        }
    }

    /// Splits the bucket of a token by its next bit; `false` if there is none left.
    fn split(&mut self, token: u64, contents: &impl Contents) -> bool {
        let mut parent = None;
        let mut child = self.root;
        let mut level = 0;
        while child & NODE != 0 {
            let node = (child & !NODE) as usize;
            let slot = slot(token, level);
            parent = Some((node, slot));
            child = self.nodes[node][slot];
            level += 1;
        }
        let depth = self.buckets[child as usize].depth;
        if depth >= MAX_DEPTH {
            return false;
        }
        let (node, slot) = match parent {
            Some(parent) if depth < level * NODE_BITS => parent,
            _ => {
                let node = self.nodes.len();
                self.nodes.push([child; 1 << NODE_BITS]);
                match parent {
                    Some((node_above, slot)) => self.nodes[node_above][slot] = node as u32 | NODE,
                    None => self.root = node as u32 | NODE,
                }
                level += 1;
                (node, slot(token, level - 1))
            }
        };
        // The bucket's slots in its node, of which the second half goes to the new one.
        let slots = 1_usize << (level * NODE_BITS - depth);
        let first = slot & !(slots - 1);
        let upper = self.buckets.len() as u32;
        self.nodes[node][first + slots / 2..first + slots].fill(upper);
        let moved = self.buckets[child as usize].split(contents);
        self.buckets.push(moved);
        true
    }

    /// The first partition at or after a token and key.
    pub(super) fn seek(&self, token: u64, key: &[u8], contents: &impl Contents) -> Option<Spot> {
        match self.find(token, key, contents) {
            Ok(spot) => Some(spot),
            Err(spot) => self.settle(spot),
        }
    }

    /// The spot itself if there is a partition, else the next one where there is.
    fn settle(&self, mut spot: Spot) -> Option<Spot> {
        loop {
            let bucket = &self.buckets[spot.bucket as usize];
            if spot.at < bucket.entries.len() {
                return Some(spot);
            }
            let low = after(spot.low, bucket.depth)?;
            spot = Spot {
                bucket: self.locate(low),
                at: 0,
                low,
            };
        }
    }

    /// The partition after the one at a spot.
    pub(super) fn next(&self, mut spot: Spot) -> Option<Spot> {
        spot.at += 1;
        self.settle(spot)
    }

    /// The partition before a spot.
    pub(super) fn prev(&self, mut spot: Spot) -> Option<Spot> {
        while spot.at == 0 {
            spot = self.end_of(spot.low.checked_sub(1)?);
        }
        spot.at -= 1;
        Some(spot)
    }

    /// The last partition.
    pub(super) fn last(&self) -> Option<Spot> {
        self.prev(self.end_of(u64::MAX))
    }

    /// Behind the last partition of a token's bucket.
    fn end_of(&self, token: u64) -> Spot {
        let bucket = self.locate(token);
        let Bucket { depth, entries } = &self.buckets[bucket as usize];
        Spot {
            bucket,
            at: entries.len(),
            low: low(token, *depth),
        }
    }
}

impl Bucket {
    /// Where a partition is, or would be.
    fn search(&self, token: u64, key: &[u8], contents: &impl Contents) -> Result<usize, usize> {
        let upper = token >> 32;
        let order = |entry: &Entry| {
            entry.upper().cmp(&upper).then_with(|| {
                let content = entry.content();
                (contents.token(content), contents.key(content)).cmp(&(token, key))
            })
        };
        let entries = &self.entries[..];
        if entries.len() > BUCKET_ENTRIES || self.depth >= 32 {
            return entries.binary_search_by(order);
        }
        let beyond = (upper << self.depth) & u64::from(u32::MAX);
        let mut at = ((beyond * entries.len() as u64) >> 32) as usize;
        while at > 0 && entries[at - 1].upper() >= upper {
            at -= 1;
        }
        while let Some(entry) = entries.get(at) {
            match order(entry) {
                Ordering::Less => at += 1,
                Ordering::Equal => return Ok(at),
                Ordering::Greater => break,
            }
        }
        Err(at)
    }

    /// Puts an entry at a place, with no more memory than a full bucket needs.
    fn insert(&mut self, at: usize, entry: Entry) {
        let (len, full) = (self.entries.len(), BUCKET_ENTRIES + 1);
        if len == self.entries.capacity() {
            let room = if len < full {
                (2 * len).clamp(4, full)
            } else {
                2 * len
            };
            self.entries.reserve_exact(room - len);
        }
        self.entries.insert(at, entry);
    }

    /// Keeps the entries whose next bit is not set, and returns a bucket of the others.
    fn split(&mut self, contents: &impl Contents) -> Self {
        let bit = 63 - self.depth;
        let is_lower = |entry: &Entry| {
            let token = if bit >= 32 {
                entry.0
            } else {
                contents.token(entry.content())
            };
            token >> bit & 1 == 0
        };
        let at = self.entries.partition_point(is_lower);
        self.depth += 1;
        let mut entries = Vec::with_capacity(BUCKET_ENTRIES + 1);
        entries.extend(self.entries.drain(at..));
        Self {
            depth: self.depth,
            entries,
        }
    }
}

/// The slot of a token in a node at `level`, from the root.
fn slot(token: u64, level: u32) -> usize {
    (token >> (u64::BITS - (level + 1) * NODE_BITS)) as usize % (1 << NODE_BITS)
}

/// The smallest token that shares `depth` leading bits.
fn low(token: u64, depth: u32) -> u64 {
    token & u64::MAX.checked_shl(u64::BITS - depth).unwrap_or(0)
}

/// The smallest token after all that share `depth` leading bits with `low`.
fn after(low: u64, depth: u32) -> Option<u64> {
    low.checked_add(1_u64.checked_shl(u64::BITS - depth)?)
}
