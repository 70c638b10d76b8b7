//! Sessions that an operator asks for.

use std::{pin::pin, sync::Arc};

use futures::{SinkExt, StreamExt, channel::mpsc, stream};
use serde::{Deserialize, Serialize};
use starling_cql::Error;
use starling_model::TokenRange;

use super::{AntiEntropy, schedule, session::Manner};
use crate::{env::Env, node::Node};

/// Progress that may wait to be read.
const WAITING: usize = 16;

/// Ranges that are compared at a time: the round trips of one are the work of another.
const AT_ONCE: usize = 4;

/// What is to be repaired. Everything, unless it says less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairRequest {
    /// One keyspace.
    pub keyspace: Option<String>,
    /// One table of it.
    pub table: Option<String>,
    /// The tokens; may wrap around.
    pub range: Option<TokenRange>,
    /// Tell what differs and change nothing.
    pub preview: bool,
}

/// How a repair is getting on. Each says what holds so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairProgress {
    /// Ranges that are done.
    pub done: u64,
    /// Ranges in all.
    pub ranges: u64,
    /// Rows compared.
    pub rows: u64,
    /// Parts of partitions that differed.
    pub differing: u64,
    /// Mutations written to replicas that lacked them.
    pub written: u64,
    /// Bytes of pages fetched because something differed.
    pub fetched: u64,
    /// Ranges that could not be compared on all their replicas.
    pub incomplete: u64,
    /// What is to be told of the last range; absent if nothing.
    pub message: Option<String>,
    /// It has ended.
    pub finished: bool,
}

impl<E: Env> Node<E> {
    /// Compares the replicas of ranges, and writes to each what it lacks. Ends the work when the receiver is dropped.
    ///
    /// Refused, and nothing is changed: for a keyspace or table that does not exist, and while as many repairs as
    /// are allowed run.
    pub fn repair(self: &Arc<Self>, request: RepairRequest) -> Result<mpsc::Receiver<RepairProgress>, Error> {
        self.anti_entropy.repair(request)
    }
}

impl<E: Env> AntiEntropy<E> {
    fn repair(self: &Arc<Self>, request: RepairRequest) -> Result<mpsc::Receiver<RepairProgress>, Error> {
        let ranges = self.wanted(&request)?;
        let permit = self.demanded.enter().ok_or_else(|| {
            Error::invalid("too many repairs run on this node; wait for one to end; nothing was changed")
        })?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let engine = Arc::clone(self);
        self.env.spawn(async move {
            engine.carry_out(request, ranges, sender).await;
            drop(permit);
        });
        Ok(receiver)
    }

    fn wanted(&self, request: &RepairRequest) -> Result<Vec<schedule::Range>, Error> {
        let snapshot = self.coordinator.views.load();
        if let Some(keyspace) = &request.keyspace {
            snapshot.placement(keyspace)?;
            if snapshot
                .schema
                .keyspace(keyspace)
                .is_some_and(|keyspace| keyspace.is_system())
            {
                return Err(Error::invalid(format!(
                    "keyspace '{keyspace}' is each node's own: it has no replicas to be repaired"
                )));
            }
            if let Some(table) = &request.table
                && snapshot.schema.table(keyspace, table).is_none()
            {
                return Err(Error::invalid(format!(
                    "table '{keyspace}.{table}' does not exist"
                )));
            }
        }
        let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        let all = schedule::arcs(&snapshot, |keyspace, table| {
            is(&request.keyspace, keyspace) && is(&request.table, table)
        });
        let Some(range) = request.range else {
            return Ok(all);
        };
        let parts = range.unwrapped();
        let cut = all.into_iter().flat_map(|arc| {
            let cut = parts.iter().map(|part| TokenRange {
                start: part.start.max(arc.tokens.start),
                end: part.end.min(arc.tokens.end),
            });
            let cut: Vec<TokenRange> = cut.filter(|tokens| tokens.start < tokens.end).collect();
            cut.into_iter().map(move |tokens| schedule::Range {
                tokens,
                ..arc.clone()
            })
        });
        Ok(cut.collect())
    }

    async fn carry_out(
        self: &Arc<Self>,
        request: RepairRequest,
        ranges: Vec<schedule::Range>,
        mut sender: mpsc::Sender<RepairProgress>,
    ) {
        let manner = Manner {
            preview: request.preview,
            patient: false,
        };
        let mut progress = RepairProgress {
            ranges: ranges.len() as u64,
            ..RepairProgress::default()
        };
        let watch = sender.clone();
        let is_unwanted = || watch.is_closed();
        let sessions = ranges.into_iter().map(|mut range| {
            let is_unwanted = &is_unwanted;
            async move {
                // Hours may have passed since the repair began: who was alive then may not be, and the other way round.
                range.refresh(&self.coordinator.views.load());
                let outcome = self.session(&range, manner, is_unwanted).await;
                (range, outcome)
            }
        });
        // In their order.
        let mut sessions = pin!(stream::iter(sessions).buffered(AT_ONCE));
        while let Some((range, outcome)) = sessions.next().await {
            let down: Vec<String> = range
                .replicas
                .iter()
                .filter(|peer| !peer.alive)
                .map(|peer| peer.address.to_string())
                .collect();
            progress.done += 1;
            let place = format!("{} {}", range.name, range.tokens);
            progress.message = match outcome {
                Ok(outcome) => {
                    progress.rows += outcome.rows;
                    progress.differing += outcome.differing;
                    progress.written += outcome.written;
                    progress.fetched += outcome.fetched;
                    let found = (outcome.differing > 0).then(|| {
                        format!(
                            "{place}: {} partitions or parts of them differed",
                            outcome.differing
                        )
                    });
                    let absent = (!down.is_empty())
                        .then(|| format!("{place}: without {}, which is down", down.join(", ")));
                    progress.incomplete += u64::from(absent.is_some());
                    absent.or(found)
                }
                Err(error) => {
                    progress.incomplete += 1;
                    Some(format!("{place}: {error}; what was repaired before is"))
                }
            };
            if sender.send(progress.clone()).await.is_err() || self.is_stopping() {
                return;
            }
        }
        progress.message = None;
        progress.finished = true;
        // Whoever asked may be gone.
        let _ = sender.send(progress).await;
    }
}
