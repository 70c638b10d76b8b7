//! Damaged tokens of this node's own storage, written anew from the other replicas.
//!
//! What a block held that fails its checks can't be read here any more (the storage answers `Corrupt`, and reads
//! at QUORUM go on with the others). The damaged tokens are cut into [`stretches`](super::stretches) of which other replicas are
//! whole. Where these are enough, what they have is read, merged, applied here, and then the storage is told to give up what is
//! damaged of that stretch. What else is damaged waits ([`waiting`](super::waiting)), and comes again with the next look.
//!
//! Invariant: every write that was acknowledged at QUORUM is there afterwards. Of the `f` replicas that the keyspace asks for
//! at most `f - quorum` missed it, whoever of them is damaged; one more than that are read, or all others where they are fewer. There
//! may be fewer replicas than `f` for want of nodes: as many may have missed it all the same. Then what was acknowledged
//! by none of those that are left is not there, as it would not be for readers. Where the strategy names
//! datacenters the same is done for the quorum of this node's own: what was acknowledged at LOCAL_QUORUM is nowhere else for sure.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::join_all;
use starling_model::{
    ClusteringRange, Consistency, KeyRange, Limits, Mutation, Page, ReadCommand, Seconds, TableId,
    TokenRange, TokenSet,
};

use super::{
    Coordinator, Task,
    read::Answer,
    reconcile::{EVERYTHING, reconcile},
    stretches::{Standing, Stretch, coming, foreign, pieces_of},
    waiting::WaitingDamage,
};
use crate::{
    env::{Damaged, Env, Store, StoreError},
    snapshot::Snapshot,
    tracing::Tracer,
    truncations::Origin,
};

/// Content of one page that is fetched, in bytes.
const PAGE_BYTES: u32 = 256 << 10;

/// Why what was written anew is still damaged.
pub(super) const TOO_MANY_PIECES: &str = "the damage of its file is in too many pieces to heal some of them";

/// What is damaged of tokens that a node is only about to get waits for.
const COMING: &str = "this node is no replica of these tokens yet: it heals once the change of the ring is over that gives them to it";

/// Rows and tombstones that a replica looks at for one page.
const PAGE_VISITED: u32 = 50_000;

impl<E: Env> Coordinator<E> {
    /// Begins to heal what is damaged, unless that is under way.
    pub(crate) async fn heal_damage(self: &Arc<Self>) {
        // A storage that can't tell now is asked again soon.
        let Ok(damaged) = self.env.store().damaged().await else {
            return;
        };
        if damaged.is_empty() {
            self.waiting.set(Vec::new(), self.env.monotonic());
            return;
        }
        if self.healing.swap(true, Ordering::AcqRel) {
            return;
        }
        let coordinator = Arc::clone(self);
        self.env.spawn(async move {
            let waiting = coordinator.heal_all(&damaged).await;
            coordinator.waiting.set(waiting, coordinator.env.monotonic());
            coordinator.healing.store(false, Ordering::Release);
        });
    }

    /// Heals what others can give back; returns the rest.
    async fn heal_all(&self, damaged: &[Damaged]) -> Vec<WaitingDamage> {
        let mut tables: Vec<TableId> = damaged.iter().map(|piece| piece.table).collect();
        tables.sort_unstable();
        tables.dedup();
        let mut waiting = Vec::new();
        for table in tables {
            // As it is by now: what comes first may take long.
            let snapshot = self.views.load();
            waiting.extend(self.heal_table(&snapshot, table, damaged).await);
        }
        waiting
    }

    async fn heal_table(
        &self,
        snapshot: &Snapshot,
        table: TableId,
        damaged: &[Damaged],
    ) -> Vec<WaitingDamage> {
        let pieces = pieces_of(table, damaged);
        let unknown = |why: &str| {
            let waiting = pieces.iter();
            let waiting = waiting.map(|tokens| WaitingDamage::unasked(table.to_string(), *tokens, why));
            waiting.collect()
        };
        let Some(schema) = snapshot.schema.table_by_id(table) else {
            return unknown("the table is not known here");
        };
        let Ok(placements) = snapshot.placements(&schema.keyspace) else {
            return unknown("the keyspace is not known here");
        };
        for tokens in Vec::from(foreign(placements, &pieces)) {
            ::tracing::info!(%table, %tokens, "damaged data of tokens that are others' is given up");
            let _ = self.env.store().heal(Damaged { table, tokens }).await;
        }
        let name = format!("{}.{}", schema.keyspace, schema.name);
        let coming = Vec::from(coming(snapshot, placements, &pieces)).into_iter();
        let coming = coming.map(|tokens| WaitingDamage::unasked(name.clone(), tokens, COMING));
        let mut waiting: Vec<WaitingDamage> = coming.collect();
        let stretches = self.stretches(snapshot, &placements.current, table, &pieces);
        for stretch in stretches.await {
            let healed = if stretch.heals() {
                self.try_to_heal(table, &stretch).await
            } else {
                Err("")
            };
            match healed {
                Ok(()) => {
                    self.counters.healed.one();
                    ::tracing::info!(%table, tokens = %stretch.tokens, "damaged data was written anew from other replicas");
                }
                Err(why) => {
                    waiting.push(self.wait(name.clone(), &stretch, why));
                }
            }
        }
        waiting
    }

    /// Heals a stretch, unless that failed a moment ago.
    async fn try_to_heal(&self, table: TableId, stretch: &Stretch) -> Result<(), &'static str> {
        let tokens = stretch.tokens;
        if let Some(why) = self.waiting.held_back(table, tokens, self.env.monotonic()) {
            return Err(why);
        }
        let outcome = self.write_anew(table, stretch).await;
        let failure = outcome.err();
        self.waiting.tried(table, tokens, failure, self.env.monotonic());
        outcome
    }

    /// Fetches what others have of a damaged stretch, and gives up what was damaged.
    async fn write_anew(&self, table: TableId, stretch: &Stretch) -> Result<(), &'static str> {
        self.fetch(table, stretch).await?;
        // Who gave the tokens away meanwhile may have forgotten them while it was read.
        if self.views.load().cluster.stamp != stretch.planned {
            return Err("the ring changed meanwhile");
        }
        match self.give_up_damage(table, stretch.tokens).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(TOO_MANY_PIECES),
            Err(_) => Err("the storage could not take it"),
        }
    }

    /// Has the storage give up what is damaged of some tokens; false if it kept some of it.
    pub(super) async fn give_up_damage(
        &self,
        table: TableId,
        tokens: TokenRange,
    ) -> Result<bool, StoreError> {
        let store = self.env.store();
        store.heal(Damaged { table, tokens }).await?;
        let left = store.damaged().await?;
        let is_left = |piece: &Damaged| piece.table == table && TokenSet::from(piece.tokens).touches(tokens);
        Ok(!left.iter().any(is_left))
    }

    /// Reads a stretch from other replicas and applies here what they have.
    async fn fetch(&self, table: TableId, stretch: &Stretch) -> Result<(), &'static str> {
        let mut command = page_command(table, stretch.tokens, self.env.wall().seconds());
        loop {
            let era = self.replica.truncations.era();
            let (page, missing) = self.fetch_page(&command, stretch).await?;
            // Whoever stamps a write of these rows after this has to be told what came in.
            if let Some(newest) = missing.iter().filter_map(|it| it.partition.newest()).max() {
                let counted = self.replica.count_as_written(newest).await;
                counted.map_err(|_| "the clock's floor can't be stored")?;
            }
            let applied = self.hand_on_missing(table, era, missing);
            let applied = applied.ok_or("the table was truncated meanwhile")?;
            if join_all(applied).await.iter().any(Result::is_err) {
                return Err("the storage could not take it");
            }
            if page.next.is_none() {
                return Ok(());
            }
            if page.next == command.after {
                return Err("a replica's page made no progress");
            }
            command.after = page.next;
        }
    }

    /// Gives the storage what was fetched, unless the table was truncated since this node began to read it in `era`, or is
    /// being truncated.
    fn hand_on_missing(
        &self,
        table: TableId,
        era: u64,
        missing: Vec<Mutation>,
    ) -> Option<Vec<impl Future<Output = Result<(), StoreError>>>> {
        let truncations = &self.replica.truncations;
        if !truncations.lets_repair(table, era, self.env.monotonic()) {
            return None;
        }
        let origin = Origin {
            sender: self.views.load().cluster.me,
            era,
        };
        truncations.unless_refused(table, origin, || {
            let writes = missing
                .into_iter()
                .map(|mutation| self.env.store().apply(mutation.into(), Duration::MAX));
            writes.collect::<Vec<_>>()
        })
    }

    /// One page of enough other replicas, and what a replica lacks that has nothing of it.
    async fn fetch_page(
        &self,
        command: &ReadCommand,
        stretch: &Stretch,
    ) -> Result<(Page, Vec<Mutation>), &'static str> {
        let task = Task {
            planned: stretch.planned,
            ..self.task(Consistency::All, self.timeouts.range, &Tracer::OFF)
        };
        let asked = stretch.those(&[Standing::Whole, Standing::Silent]).map(|peer| {
            let asked = self.ask_for_page(peer, command.clone(), false, &task);
            async move { (peer, asked.await) }
        });
        let (mut answered, mut pages) = (Vec::new(), Vec::new());
        for (peer, answer) in join_all(asked).await {
            if let Ok(Answer::Page(received)) = answer {
                answered.push(peer);
                pages.push(received.page);
            }
        }
        if !stretch.would_heal_with(answered) {
            return Err("too few other replicas answered");
        }
        pages.push(Page::default());
        let mut reconciled = reconcile(command, pages, EVERYTHING);
        Ok((reconciled.page, reconciled.missing.pop().unwrap_or_default()))
    }
}

/// The first page of all that a table has for some tokens, deletions too.
pub(super) fn page_command(table: TableId, tokens: TokenRange, now: Seconds) -> ReadCommand {
    ReadCommand {
        table,
        keys: KeyRange::Tokens(tokens),
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits {
            bytes: PAGE_BYTES,
            visited: PAGE_VISITED,
            ..Limits::NONE
        },
        now,
    }
}
