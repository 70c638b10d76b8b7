//! Digests by reading: the pages of a piece, one after the other.

use std::time::Duration;

use starling_model::{
    Clustering, ClusteringRange, DecoratedKey, KeyRange, Limits, PartitionPage, Position, ReadCommand,
    TableId, Token, TokenRange,
};

use super::{
    digest::{Digest, Hasher, View},
    prints::Prints,
    wire::{Cuts, Piece},
};
use crate::{
    deadline::Deadline,
    env::{Env, Store, StoreError},
};

/// Content of a page, in bytes: what a shard reads at a time.
pub(super) const PAGE_BYTES: u32 = 256 << 10;

/// Rows and tombstones looked at for a page.
const PAGE_VISITED: u32 = 5_000;

/// Parts into which a piece is cut, at least; twice as many at most.
const PARTS: usize = 8;

/// What reads `piece` from where it is.
pub(crate) fn command(table: TableId, piece: &Piece, view: View) -> ReadCommand {
    ReadCommand {
        table,
        keys: piece.keys.clone(),
        slices: vec![piece.rows.clone()],
        reversed: false,
        after: piece.after.clone(),
        limits: Limits {
            bytes: PAGE_BYTES,
            visited: PAGE_VISITED,
            ..Limits::NONE
        },
        now: view.now,
    }
}

/// Reads a piece page by page and shows each part of a partition to `visit`, with the rows that it covers. Returns
/// what is left when the deadline has passed; there is progress in any case.
async fn scan<E: Env>(
    env: &E,
    table: TableId,
    piece: &Piece,
    view: View,
    deadline: Option<Deadline>,
    mut visit: impl FnMut(&PartitionPage, &ClusteringRange),
) -> Result<Option<Piece>, StoreError> {
    let mut left = piece.clone();
    loop {
        let page = env
            .store()
            .read(command(table, &left, view), Duration::MAX)
            .await?
            .page;
        let page = page
            .decode()
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        for part in &page.partitions {
            visit(part, &window(&left, page.next.as_ref(), part));
        }
        if page.next.is_none() {
            return Ok(None);
        }
        if page.next == left.after {
            return Err(StoreError::Corrupt("a page made no progress".to_owned()));
        }
        left.after = page.next;
        if deadline.is_some_and(|deadline| deadline.is_over(env)) {
            return Ok(Some(left));
        }
    }
}

/// The rows of a partition that a page covers.
pub(super) fn window(piece: &Piece, next: Option<&Position>, part: &PartitionPage) -> ClusteringRange {
    let behind = |last: &Clustering| ClusteringRange::row(last).end;
    let mut window = piece.rows.clone();
    let within = |position: &&Position| position.key == part.key;
    let done = piece.after.as_ref().filter(within);
    if let Some(start) = done.and_then(|done| done.clustering.as_ref()).and_then(behind) {
        window.start = window.start.max(start);
    }
    let end = next.filter(within).and_then(|end| end.clustering.as_ref());
    if let Some(end) = end.or(part.cut.as_ref()).and_then(behind) {
        window.end = Some(window.end.map_or(end.clone(), |old| old.min(end)));
    }
    window
}

/// The digest of a piece, and what is left of it when the deadline has passed.
pub(crate) async fn digest<E: Env>(
    env: &E,
    table: TableId,
    piece: &Piece,
    view: View,
    deadline: Deadline,
) -> Result<(Digest, Option<Piece>), StoreError> {
    let mut digest = Digest::default();
    let mut hasher = Hasher::new(view);
    let rest = scan(env, table, piece, view, Some(deadline), |part, window| {
        hasher.partition(&mut digest, &part.key, &part.partition, window);
    })
    .await?;
    Ok((digest, rest))
}

/// The digests of the cells of a range of tokens that hold anything, in order.
pub(crate) async fn cells<E: Env>(
    env: &E,
    table: TableId,
    piece: &Piece,
    view: View,
) -> Result<Vec<(u32, Digest)>, StoreError> {
    let mut cells: Vec<(u32, Digest)> = Vec::new();
    let mut hasher = Hasher::new(view);
    scan(env, table, piece, view, None, |part, window| {
        let cell = starling_sstable::Cells::of(part.key.token);
        if cells.last().is_none_or(|(last, _)| *last != cell) {
            cells.push((cell, Digest::default()));
        }
        if let Some((_, digest)) = cells.last_mut() {
            hasher.partition(digest, &part.key, &part.partition, window);
        }
    })
    .await?;
    Ok(cells)
}

/// The digest of each partition of a range, if there are not too many and there is time.
pub(crate) async fn prints<E: Env>(
    env: &E,
    table: TableId,
    range: TokenRange,
    view: View,
    deadline: Deadline,
) -> Result<Option<Prints>, StoreError> {
    let mut digests: Vec<(Token, Digest)> = Vec::new();
    let mut hasher = Hasher::new(view);
    let piece = Piece::tokens(range);
    let rest = scan(env, table, &piece, view, Some(deadline), |part, window| {
        let token = part.key.token;
        if digests.last().is_none_or(|(last, _)| *last != token) {
            digests.push((token, Digest::default()));
        }
        if let Some((_, digest)) = digests.last_mut() {
            hasher.partition(digest, &part.key, &part.partition, window);
        }
    })
    .await?;
    Ok(match rest {
        None => Prints::of(range, &digests),
        Some(_) => None,
    })
}

/// Where a piece can be cut. When the deadline has passed what was not looked at yet is one part.
pub(crate) async fn cuts<E: Env>(
    env: &E,
    table: TableId,
    piece: &Piece,
    view: View,
    deadline: Deadline,
) -> Result<Cuts, StoreError> {
    let mut cutter = Cutter::default();
    let rest = scan(env, table, piece, view, Some(deadline), |part, window| {
        cutter.part(part, window);
    })
    .await?;
    let mut cuts = cutter.finish(piece);
    if let Some(at) = rest.and_then(|rest| rest.after) {
        match (&piece.keys, at.clustering) {
            (KeyRange::Tokens(range), None) if at.key.token < range.end => cuts.tokens.push(at.key.token),
            (KeyRange::Partition(_), Some(last)) => cuts.rows.extend(ClusteringRange::row(&last).end),
            _ => {}
        }
    }
    cuts.tokens.sort_unstable();
    cuts.tokens.dedup();
    Ok(cuts)
}

/// Chooses cuts in one pass: every so many rows, and when there are too many cuts, every second of them.
struct Cutter {
    step: u64,
    rows: u64,
    tokens: Vec<Token>,
    clusterings: Vec<bytes::Bytes>,
    /// The partition that is being read, and how many rows of it there are.
    current: Option<(DecoratedKey, u64)>,
    /// The largest one.
    largest: Option<(Token, u64)>,
    many: bool,
}

impl Default for Cutter {
    fn default() -> Self {
        Self {
            step: 1,
            rows: 0,
            tokens: Vec::new(),
            clusterings: Vec::new(),
            current: None,
            largest: None,
            many: false,
        }
    }
}

impl Cutter {
    fn part(&mut self, part: &PartitionPage, window: &ClusteringRange) {
        match &mut self.current {
            Some((key, _)) if *key == part.key => {}
            current => {
                let before = current.replace((part.key.clone(), 0));
                self.close(before, part.key.token);
            }
        }
        for (clustering, _) in part.partition.range(window) {
            self.row(clustering);
        }
        if let Some((_, rows)) = &mut self.current
            && window.start.is_empty()
        {
            // A partition without rows has a deletion, a static row or range tombstones.
            *rows += 1;
            self.rows += 1;
        }
    }

    fn row(&mut self, clustering: &Clustering) {
        if let Some((_, rows)) = &mut self.current {
            *rows += 1;
        }
        self.rows += 1;
        if !self.many && self.rows >= self.step {
            // Nothing comes before the empty clustering, so it is no cut.
            if !clustering.0.is_empty() {
                self.clusterings.push(clustering.0.clone());
            }
            self.thin_out();
        }
    }

    /// A partition is complete, and another one begins.
    fn close(&mut self, before: Option<(DecoratedKey, u64)>, next: Token) {
        let Some((key, rows)) = before else { return };
        if !self.many {
            self.many = true;
            self.clusterings.clear();
            self.rows = rows;
            self.step = 1;
        }
        self.measure(key.token, rows);
        if key.token != next && self.rows >= self.step {
            self.tokens.push(key.token);
            self.thin_out();
        }
    }

    fn measure(&mut self, token: Token, rows: u64) {
        if self.largest.is_none_or(|(_, most)| rows > most) {
            self.largest = Some((token, rows));
        }
    }

    fn thin_out(&mut self) {
        self.rows = 0;
        if self.tokens.len().max(self.clusterings.len()) > 2 * PARTS {
            self.step *= 2;
            let mut place = 0;
            let mut every_second = || {
                place += 1;
                place % 2 == 0
            };
            self.tokens.retain(|_| every_second());
            self.clusterings.retain(|_| every_second());
        }
    }

    fn finish(mut self, piece: &Piece) -> Cuts {
        if let Some((key, rows)) = self.current.take() {
            self.measure(key.token, rows);
        }
        if let KeyRange::Tokens(range) = &piece.keys
            && let Some((token, _)) = self.largest
        {
            // The largest partition by itself: so there is progress whatever the sizes.
            let around = [Token(token.0.saturating_sub(1)), token];
            let cuts = around
                .into_iter()
                .filter(|cut| *cut > range.start && *cut < range.end);
            self.tokens.extend(cuts);
        }
        Cuts {
            tokens: self.tokens,
            rows: self.clusterings,
        }
    }
}
