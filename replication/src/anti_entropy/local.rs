//! This replica's side: its trees, brought up to date when they are asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::channel::oneshot;
use parking_lot::Mutex;
use starling_model::{KeyRange, TableId, TokenRange, TokenSet};

use super::{
    digest::{Digest, View},
    prints::Prints,
    scan,
    tree::{Touched, Tree},
    wire::{Cuts, Moment, Piece, Summed},
};
use crate::{
    deadline::Deadline,
    env::{Env, Store, StoreError},
};

/// After so much work, whoever else waits for the same table has his turn.
const TURN: Duration = Duration::from_millis(20);

/// A patient request rests so many times as long as it worked: a fifth of a processor at most.
const REST: u32 = 4;

/// What is answered at the latest after this, complete or not.
const ANSWER: Duration = Duration::from_secs(2);

/// Bytes of storage that are hashed without a pause, about: tens of milliseconds of work.
const LEAF_BYTES: u64 = 4 << 20;

/// How a session asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(super) table: TableId,
    view: View,
    /// For how long the session has been under way.
    age: Duration,
    patient: bool,
    deadline: Deadline,
}

impl Question {
    pub(crate) fn new(table: TableId, moment: Moment, patient: bool, deadline: Deadline) -> Self {
        Self {
            table,
            view: view(moment),
            age: Duration::from_millis(moment.age_ms),
            patient,
            deadline,
        }
    }
}

/// The trees of this node's tables.
pub(crate) struct Local<E: Env> {
    env: E,
    /// Rows of a leaf, at most.
    leaf_rows: u64,
    tables: Mutex<BTreeMap<TableId, Arc<TableTree>>>,
}

/// A table has one as long as it exists: cells that the storage says were written to are told once, so a second tree
/// would not hear of them.
struct TableTree {
    tree: Mutex<Tree>,
    /// Held by who takes the changed cells and scans them.
    turn: futures::lock::Mutex<()>,
}

/// What the trees cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TreeSizes {
    pub(crate) leaves: usize,
    pub(crate) changed: usize,
    pub(crate) bytes: usize,
}

impl<E: Env> Local<E> {
    pub(crate) fn new(env: E, leaf_rows: u64) -> Self {
        Self {
            env,
            leaf_rows,
            tables: Mutex::default(),
        }
    }

    /// Forgets the trees of tables that are gone.
    pub(crate) fn retain(&self, known: impl Fn(TableId) -> bool) {
        self.tables.lock().retain(|table, _| known(*table));
    }

    pub(crate) fn sizes(&self) -> TreeSizes {
        let mut sizes = TreeSizes::default();
        for table in self.tables.lock().values() {
            let tree = table.tree.lock();
            sizes.leaves += tree.leaves();
            sizes.changed += tree.changed();
            sizes.bytes += tree.bytes();
        }
        sizes
    }

    /// The digests of pieces, each as far as there was time.
    pub(crate) async fn digests(
        self: &Arc<Self>,
        asked: Question,
        pieces: &[Piece],
    ) -> Result<Vec<Summed>, StoreError> {
        let Question { table, view, .. } = asked;
        let since = self.env.monotonic().saturating_sub(asked.age);
        let soon = self.soon(asked.deadline);
        let tree = self.tree(table);
        let ranges: Vec<TokenRange> = pieces
            .iter()
            .filter_map(|piece| match &piece.keys {
                KeyRange::Tokens(range) => Some(*range),
                KeyRange::Partition(_) => None,
            })
            .collect();
        let work = Refresh {
            table,
            tree: Arc::clone(&tree),
            ranges,
            view,
            since,
            patient: asked.patient,
            until: soon,
        };
        // The work goes on though the asker may not wait: changed cells that were taken are not lost.
        let (done, refreshed) = oneshot::channel();
        let local = Arc::clone(self);
        self.env.spawn(async move {
            let _ = done.send(local.refresh(work).await);
        });
        if let Some(refreshed) = soon.within(&self.env, refreshed).await {
            refreshed.unwrap_or(Err(StoreError::Stopping))?;
        }
        let mut sums = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (digest, rest) = self.sum(table, &tree, piece, view, since, soon).await?;
            sums.push(Summed::of(&digest, rest));
        }
        Ok(sums)
    }

    /// Where a piece can be cut.
    pub(crate) async fn cuts(
        &self,
        table: TableId,
        moment: Moment,
        piece: &Piece,
        deadline: Deadline,
    ) -> Result<Cuts, StoreError> {
        let soon = Deadline::after(&self.env, deadline.remaining(&self.env) / 2);
        scan::cuts(&self.env, table, piece, view(moment), soon).await
    }

    /// The digests of the partitions of some ranges; `None` for a range of too many.
    pub(crate) async fn prints(
        &self,
        asked: Question,
        ranges: &[TokenRange],
    ) -> Result<Vec<Option<Prints>>, StoreError> {
        let Question { table, view, .. } = asked;
        let begun = self.env.monotonic();
        let soon = self.soon(asked.deadline);
        let mut prints = Vec::with_capacity(ranges.len());
        for range in ranges {
            if soon.is_over(&self.env) {
                prints.push(None);
                continue;
            }
            prints.push(scan::prints(&self.env, table, *range, view, soon).await?);
        }
        self.rest(asked.patient, begun, asked.deadline).await;
        Ok(prints)
    }

    /// A page of each of the first pieces: of one at least, and of no more than one beyond a page's size in all.
    pub(crate) async fn pages(&self, asked: Question, pieces: &[Piece]) -> Result<Vec<Bytes>, StoreError> {
        let Question { table, view, .. } = asked;
        let begun = self.env.monotonic();
        let soon = self.soon(asked.deadline);
        let mut pages = Vec::new();
        let mut bytes = 0;
        for piece in pieces {
            let command = scan::command(table, piece, view);
            let time = asked.deadline.remaining(&self.env) / 2;
            let page = self.env.store().read(command, time).await?.page.into_bytes();
            bytes += page.len();
            pages.push(page);
            if bytes >= scan::PAGE_BYTES as usize || soon.is_over(&self.env) {
                break;
            }
        }
        self.rest(asked.patient, begun, asked.deadline).await;
        Ok(pages)
    }

    /// When an answer is given, whether or not it is complete.
    fn soon(&self, deadline: Deadline) -> Deadline {
        Deadline::after(&self.env, ANSWER.min(deadline.remaining(&self.env) / 2))
    }

    /// After work for somebody who is patient, but not until it is too late.
    async fn rest(&self, patient: bool, begun: Duration, deadline: Deadline) {
        if patient {
            let spent = self.env.monotonic().saturating_sub(begun);
            let most = ANSWER.min(deadline.remaining(&self.env) / 2);
            self.env.sleep((spent * REST).min(most)).await;
        }
    }

    fn tree(&self, table: TableId) -> Arc<TableTree> {
        let mut tables = self.tables.lock();
        let tree = tables.entry(table).or_insert_with(|| {
            Arc::new(TableTree {
                tree: Mutex::new(Tree::new(self.leaf_rows)),
                turn: futures::lock::Mutex::default(),
            })
        });
        Arc::clone(tree)
    }

    /// Hashes the leaves of some ranges that are not fresh, in turns.
    async fn refresh(&self, work: Refresh) -> Result<(), StoreError> {
        loop {
            let begun = self.env.monotonic();
            let turn = work.tree.turn.lock().await;
            let as_of = self.env.monotonic();
            let cells = self.env.store().changed(work.table).await?;
            work.tree.tree.lock().mark(&cells);
            let mut complete = true;
            let stale = work.stale();
            if self.halve_large(&work, &stale).await? {
                continue;
            }
            for leaf in stale {
                let cells = scan::cells(&self.env, work.table, &Piece::tokens(leaf), work.view).await?;
                work.tree.tree.lock().put(leaf, &cells, work.view.grace, as_of);
                let spent = self.env.monotonic().saturating_sub(as_of);
                if spent > TURN || work.until.is_over(&self.env) {
                    complete = false;
                    break;
                }
            }
            drop(turn);
            if complete || work.until.is_over(&self.env) {
                return Ok(());
            }
            self.rest(work.patient, begun, work.until).await;
        }
    }

    /// Cuts leaves in two that were never hashed and would take long: so each turn is short, and who waits sees that there
    /// is progress. Whether it cut any.
    async fn halve_large(&self, work: &Refresh, stale: &[TokenRange]) -> Result<bool, StoreError> {
        let unknown = work.tree.tree.lock().never_hashed(stale);
        if unknown.is_empty() {
            return Ok(false);
        }
        let sets = unknown.iter().copied().map(TokenSet::from).collect();
        let sizes = self.env.store().sizes(work.table, sets).await?;
        let mut tree = work.tree.tree.lock();
        let mut halved = false;
        for (leaf, bytes) in unknown.into_iter().zip(sizes) {
            halved |= bytes > LEAF_BYTES && tree.halve(leaf);
        }
        Ok(halved)
    }

    /// A piece's digest from the leaves in it, and by reading where a leaf is cut by the piece's ends.
    async fn sum(
        &self,
        table: TableId,
        tree: &TableTree,
        piece: &Piece,
        view: View,
        since: Duration,
        deadline: Deadline,
    ) -> Result<(Digest, Option<Piece>), StoreError> {
        let KeyRange::Tokens(mut range) = piece.keys else {
            return scan::digest(&self.env, table, piece, view, deadline).await;
        };
        let mut sum = Digest::default();
        let mut after = piece.after.clone();
        loop {
            let begun = |leaf: &Touched| {
                after
                    .as_ref()
                    .is_some_and(|after| after.key.token > leaf.tokens.start)
            };
            let whole = |leaf: &Touched| {
                leaf.tokens.start >= range.start && leaf.tokens.end <= range.end && !begun(leaf)
            };
            let mut stopped_at = None;
            let mut start = range.start;
            for leaf in tree.tree.lock().touched(range, view, since) {
                match leaf.digest.filter(|_| whole(&leaf)) {
                    Some(digest) => {
                        sum.add(&digest);
                        start = leaf.tokens.end;
                    }
                    None => {
                        stopped_at = Some((leaf, whole(&leaf)));
                        break;
                    }
                }
            }
            let left = |after| Piece {
                after,
                ..Piece::tokens(TokenRange {
                    start,
                    end: range.end,
                })
            };
            let Some((leaf, must_be_fresh)) = stopped_at else {
                return Ok((sum, None));
            };
            if must_be_fresh || deadline.is_over(&self.env) {
                return Ok((sum, Some(left(after))));
            }
            let part = TokenRange {
                start,
                end: leaf.tokens.end.min(range.end),
            };
            let part = Piece {
                after: after.take(),
                ..Piece::tokens(part)
            };
            let (digest, rest) = scan::digest(&self.env, table, &part, view, deadline).await?;
            sum.add(&digest);
            if let Some(rest) = rest {
                return Ok((sum, Some(left(rest.after))));
            }
            range.start = leaf.tokens.end;
            if range.start >= range.end {
                return Ok((sum, None));
            }
        }
    }
}

/// What is to be fresh.
struct Refresh {
    table: TableId,
    tree: Arc<TableTree>,
    ranges: Vec<TokenRange>,
    view: View,
    since: Duration,
    patient: bool,
    until: Deadline,
}

impl Refresh {
    /// The leaves within the ranges that are not fresh. Those that only touch them are read where they are asked.
    fn stale(&self) -> Vec<TokenRange> {
        let tree = self.tree.tree.lock();
        let stale = self.ranges.iter().flat_map(|range| {
            tree.touched(*range, self.view, self.since)
                .filter(|leaf| leaf.digest.is_none())
                .map(|leaf| leaf.tokens)
        });
        let mut stale: Vec<TokenRange> = stale.collect();
        stale.dedup();
        stale
    }
}

fn view(moment: Moment) -> View {
    View {
        now: moment.now,
        grace: moment.grace,
    }
}
