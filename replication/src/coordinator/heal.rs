//! Damaged tokens of this node's own storage, written anew from the other replicas.
//!
//! What a block held that fails its checks can't be read here any more (the storage answers `Corrupt`, and reads
//! at QUORUM go on with the others). The data is read from as many other replicas as a quorum counts, or from all
//! of them where they are fewer; merged, applied here, and then the storage is told to give the damaged piece up.
//!
//! Invariant: every write that was acknowledged at QUORUM is there afterwards. Of the `f` replicas that the keyspace asks for
//! at most `f - quorum` missed it, and one more may be this one; more than that are read. There may be fewer
//! replicas than `f` for want of nodes: as many may have missed it all the same. Where the strategy names datacenters the same is
//! done for the quorum of this node's own: what was acknowledged at LOCAL_QUORUM is nowhere else for sure.

use std::sync::{Arc, atomic::Ordering};

use futures::future::join_all;
use starling_model::{
    ClusteringRange, Consistency, KeyRange, Limits, Mutation, NodeId, Page, ReadCommand, TableId, TokenRange,
};
use starling_ring::Placement;

use super::{
    Coordinator,
    reconcile::{EVERYTHING, reconcile},
};
use crate::{
    env::{Damaged, Env, Store},
    snapshot::{Peer, Snapshot},
    tracing::Tracer,
};

/// Content of one page that is fetched, in bytes.
const PAGE_BYTES: u32 = 256 << 10;

/// Rows and tombstones that a replica looks at for one page.
const PAGE_VISITED: u32 = 50_000;

impl<E: Env> Coordinator<E> {
    /// Begins to heal what is damaged, unless that is under way.
    pub(crate) async fn heal_damage(self: &Arc<Self>) {
        let damaged = match self.env.store().damaged().await {
            Ok(damaged) if !damaged.is_empty() => damaged,
            // A storage that can't tell now is asked again soon.
            _ => return,
        };
        if self.healing.swap(true, Ordering::AcqRel) {
            return;
        }
        let coordinator = Arc::clone(self);
        self.env.spawn(async move {
            for piece in damaged {
                match coordinator.heal(piece).await {
                    Ok(()) => {
                        coordinator.counters.healed.one();
                        ::tracing::info!(table = %piece.table, tokens = %piece.tokens, "damaged data was written anew from other replicas");
                    }
                    Err(why) => {
                        ::tracing::warn!(table = %piece.table, tokens = %piece.tokens, why, "damaged data can't be written anew yet");
                    }
                }
            }
            coordinator.healing.store(false, Ordering::Release);
        });
    }

    async fn heal(&self, piece: Damaged) -> Result<(), &'static str> {
        let snapshot = self.views.load();
        let table = snapshot.schema.table_by_id(piece.table);
        let table = table.ok_or("the table is not known here")?;
        let placement = snapshot.placement(&table.keyspace);
        let placement = Arc::clone(placement.map_err(|_| "the keyspace is not known here")?);
        let me = snapshot.cluster.me;
        for (arc, replicas) in placement.ranges() {
            let tokens = TokenRange {
                start: arc.start.max(piece.tokens.start),
                end: arc.end.min(piece.tokens.end),
            };
            // Of what this node is no replica of, nobody asks it.
            if tokens.start >= tokens.end || !replicas.contains(&me) {
                continue;
            }
            let others = Others::of(&snapshot, &placement, replicas);
            if others.peers.is_empty() {
                return Err("this node has the only replica: restore a snapshot, or truncate the table");
            }
            if !others.suffice(others.peers.iter().filter(|peer| peer.alive)) {
                return Err("too few other replicas are alive");
            }
            self.fetch(piece.table, tokens, &others).await?;
        }
        let healed = self.env.store().heal(piece).await;
        healed.map_err(|_| "the storage could not take it")
    }

    /// Reads a range from other replicas and applies here what they have.
    async fn fetch(&self, table: TableId, tokens: TokenRange, others: &Others) -> Result<(), &'static str> {
        let mut command = ReadCommand {
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
            now: self.env.wall().seconds(),
        };
        loop {
            let (page, missing) = self.fetch_page(&command, others).await?;
            // Whoever stamps a write of these rows after this has to be told what came in.
            if let Some(newest) = missing.iter().filter_map(|it| it.partition.newest()).max() {
                let counted = self.replica.count_as_written(newest).await;
                counted.map_err(|_| "the clock's floor can't be stored")?;
            }
            let applied = missing
                .into_iter()
                .map(|mutation| self.env.store().apply(mutation.into()));
            let applied = join_all(applied).await;
            if applied.iter().any(Result::is_err) {
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

    /// One page of enough other replicas, and what a replica lacks that has nothing of it.
    async fn fetch_page(
        &self,
        command: &ReadCommand,
        others: &Others,
    ) -> Result<(Page, Vec<Mutation>), &'static str> {
        let task = self.task(Consistency::All, self.timeouts.range, &Tracer::OFF);
        let alive = others.peers.iter().filter(|peer| peer.alive);
        let asked = alive.map(|peer| {
            let asked = self.fetch_data(peer, command.clone(), &task);
            async move { asked.await.map(|page| (peer, page)) }
        });
        let answers = join_all(asked).await;
        let (answered, mut pages): (Vec<&Arc<Peer>>, Vec<Page>) = answers.into_iter().flatten().unzip();
        if !others.suffice(answered) {
            return Err("too few other replicas answered");
        }
        pages.push(Page::default());
        let mut reconciled = reconcile(command, pages, EVERYTHING);
        Ok((reconciled.page, reconciled.missing.pop().unwrap_or_default()))
    }
}

/// The other replicas of a range, and how many of them have to be read.
struct Others {
    peers: Vec<Arc<Peer>>,
    needed: usize,
    /// Where this node stands, and how many have to be read there.
    datacenter: String,
    needed_near: usize,
}

impl Others {
    fn of(snapshot: &Snapshot, placement: &Placement, replicas: &[NodeId]) -> Self {
        let me = snapshot.cluster.me;
        let mut peers = snapshot.peers_of(replicas);
        peers.retain(|peer| peer.id != me);
        let own = snapshot.cluster.own();
        let datacenter = own.map_or_else(String::new, |own| own.datacenter.clone());
        // A quorum of those that are asked for, or all that there are.
        let enough = |factor: u32, others: usize| others.min(factor as usize / 2 + 1);
        let near = peers.iter().filter(|peer| peer.datacenter == datacenter).count();
        let asked = placement.replication();
        let asked_near = asked.by_datacenter().and_then(|asked| asked.get(&datacenter));
        Self {
            needed: enough(asked.total(), peers.len()),
            needed_near: asked_near.map_or(0, |asked| enough(*asked, near)),
            datacenter,
            peers,
        }
    }

    /// Whether these of them are enough.
    fn suffice<'a>(&self, peers: impl IntoIterator<Item = &'a Arc<Peer>>) -> bool {
        let (mut all, mut near) = (0, 0);
        for peer in peers {
            all += 1;
            near += usize::from(peer.datacenter == self.datacenter);
        }
        all >= self.needed && near >= self.needed_near
    }
}
