//! Anti-entropy: replicas that missed a write and its hint come to have it all the same, and tombstones are let go
//! once nobody can lack them. `ALGORITHM.md` beside this file has the whole and why it holds.
//!
//! The chapters:
//! - [`digest`]: sums of hashes, equal for equal data; [`tree`]: a table's digests, kept up to date;
//! - [`wire`]: what replicas ask each other, with [`prints`]; `local`: how one answers, with `scan`;
//! - `session`: one range's replicas are compared and made equal;
//!   `fence`: who is no replica takes no part;
//! - `schedule`: sessions in the background, all the time; [`demand`]: sessions that an operator asks for;
//! - `repaired`: since when ranges are equal on all replicas, and what may be purged for it;
//! - [`divergence`]: what was found, for operators.

pub mod demand;
pub mod digest;
pub mod divergence;
mod fence;
mod local;
pub mod prints;
mod repaired;
pub(crate) mod scan;
mod schedule;
mod session;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;
use starling_model::{KeyRange, Mutation, NodeId, TableId, TokenRange};

use crate::{
    config::Repair,
    coordinator::Coordinator,
    deadline::Deadline,
    env::{Env, Store},
    gate::Gate,
    message::Failure,
    peers::Peers,
    replica::failure,
    start_error::StartError,
    status::Counters,
};
use divergence::Divergences;
use local::{Local, Question};
use repaired::RepairedRanges;
use tree::divide;
use wire::{MAX_PIECES, MAX_RANGES, Moment, Piece, SessionAnswer, SessionRequest};

/// Sessions that operators asked for and that run at a time.
const DEMANDED: usize = 4;

/// A node's part in anti-entropy.
pub(crate) struct AntiEntropy<E: Env> {
    pub(crate) env: E,
    me: NodeId,
    config: Repair,
    coordinator: Arc<Coordinator<E>>,
    peers: Arc<Peers<E>>,
    counters: Arc<Counters>,
    local: Arc<Local<E>>,
    repaired: RepairedRanges<E>,
    divergences: Mutex<Divergences>,
    demanded: Gate,
    stopping: AtomicBool,
}

impl<E: Env> AntiEntropy<E> {
    /// Reads from disk what is known to be repaired.
    pub(crate) fn open(
        coordinator: Arc<Coordinator<E>>,
        me: NodeId,
        config: Repair,
        hint_horizon: Duration,
    ) -> Result<Self, StartError> {
        let env = coordinator.env.clone();
        let timeouts = coordinator.timeouts;
        // No write of before a deletion can come to a replica when so much has passed since it.
        let horizon =
            hint_horizon + timeouts.write.max(timeouts.range) * 2 + timeouts.batch_replay + config.clock_skew;
        Ok(Self {
            me,
            peers: Arc::clone(&coordinator.peers),
            counters: Arc::clone(&coordinator.counters),
            local: Arc::new(Local::new(env.clone(), config.leaf_rows)),
            repaired: RepairedRanges::open(env.clone(), horizon)?,
            divergences: Mutex::default(),
            demanded: Gate::new(DEMANDED),
            stopping: AtomicBool::new(false),
            config,
            coordinator,
            env,
        })
    }

    /// Ends the work in the background.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Answers a coordinator of a session; `None` is a plain yes. Refused, and nothing is changed, where this node is no replica.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        request: SessionRequest,
        deadline: Deadline,
    ) -> Result<Option<SessionAnswer>, Failure> {
        let read = request.reads();
        let check = || match &read {
            Some((table, tokens)) => self.check_own(*table, tokens),
            None => Ok(()),
        };
        check()?;
        let answer = self.reply(request, deadline).await?;
        check()?;
        Ok(answer)
    }

    async fn reply(
        self: &Arc<Self>,
        request: SessionRequest,
        deadline: Deadline,
    ) -> Result<Option<SessionAnswer>, Failure> {
        let asked = |table, moment, patient| Question::new(table, moment, patient, deadline);
        let answer = match request {
            SessionRequest::Digests {
                table,
                moment,
                patient,
                pieces,
            } => self.digests(asked(table, moment, patient), &pieces).await?,
            SessionRequest::Parts {
                table,
                moment,
                patient,
                ranges,
            } => {
                check_ranges(&ranges)?;
                let parts = ranges.into_iter().flat_map(divide).map(Piece::tokens);
                let parts: Vec<Piece> = parts.collect();
                self.digests(asked(table, moment, patient), &parts).await?
            }
            SessionRequest::Prints {
                table,
                moment,
                patient,
                ranges,
            } => self.prints(asked(table, moment, patient), &ranges).await?,
            SessionRequest::Read {
                table,
                moment,
                patient,
                pieces,
            } => self.pages(asked(table, moment, patient), &pieces).await?,
            SessionRequest::Split { table, moment, piece } => {
                self.cuts(table, moment, &piece, deadline).await?
            }
            SessionRequest::Write {
                table,
                age_ms,
                mutations,
            } => {
                self.write(table, age_ms, mutations, deadline).await?;
                return Ok(None);
            }
            SessionRequest::Repaired {
                table,
                tokens,
                replicas,
                at,
            } => {
                self.note_repaired(table, tokens, &replicas, at).await;
                return Ok(None);
            }
        };
        Ok(Some(answer))
    }

    async fn digests(&self, asked: Question, pieces: &[Piece]) -> Result<SessionAnswer, Failure> {
        self.known(asked.table)?;
        check_pieces(pieces)?;
        let wall = self.env.wall().seconds();
        let sums = self.local.digests(asked, pieces).await.map_err(failure)?;
        Ok(SessionAnswer::Digests { wall, sums })
    }

    async fn prints(&self, asked: Question, ranges: &[TokenRange]) -> Result<SessionAnswer, Failure> {
        self.known(asked.table)?;
        check_ranges(ranges)?;
        let prints = self.local.prints(asked, ranges).await;
        Ok(SessionAnswer::Prints(prints.map_err(failure)?))
    }

    async fn pages(&self, asked: Question, pieces: &[Piece]) -> Result<SessionAnswer, Failure> {
        self.known(asked.table)?;
        check_pieces(pieces)?;
        let pages = self.local.pages(asked, pieces).await;
        Ok(SessionAnswer::Pages(pages.map_err(failure)?))
    }

    async fn cuts(
        &self,
        table: TableId,
        moment: Moment,
        piece: &Piece,
        deadline: Deadline,
    ) -> Result<SessionAnswer, Failure> {
        self.known(table)?;
        check(piece)?;
        let cuts = self.local.cuts(table, moment, piece, deadline).await;
        Ok(SessionAnswer::Cuts(cuts.map_err(failure)?))
    }

    /// Applies what a session found missing here, durably.
    async fn write(
        &self,
        table: TableId,
        age_ms: u64,
        mutations: Vec<Bytes>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        self.known(table)?;
        let mutations = mutations
            .into_iter()
            .map(|bytes| Mutation::decode(bytes).map_err(|error| Failure::Invalid(error.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
        let ring = Arc::clone(&self.coordinator.views.load().cluster.ring);
        let strange = |mutation: &Mutation| {
            mutation.table != table || ring.token(&mutation.key.key) != mutation.key.token
        };
        if mutations.iter().any(strange) {
            return Err(Failure::Invalid(
                "a mutation of another table, or a wrong token".to_owned(),
            ));
        }
        let tokens = mutations.iter().map(|mutation| fence::only(mutation.key.token));
        self.check_own(table, &tokens.collect())?;
        for mutation in &mutations {
            self.coordinator.replica.note(mutation).await?;
        }
        let began = self.env.monotonic().saturating_sub(Duration::from_millis(age_ms));
        let limit = self.coordinator.timeouts.truncate;
        let time = deadline.remaining(&self.env);
        let truncations = &self.coordinator.replica.truncations;
        let writes = truncations.unless_truncated(table, began, limit, || {
            let writes = mutations
                .into_iter()
                .map(|mutation| self.env.store().apply(mutation.into(), time));
            writes.collect::<Vec<_>>()
        });
        let writes =
            writes.ok_or_else(|| Failure::Invalid("the table was truncated meanwhile".to_owned()))?;
        self.counters.repair_rows_received.add(writes.len() as u64);
        let applied = deadline
            .within(&self.env, join_all(writes))
            .await
            .ok_or(Failure::Late)?;
        applied.into_iter().try_for_each(|result| result.map_err(failure))
    }

    fn known(&self, table: TableId) -> Result<(), Failure> {
        match self.coordinator.views.load().schema.table_by_id(table) {
            Some(_) => Ok(()),
            None => Err(Failure::UnknownTable(table)),
        }
    }
}

fn check_pieces(pieces: &[Piece]) -> Result<(), Failure> {
    if pieces.len() > MAX_PIECES {
        return Err(Failure::Invalid(format!("{} pieces at once", pieces.len())));
    }
    pieces.iter().try_for_each(check)
}

fn check_ranges(ranges: &[TokenRange]) -> Result<(), Failure> {
    if ranges.len() > MAX_RANGES {
        return Err(Failure::Invalid(format!("{} ranges at once", ranges.len())));
    }
    let mut pieces = ranges.iter().copied().map(Piece::tokens);
    pieces.try_for_each(|piece| check(&piece))
}

/// Pieces that no coordinator makes.
fn check(piece: &Piece) -> Result<(), Failure> {
    let wraps = matches!(&piece.keys, KeyRange::Tokens(range) if range.start >= range.end);
    if wraps || piece.rows.is_empty() {
        return Err(Failure::Invalid(
            "an empty piece, or one that wraps around".to_owned(),
        ));
    }
    Ok(())
}
