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

use futures::future::join_all;
use starling_cql::Error;
use starling_model::{Mutation, Page, ReadCommand, TableId};

use super::{
    Coordinator, Task,
    read::{Answers, ReadPlan, Received},
    reconcile::reconcile,
};
use crate::{env::Env, snapshot::Peer, topology::quorum::Quorum};

/// About so many bytes of missing data travel together.
const MESSAGE_BYTES: usize = 1 << 20;

impl<E: Env> Coordinator<E> {
    /// Merges the pages of several replicas, and brings those that lack something up to date. Ends when
    /// enough replicas for the level hold what is returned.
    pub(super) async fn repair(
        self: &Arc<Self>,
        command: &ReadCommand,
        pages: Vec<(Arc<Peer>, Received)>,
        quorum: &Quorum,
        task: &Task,
    ) -> Result<Page, Error> {
        let pages = pages.into_iter().map(|(peer, received)| (peer, received.page));
        let (peers, pages): (Vec<Arc<Peer>>, Vec<Page>) = pages.unzip();
        let reconciled = reconcile(command, pages);
        if !self.repairs_reads(command.table) {
            return Ok(reconciled.page);
        }
        let repairs = peers
            .iter()
            .zip(reconciled.missing)
            .map(|(peer, missing)| self.repair_one(peer, missing, task));
        let repaired = join_all(repairs).await;
        let mut tally = quorum.tally();
        for (peer, repaired) in peers.iter().zip(repaired) {
            if repaired {
                tally.add(peer.id, &peer.datacenter);
            }
        }
        if tally.is_met() {
            return Ok(reconciled.page);
        }
        let plan = ReadPlan {
            quorum: quorum.clone(),
            contacts: Vec::new(),
            spares: std::collections::VecDeque::new(),
        };
        let held = peers.into_iter().map(|peer| (peer, Received::default()));
        let answers = Answers {
            // Fewer hold the value than answered: the error counts those that are not known to.
            pages: held.take(tally.received() as usize).collect(),
            ..Answers::default()
        };
        Err(self.read_error(task, &plan, &answers))
    }

    /// Whether the replica holds everything now.
    pub(super) async fn repair_one(&self, peer: &Arc<Peer>, missing: Vec<Mutation>, task: &Task) -> bool {
        if missing.is_empty() {
            return true;
        }
        self.counters.read_repairs.add(missing.len() as u64);
        task.tracer.note(
            || self.env.wall(),
            || format!("Repairing {} partitions on {}", missing.len(), peer.address),
        );
        for message in messages(missing) {
            if let Err(error) = self.write_repair(peer, message, task).await {
                if error.is_old_ring() {
                    task.outdated_by.lock().replace(Arc::clone(peer));
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
