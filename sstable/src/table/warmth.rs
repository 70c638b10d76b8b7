//! When which part of a table was last seen in memory, so that the system is not asked for each read.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

/// What one mark is for, in bytes.
const PART_BYTES: u64 = 64 << 10;

/// For each part of a file, the second at which all of it was found in memory; 0: never.
#[derive(Debug)]
pub(super) struct Warmth {
    seen: Box<[AtomicU32]>,
}

impl Warmth {
    /// For a file of so many bytes, of which nothing is known.
    pub(super) fn new(bytes: u64) -> Self {
        let parts = bytes.div_ceil(PART_BYTES);
        Self {
            seen: (0..parts).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Whether a range is in memory: it was within the last `trusted` seconds, or `is_resident` says so of all
    /// parts that it touches.
    pub(super) fn is_warm(
        &self,
        range: Range<u64>,
        now: u32,
        trusted: u32,
        mut is_resident: impl FnMut(Range<u64>) -> bool,
    ) -> bool {
        let last = range.end.saturating_sub(1).max(range.start) / PART_BYTES;
        for part in range.start / PART_BYTES..=last {
            let Some(seen) = self.seen.get(part as usize) else {
                return true;
            };
            let second = seen.load(Ordering::Relaxed);
            if second != 0 && now.saturating_sub(second) < trusted {
                continue;
            }
            let whole = part * PART_BYTES..(part + 1) * PART_BYTES;
            if is_resident(whole.clone()) {
                seen.store(now.max(1), Ordering::Relaxed);
            } else if !is_resident(range.start.max(whole.start)..range.end.min(whole.end)) {
                return false;
            }
        }
        true
    }
}
