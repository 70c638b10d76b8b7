//! Blocking read repair.
//!
//! Invariant: when a read at a level that overlaps with itself (QUORUM and the like) returns a value,
//! as many replicas as the level names hold it durably. So a later read at that level can't return an
//! older one: quorum reads are monotonic.
//!
//! A table with `read_repair = 'NONE'` does without: its reads merge what the replicas have, and leave them as they are.
//!
//! Bounded: a read's page bounds what can be missing; it goes to a replica in messages of [`MESSAGE_BYTES`], one after the
//! other, a partition in pieces if need be.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::BoxFuture, select_biased, stream::FuturesUnordered};
use starling_cql::{Error, ErrorKind};
use starling_model::{Mutation, NodeId, Page, ReadCommand, TableId};

use super::{
    Coordinator, Outdated, Task,
    answers::{Answers, Received},
    read::ReadPlan,
    reconcile::{EVERYTHING, reconcile},
};
use crate::{env::Env, snapshot::Peer, topology::quorum::Quorum};

/// About so many bytes of missing data travel together.
const MESSAGE_BYTES: usize = 1 << 20;

/// A repair of one replica; whether it holds everything now.
type Flight = BoxFuture<'static, (Arc<Peer>, bool)>;

impl<E: Env> Coordinator<E> {
    /// Merges the pages of several replicas, and brings those that lack something up to date. Ends as soon as
    /// enough replicas for the level hold what is returned; the others are repaired in the background.
    pub(super) async fn repair(
        self: &Arc<Self>,
        command: &ReadCommand,
        pages: Vec<(Arc<Peer>, Received)>,
        quorum: &Quorum,
        task: &Task,
    ) -> Result<Page, Error> {
        let pages = pages.into_iter().map(|(peer, received)| (peer, received.page));
        let (peers, pages): (Vec<Arc<Peer>>, Vec<Page>) = pages.unzip();
        let reconciled = reconcile(command, pages, self.replica.purgeable.before(command));
        if !self.repairs_reads(command.table) {
            return Ok(reconciled.page);
        }
        let (mut stale, mut held) = (Vec::new(), Vec::new());
        for (peer, missing) in peers.iter().zip(reconciled.missing) {
            if missing.is_empty() {
                held.push(Arc::clone(peer));
            } else {
                stale.push((Arc::clone(peer), missing));
            }
        }
        let repaired = self.mend(command, &reconciled.page, stale, &mut held, quorum, task);
        if repaired.await {
            return Ok(reconciled.page);
        }
        if matches!(*task.outdated.lock(), Some(Outdated::Table)) {
            return Err(being_truncated(task, quorum, held.len()));
        }
        let plan = ReadPlan {
            quorum: quorum.clone(),
            contacts: Vec::new(),
            spares: std::collections::VecDeque::new(),
        };
        let held = held.into_iter().map(|peer| (peer, Received::default()));
        let answers = Answers {
            // Fewer hold the value than answered: the error counts those that are not known to.
            pages: held.collect(),
            ..Answers::default()
        };
        Err(self.read_error(task, &plan, &answers))
    }

    /// Repairs `stale` replicas until those that hold `page` are enough for the level; whether they are. In the place of
    /// one that fails, or is slow, a replica that was not asked gets all of the page.
    async fn mend(
        self: &Arc<Self>,
        command: &ReadCommand,
        page: &Page,
        stale: Vec<(Arc<Peer>, Vec<Mutation>)>,
        held: &mut Vec<Arc<Peer>>,
        quorum: &Quorum,
        task: &Task,
    ) -> bool {
        let mut tally = quorum.tally();
        for peer in held.iter() {
            tally.add(peer.id, &peer.datacenter);
        }
        let asked: Vec<NodeId> = held
            .iter()
            .chain(stale.iter().map(|(peer, _)| peer))
            .map(|peer| peer.id)
            .collect();
        let patience = stale
            .iter()
            .map(|(peer, _)| peer.latency.suspicious_after(task.timeout))
            .max();
        let mut slow = self.env.sleep(patience.unwrap_or(task.timeout)).boxed().fuse();
        let mut under_way: FuturesUnordered<Flight> = stale
            .into_iter()
            .map(|(peer, missing)| self.fly_repair(peer, missing, task))
            .collect();
        let mut spares = self.not_among(&asked, quorum);
        while !tally.is_met() {
            let ended = select_biased! {
                ended = under_way.next() => match ended {
                    Some(ended) => Some(ended),
                    None => return false,
                },
                () = slow => None,
            };
            if let Some((peer, true)) = ended {
                tally.add(peer.id, &peer.datacenter);
                held.push(peer);
                continue;
            }
            if task.outdated.lock().is_some() {
                // To be planned again.
                return false;
            }
            let useful = |spare: &Arc<Peer>| tally.clone().add(spare.id, &spare.datacenter);
            if let Some(at) = spares.iter().position(useful)
                && !task.deadline.is_over(&self.env)
            {
                let all = reconcile(command, vec![page.clone(), Page::default()], EVERYTHING).missing;
                let all = all.into_iter().nth(1).unwrap_or_default();
                under_way.push(self.fly_repair(spares.swap_remove(at), all, task));
            }
        }
        if !under_way.is_empty() {
            self.env
                .spawn(async move { under_way.for_each(|_| std::future::ready(())).await });
        }
        true
    }

    fn fly_repair(self: &Arc<Self>, peer: Arc<Peer>, missing: Vec<Mutation>, task: &Task) -> Flight {
        let (coordinator, task) = (Arc::clone(self), task.clone());
        async move {
            let repaired = coordinator.repair_one(&peer, missing, &task).await;
            (peer, repaired)
        }
        .boxed()
    }

    /// The live replicas that count for the level and are not these.
    fn not_among(&self, asked: &[NodeId], quorum: &Quorum) -> Vec<Arc<Peer>> {
        let mut peers = self.views.load().peers_of(&quorum.sets.all());
        peers.retain(|peer| {
            peer.alive && !asked.contains(&peer.id) && quorum.requirements.counts(&peer.datacenter)
        });
        peers
    }

    /// Whether the replica holds everything now. Nothing is repaired if the table was truncated since the task began, or is
    /// being truncated: what is missing may be missing for that.
    pub(super) async fn repair_one(&self, peer: &Arc<Peer>, missing: Vec<Mutation>, task: &Task) -> bool {
        let Some(first) = missing.first() else {
            return true;
        };
        let table = first.table;
        self.counters.read_repairs.add(missing.len() as u64);
        task.tracer.note(
            || self.env.wall(),
            || format!("Repairing {} partitions on {}", missing.len(), peer.address),
        );
        for message in messages(missing) {
            let truncations = &self.replica.truncations;
            if !truncations.lets_repair(table, task.era, self.env.monotonic()) {
                task.outdated.lock().replace(Outdated::Table);
                return false;
            }
            if let Err(error) = self.write_repair(peer, message, task).await {
                if error.is_old_ring() {
                    task.outdated.lock().replace(Outdated::Ring(Arc::clone(peer)));
                } else if error.is_truncated() {
                    task.outdated.lock().replace(Outdated::Table);
                }
                ::tracing::debug!(%error, peer = %peer.address, "a read repair was not acknowledged");
                return false;
            }
        }
        true
    }

    fn repairs_reads(&self, table: TableId) -> bool {
        let snapshot = self.views.load();
        let table = snapshot.schema.table_by_id(table);
        table.is_none_or(|table| table.options.repairs_reads())
    }
}

/// What a client is told whose read could not be carried out anew in time.
fn being_truncated(task: &Task, quorum: &Quorum, held: usize) -> Error {
    let kind = ErrorKind::ReadTimeout {
        consistency: task.consistency,
        received: u32::try_from(held).unwrap_or(u32::MAX),
        required: quorum.requirements.block_for(),
        data_present: true,
    };
    let message =
        "Operation timed out: replicas differ, and are not repaired while the table is being truncated";
    Error::new(kind, message.to_owned())
}

/// What a replica lacks, in as many messages as it takes.
fn messages(missing: Vec<Mutation>) -> Vec<Vec<Mutation>> {
    let mut messages: Vec<Vec<Mutation>> = Vec::new();
    let mut bytes = MESSAGE_BYTES;
    for piece in missing
        .into_iter()
        .flat_map(|mutation| mutation.pieces(MESSAGE_BYTES))
    {
        let more = piece.partition.weight();
        match messages.last_mut() {
            Some(message) if bytes + more <= MESSAGE_BYTES => {
                message.push(piece);
                bytes += more;
            }
            _ => {
                messages.push(vec![piece]);
                bytes = more;
            }
        }
    }
    messages
}
