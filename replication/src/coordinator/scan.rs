//! Reading a token range, which may lie on many sets of replicas.
//!
//! The range is cut where the replicas change; neighbouring arcs are read as one as long as enough live
//! replicas hold all of them. Where one of these turns out to be dead the arcs are read each by itself: there are more replicas
//! of each than of all. The pieces are read in token order, so that a page's end is a position on
//! the ring. While pieces turn out to be nearly empty, several of them are read at a time.

use std::{collections::VecDeque, sync::Arc};

use futures::future::join_all;
use starling_cql::{Error, ErrorKind};
use starling_model::{KeyRange, Page, Position, ReadCommand, TokenRange};

use super::{Coordinator, Task, read::ReadPlan};
use crate::{
    env::Env,
    placements::Placements,
    snapshot::Snapshot,
    topology::quorum::{Quorum, ReplicaSets, Requirements},
};

/// How many pieces are read at a time at most.
const MAX_WIDTH: usize = 8;

/// A part of the range, and who holds all of it.
struct Piece {
    range: TokenRange,
    sets: ReplicaSets,
    /// What it is made of, and who holds that.
    arcs: Vec<(TokenRange, ReplicaSets)>,
}

impl Piece {
    fn of(range: TokenRange, sets: ReplicaSets) -> Self {
        Self {
            range,
            arcs: vec![(range, sets.clone())],
            sets,
        }
    }

    /// Its arcs, each by itself, if one of them has replicas that the others have not.
    fn apart(self) -> Option<impl DoubleEndedIterator<Item = Self>> {
        let has_more = self.arcs.iter().any(|(_, sets)| *sets != self.sets);
        let arcs = self.arcs.into_iter().map(|(range, sets)| Self::of(range, sets));
        has_more.then_some(arcs)
    }
}

impl<E: Env> Coordinator<E> {
    /// Reads one page of a token range.
    pub(super) async fn scan(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        placements: &Placements,
        command: ReadCommand,
        range: TokenRange,
        requirements: &Requirements,
        task: &Task,
    ) -> Result<Page, Error> {
        let pieces = pieces(snapshot, placements, &command, range, requirements);
        let mut whole = Gathered::new(&command);
        let mut pieces = VecDeque::from(pieces);
        let mut width = 1;
        while !pieces.is_empty() {
            let now: Vec<Piece> = pieces.drain(..width.min(pieces.len())).collect();
            let mut reads = Vec::with_capacity(now.len());
            for piece in &now {
                let quorum = Quorum {
                    requirements: requirements.clone(),
                    sets: piece.sets.clone(),
                };
                let plan = self.plan_read(snapshot, quorum, task.consistency)?;
                reads.push(self.read_piece(&command, &whole, piece.range, plan, task));
            }
            let pages = join_all(reads).await;
            let mut read = now.into_iter().zip(pages);
            while let Some((piece, page)) = read.next() {
                let page = match page {
                    Err(error) if matches!(error.kind, ErrorKind::Unavailable { .. }) => {
                        let apart = piece.apart().ok_or(error)?;
                        let after: Vec<Piece> = read.map(|(piece, _)| piece).collect();
                        after.into_iter().rev().for_each(|piece| pieces.push_front(piece));
                        apart.rev().for_each(|piece| pieces.push_front(piece));
                        break;
                    }
                    page => page?,
                };
                // Also what was read beside this piece comes after it.
                let more = read.len() > 0 || !pieces.is_empty();
                if whole.take(page, more) {
                    return Ok(whole.page);
                }
            }
            // Much room is left after what these pieces gave: the next ones will likely fit together.
            if whole.is_mostly_empty() {
                width = (width * 2).min(MAX_WIDTH);
            } else {
                width = 1;
            }
        }
        Ok(whole.page)
    }

    async fn read_piece(
        self: &Arc<Self>,
        command: &ReadCommand,
        whole: &Gathered,
        range: TokenRange,
        plan: ReadPlan,
        task: &Task,
    ) -> Result<Page, Error> {
        let mut command = command.clone();
        command.limits.rows = whole.rows_left();
        command.after = command.after.filter(|after| range.contains(after.key.token));
        command.keys = KeyRange::Tokens(range);
        self.read_page(command, plan, task).await
    }
}

/// The part of `range` that is still to be read, in pieces.
fn pieces(
    snapshot: &Snapshot,
    placements: &Placements,
    command: &ReadCommand,
    range: TokenRange,
    requirements: &Requirements,
) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (arc, sets) in placements.ranges() {
        let start = arc.start.max(range.start);
        let end = arc.end.min(range.end);
        let done = command.after.as_ref().is_some_and(|after| after.key.token > end);
        if start >= end || done {
            continue;
        }
        if let Some(last) = pieces.last_mut() {
            let both = Quorum {
                requirements: requirements.clone(),
                sets: last.sets.intersection(&sets),
            };
            let replicas = snapshot.peers_of(&both.sets.all());
            let alive = replicas.iter().filter(|peer| peer.alive);
            if both
                .check(alive.map(|peer| (peer.id, peer.datacenter.as_str())))
                .is_ok()
            {
                last.range.end = end;
                last.sets = both.sets;
                last.arcs.push((TokenRange { start, end }, sets));
                continue;
            }
        }
        pieces.push(Piece::of(TokenRange { start, end }, sets));
    }
    pieces
}

/// A page that is put together from the pieces' pages.
struct Gathered {
    page: Page,
    row_limit: u32,
    byte_limit: usize,
    rows: u32,
    bytes: usize,
    now: starling_model::Seconds,
}

impl Gathered {
    fn new(command: &ReadCommand) -> Self {
        Self {
            page: Page::default(),
            row_limit: command.limits.rows,
            byte_limit: command.limits.bytes as usize,
            rows: 0,
            bytes: 0,
            now: command.now,
        }
    }

    fn rows_left(&self) -> u32 {
        (self.row_limit - self.rows).max(1)
    }

    fn is_mostly_empty(&self) -> bool {
        self.rows < self.row_limit / 4 && self.bytes < self.byte_limit / 4
    }

    /// Appends the next piece's page. Returns true if the whole page ends with it.
    fn take(&mut self, page: Page, more_pieces: bool) -> bool {
        let Page { partitions, next } = page;
        for part in partitions {
            // Pieces that were read together may come to more than the limit between them.
            if self.is_full() {
                return self.end(None, true);
            }
            self.bytes += part.partition.weight();
            let live = u32::try_from(part.partition.live_rows(self.now)).unwrap_or(u32::MAX);
            let only_static = live == 0 && part.partition.static_row.is_live(self.now);
            self.rows = self.rows.saturating_add(live.max(u32::from(only_static)));
            self.page.partitions.push(part);
        }
        if next.is_some() {
            return self.end(next, true);
        }
        self.is_full() && self.end(None, more_pieces)
    }

    fn is_full(&self) -> bool {
        self.rows >= self.row_limit || self.bytes >= self.byte_limit
    }

    fn end(&mut self, next: Option<Position>, more: bool) -> bool {
        self.page.next = next.or_else(|| {
            let last = self.page.partitions.last().filter(|_| more)?;
            Some(Position {
                key: last.key.clone(),
                clustering: None,
                rows: 0,
            })
        });
        true
    }
}
