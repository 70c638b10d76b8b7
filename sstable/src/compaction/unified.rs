//! The unified strategy: which tables to merge, and how to cut the result. A pure choice.
//!
//! After CEP-26 (Cassandra's unified compaction strategy). A table belongs to a level by its *density*, its
//! bytes over the share of the tokens that it was made for, so that cutting a table does not change its level.
//! Each level is denser than the one below it by a factor, its fan. Where enough tables of a level overlap
//! ([`Scaling::threshold`]), they are merged; the result is usually dense enough for the next level, and is cut
//! so that each table has about the size that was asked for. Compactions of different slices, or levels, have
//! nothing to do with each other, and can run at the same time.
//!
//! What it costs, for `n` levels of which the densest holds `D` bytes, with tiers of `t` (`t = W + 2`):
//! - every byte is written `n + 1` times (the flush counted);
//! - a read meets at most `t - 1` tables a level;
//! - where everything is overwritten again and again, the densest level holds up to `t - 1` versions of it, and the
//!   levels below together about as much at the worst: at most `2 t` times the data, which a test simulates;
//! - while a merge runs, once more what it reads (see [`space`](super::space)): of the densest level that is at most
//!   `t` tables of about the size asked for, over one slice of the tokens, not all of the level.

use std::collections::BTreeMap;

use super::{
    Scaling,
    candidate::{Candidate, MAX_INPUTS, Pick},
    rows,
    slices::{Slices, overlap},
};

/// Flushes as small as this, or smaller, are all of one level.
const SMALLEST_BYTES: u64 = 64 << 10;

/// Sizes that the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// The tokens of the engine.
    pub slices: Slices,
    /// What a flush writes, about, in bytes.
    pub flush_bytes: u64,
    /// The size that a table should have, in bytes; larger results are cut.
    pub table_bytes: u64,
}

/// The merges that are due, the most urgent first, at most one a level. None: there is nothing to do.
pub fn picks(tables: &[Candidate], sizes: Sizes, scaling: Scaling) -> Vec<Pick> {
    let mut levels: BTreeMap<i32, Vec<Candidate>> = BTreeMap::new();
    for table in tables {
        let density = sizes.slices.density(table.bytes, table.tokens);
        let level = level(density, sizes.flush_bytes, scaling);
        levels.entry(level).or_default().push(*table);
    }
    let mut due: Vec<(usize, i32, Vec<Candidate>)> = Vec::new();
    for (level, tables) in levels {
        let crowd = most_overlapping(tables);
        let threshold = scaling.threshold(usize::try_from(level).unwrap_or(0));
        if crowd.len() >= threshold {
            due.push((crowd.len() * 1024 / threshold, level, crowd));
        }
    }
    due.sort_by_key(|(urgency, level, _)| (std::cmp::Reverse(*urgency), *level));
    due.into_iter()
        .filter_map(|(_, _, crowd)| merge_of(crowd, sizes))
        .collect()
}

/// The merges that make of some tables ones that don't overlap: of each group that hangs together, and of
/// single tables that have something to forget.
///
/// A group of too many tables for one merge takes several, one after the other: each is [one](merge_overlapping) that makes
/// fewer of them overlap.
pub fn everything(tables: &[Candidate], sizes: Sizes) -> Vec<Pick> {
    let merge = |group: Vec<Candidate>| match &group[..] {
        [table] if table.droppable => merge_of(group, sizes),
        _ => merge_overlapping(&group, sizes),
    };
    groups(tables).into_iter().filter_map(merge).collect()
}

/// The merge of some tables that makes fewer of them overlap: of those over the token that most of them were made for, and of
/// as many of the others as hang together with these and may be merged with them. `None` if no two that overlap may be merged.
///
/// What it makes covers the tokens of its inputs once, and some of them they covered twice. So however often it is asked for,
/// it comes to an end; merging tables that lie side by side would make the same ones again.
pub fn merge_overlapping(tables: &[Candidate], sizes: Sizes) -> Option<Pick> {
    let mut left = tables.to_vec();
    loop {
        let crowd = most_overlapping(left.clone());
        if crowd.len() < 2 {
            return None;
        }
        let largest = crowd.iter().max_by_key(|table| table.largest_row)?.number;
        let mut inputs = crowd;
        choose(&mut inputs);
        if inputs.len() > 1 {
            fill(&mut inputs, tables);
            return merge_of(inputs, sizes);
        }
        // It can't be merged with any of the others.
        left.retain(|table| table.number != largest);
    }
}

/// Adds, to some tables that hang together, as many of the others that hang together with them as one merge may take.
fn fill(inputs: &mut Vec<Candidate>, tables: &[Candidate]) {
    let mut others = tables.to_vec();
    others.retain(|table| inputs.iter().all(|input| input.number != table.number));
    // Neighbours, so that what it makes lies beside what is left.
    others.sort_by_key(|table| (table.tokens.start, table.number));
    while inputs.len() < MAX_INPUTS
        && let Some(span) = Candidate::span(inputs)
    {
        let may_join = |table: &Candidate| {
            let rows = inputs.iter().chain([table]).map(|input| input.largest_row);
            overlap(table.tokens, span) && rows::fit(rows)
        };
        let Some(at) = others.iter().position(may_join) else {
            return;
        };
        inputs.push(others.remove(at));
    }
}

/// Groups of tables that hang together: that overlap, or overlap the same others. Groups have no token in common.
fn groups(tables: &[Candidate]) -> Vec<Vec<Candidate>> {
    let mut sorted = tables.to_vec();
    sorted.sort_by_key(|table| (table.tokens.start, table.number));
    let mut groups: Vec<Vec<Candidate>> = Vec::new();
    let mut end = None;
    for table in sorted {
        match groups
            .last_mut()
            .filter(|_| end.is_some_and(|end| table.tokens.start < end))
        {
            Some(group) => group.push(table),
            None => groups.push(vec![table]),
        }
        end = end.max(Some(table.tokens.end));
    }
    groups
}

/// The merge of some tables, of the oldest where they are too many, without those whose rows are [too large](rows).
/// `None` for no tables, or if only one is left.
pub fn merge_of(mut tables: Vec<Candidate>, sizes: Sizes) -> Option<Pick> {
    let wanted = tables.len();
    choose(&mut tables);
    if wanted > 1 && tables.len() == 1 {
        return None;
    }
    let span = Candidate::span(&tables)?;
    let bytes = Candidate::total(&tables);
    let slices = Slices::count(sizes.slices.density(bytes, span), sizes.table_bytes);
    Some(Pick {
        files: tables.iter().map(|table| table.number).collect(),
        bytes,
        parts: sizes.slices.cut(span, slices),
    })
}

/// Leaves those of some tables that one merge may take: the oldest, without those whose rows are too large.
fn choose(tables: &mut Vec<Candidate>) {
    tables.sort_by_key(|table| table.number);
    tables.truncate(MAX_INPUTS);
    rows::leave_out(tables);
}

/// The level of a density: 0 is that of a flush.
///
/// A level's bounds lie in the middle between it and its neighbours, on the logarithm's scale: flushes may be
/// half as large as expected, or twice, and a merge of a level's tables still is of the next one. Below level 0
/// are those of smaller flushes, down to a size at which merging costs nothing.
fn level(density: u64, flush_bytes: u64, scaling: Scaling) -> i32 {
    let mut level = 0;
    let mut usual = flush_bytes.max(1);
    while usual > SMALLEST_BYTES && density < bound(usual / scaling.fan(0), scaling.fan(0)) {
        usual /= scaling.fan(0);
        level -= 1;
    }
    if level < 0 {
        return level;
    }
    for step in 0.. {
        let fan = scaling.fan(step);
        if density < bound(usual, fan) || usual == u64::MAX {
            break;
        }
        usual = usual.saturating_mul(fan);
        level += 1;
    }
    level
}

/// Where the next level begins after one whose tables have `usual` bytes.
fn bound(usual: u64, fan: u64) -> u64 {
    let root = (fan << 20).isqrt();
    u64::try_from((u128::from(usual) * u128::from(root)) >> 10).unwrap_or(u64::MAX)
}

/// The tables over the token that most of them were made for.
fn most_overlapping(mut tables: Vec<Candidate>) -> Vec<Candidate> {
    tables.sort_by_key(|table| (table.tokens.start, table.number));
    let mut best: Vec<Candidate> = Vec::new();
    let mut open: Vec<Candidate> = Vec::new();
    for table in tables {
        open.retain(|other| other.tokens.end > table.tokens.start);
        open.push(table);
        if open.len() > best.len() {
            best.clone_from(&open);
        }
    }
    best
}
