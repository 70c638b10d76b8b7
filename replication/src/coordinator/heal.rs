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
    read::Answer,
    reconcile::{EVERYTHING, reconcile},
};
use crate::{
    env::{Damaged, Env, Store},
    message::Failure,
    peers::AskError,
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
        let placement = placement.map_err(|_| "the keyspace is not known here")?;
        let stretches = stretches(&snapshot, placement, piece.tokens);
        if stretches.iter().any(|stretch| stretch.others.peers.is_empty()) {
            return Err("this node has the only replica: restore a snapshot, or truncate the table");
        }
        if !stretches.iter().all(Stretch::heals) {
            return Err("too few other replicas are alive");
        }
        self.write_anew(piece, &stretches).await
    }

    /// Fetches what others have of a damaged piece, and gives up what was damaged.
    pub(super) async fn write_anew(&self, piece: Damaged, stretches: &[Stretch]) -> Result<(), &'static str> {
        for stretch in stretches {
            self.fetch(piece.table, stretch.tokens, &stretch.others).await?;
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
            let asked = self.ask_for_page(peer, command.clone(), false, &task);
            async move { (peer, asked.await) }
        });
        let (mut answered, mut pages) = (Vec::new(), Vec::new());
        for (peer, answer) in join_all(asked).await {
            match answer {
                Ok(Answer::Page(received)) => {
                    answered.push(peer);
                    pages.push(received.page);
                }
                // What is there is all there is, and there it is not.
                Err(AskError::Failed(Failure::Damaged(_))) if others.are_all => {}
                Ok(Answer::Digest(_)) | Err(_) if others.are_all => {
                    return Err("a replica that is alive did not answer");
                }
                Ok(Answer::Digest(_)) | Err(_) => {}
            }
        }
        if !others.are_all && !others.suffice(answered) {
            return Err("too few other replicas answered");
        }
        pages.push(Page::default());
        let mut reconciled = reconcile(command, pages, EVERYTHING);
        Ok((reconciled.page, reconciled.missing.pop().unwrap_or_default()))
    }
}

/// A part of a damaged piece that has the same replicas throughout, this node among them.
pub(super) struct Stretch {
    tokens: TokenRange,
    others: Others,
}

/// The parts of these tokens. Of what this node is no replica of, nobody asks it.
pub(super) fn stretches(snapshot: &Snapshot, placement: &Placement, tokens: TokenRange) -> Vec<Stretch> {
    let me = snapshot.cluster.me;
    let owned = placement.ranges().filter(|(_, replicas)| replicas.contains(&me));
    let stretches = owned.map(|(arc, replicas)| Stretch {
        tokens: TokenRange {
            start: arc.start.max(tokens.start),
            end: arc.end.min(tokens.end),
        },
        others: Others::of(snapshot, placement, replicas),
    });
    let within = stretches.filter(|stretch| stretch.tokens.start < stretch.tokens.end);
    within.collect()
}

impl Stretch {
    /// Whether enough others are alive to give all of it back.
    pub(super) fn heals(&self) -> bool {
        let others = &self.others;
        !others.peers.is_empty() && others.suffice(others.peers.iter().filter(|peer| peer.alive))
    }

    /// The other replicas, dead ones too.
    pub(super) fn others(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.others.peers.iter()
    }

    /// Takes what those that are alive have for all there is.
    pub(super) fn accept_what_is_there(&mut self) {
        self.others.peers.retain(|peer| peer.alive);
        self.others.are_all = true;
    }
}

/// The other replicas of a range, and how many of them have to be read.
struct Others {
    peers: Vec<Arc<Peer>>,
    /// They are all that there will ever be: each has to answer, and what they have is enough.
    are_all: bool,
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
            are_all: false,
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
