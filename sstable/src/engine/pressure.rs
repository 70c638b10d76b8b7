//! Slowing writers down before they have to be stopped.

use super::Engine;

/// Beyond this many hundredths of the memory budget, writes are slowed down. In the long run they are as fast as flushes
/// anyway; the earlier they are told, gently, the less memory waits, and a burst still has all of it.
const SOFT_PERCENT: usize = 25;

/// As are writes to a table of which more files than this overlap, because compactions lag behind flushes.
const SOFT_TABLES: usize = 48;

/// With more than this, what the strategy wants comes before what was asked for: it makes them fewer in good time.
pub(super) const CROWDED: usize = SOFT_TABLES / 2;

/// With this many, writes are as slow as they get.
const HARD_TABLES: usize = 192;

/// The delay of a byte half way between the soft and the hard bound, in picoseconds: 17 MB a second.
const HALF_WAY_PICOSECONDS: u64 = 60_000;

/// Parts into which the way from the soft to the hard bound is divided.
pub(super) const PARTS: u64 = 1_000;

impl Engine {
    /// How long the writer of `bytes` should be made to wait before its next write, in nanoseconds: usually 0. The
    /// caller delays the acknowledgement, or itself.
    ///
    /// The delay grows smoothly with what flushes and compactions owe, so that writes become as slow as those are
    /// fast. At the bound of memory, where writes are refused, a byte takes longer than it takes to flush.
    pub fn write_delay(&self, bytes: usize) -> u64 {
        let hard = self.options.memory_bytes;
        let memory = part_of_way(self.memory, hard / 100 * SOFT_PERCENT, hard);
        let tables = part_of_way(self.crowd, SOFT_TABLES, HARD_TABLES);
        delay(memory.max(tables), bytes)
    }

    /// Counts again how many files overlap.
    pub(super) fn count_crowd(&mut self) {
        self.crowd = self.tables.values().map(|state| state.crowd).max().unwrap_or(0);
    }
}

/// How far a value is on the way from the soft to the hard bound, in parts; it never arrives.
pub(super) fn part_of_way(value: usize, soft: usize, hard: usize) -> u64 {
    let way = hard.saturating_sub(soft).max(1) as u64;
    let gone = value.saturating_sub(soft) as u64;
    (gone.saturating_mul(PARTS) / way).min(PARTS - 5)
}

/// The delay of a write at a part `f` of the way: proportional to `f^2 / (1 - f)`.
pub(super) fn delay(part: u64, bytes: usize) -> u64 {
    let picoseconds = 2 * HALF_WAY_PICOSECONDS * part * part / ((PARTS - part) * PARTS);
    picoseconds.saturating_mul(bytes as u64) / 1_000
}
