//! Which tables to merge: a pure choice.
//!
//! Tables fall into levels by size: level n holds those of `fan_in^n` to `fan_in^(n+1)` flushes. When a level
//! has `fan_in` tables, they are merged, and the result usually falls into the next one. So every byte is
//! rewritten once a level (a logarithm of the data), and a read meets fewer than `fan_in` tables a level.
//! That is size-tiered compaction, or the tiered corner (W = T - 2) of the unified strategy of CEP-26.

/// What the picker knows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The file's number; older data has smaller ones.
    pub number: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The most tables merged at once: bounds the memory of a merge.
pub const MAX_INPUTS: usize = 32;

/// Chooses tables to merge into one: at least two, at most [`MAX_INPUTS`], the lowest level first, in it the
/// oldest first; none if no level is full. `flush_bytes` is the size of a flush, about.
pub fn pick(candidates: &[Candidate], flush_bytes: u64, fan_in: usize) -> Vec<u64> {
    let fan_in = fan_in.clamp(2, MAX_INPUTS);
    let mut sorted: Vec<(u32, u64)> = candidates
        .iter()
        .map(|table| (level(table.bytes, flush_bytes, fan_in as u64), table.number))
        .collect();
    sorted.sort_unstable();
    sorted
        .chunk_by(|a, b| a.0 == b.0)
        .find(|level| level.len() >= fan_in)
        .map(|level| level.iter().take(MAX_INPUTS).map(|(_, number)| *number).collect())
        .unwrap_or_default()
}

/// The level of a table of `bytes`. Everything smaller than a flush is in level 0.
fn level(bytes: u64, flush_bytes: u64, fan_in: u64) -> u32 {
    let mut level = 0;
    let mut limit = flush_bytes.max(1).saturating_mul(fan_in);
    while bytes >= limit && limit < u64::MAX {
        level += 1;
        limit = limit.saturating_mul(fan_in);
    }
    level
}
