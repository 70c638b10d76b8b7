//! One session: the replicas of one range are compared, and what one of them lacks is written to it.
//!
//! Top-down. All are asked for the digests of a piece; where those differ the piece is cut, first along the grid of
//! tokens, then by rows at places that the replica with most rows names (range-based set reconciliation, Meyer
//! 2023), until a piece is small. Then one replica of each digest is read, and the pages are merged by the law of the
//! model. So the cost is proportional to the difference, also within a partition, and memory is bounded by pages.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::{join_all, try_join_all};
use starling_model::{
    ClusteringRange, Consistency, DecoratedKey, KeyRange, Mutation, Seconds, TableId, TokenRange,
};

use super::{
    AntiEntropy,
    digest::View,
    scan,
    tree::divide,
    wire::{MAX_PIECES, Moment, Piece, SessionAnswer, SessionRequest, Summed},
};
use crate::{
    coordinator::{Task, reconcile::reconcile},
    deadline::Deadline,
    env::Env,
    message::{Failure, Request, Response},
    peers::AskError,
    snapshot::Peer,
    tracing::Tracer,
};

/// Rows of a piece that is read rather than cut.
const SMALL_ROWS: u64 = 16;

/// Pieces that are compared at a time.
const BATCH: usize = 64;

/// How often a replica may answer without progress.
const ATTEMPTS: u32 = 30;

/// What a session is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) table: TableId,
    pub(crate) grace: u32,
    /// Does not wrap.
    pub(crate) tokens: TokenRange,
    /// The replicas that take part, all of them alive.
    pub(crate) replicas: Vec<Arc<Peer>>,
}

/// How it goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Tells what differs and writes nothing.
    pub(crate) preview: bool,
    /// Nobody waits.
    pub(crate) patient: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Rows compared, of the replica with most.
    pub(crate) rows: u64,
    /// Partitions' parts that some replica lacked something of.
    pub(crate) differing: u64,
    /// Mutations written, counted for each replica.
    pub(crate) written: u64,
    /// Bytes of pages that were fetched because something differed.
    pub(crate) fetched: u64,
    /// All that was written before this second was compared.
    pub(crate) at: Seconds,
}

/// Why a session ended early. What was repaired until then is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("{peer}: {error}")]
    Replica {
        peer: std::net::SocketAddr,
        error: AskError,
    },
    #[error("{0} gives no complete digest in time")]
    Stuck(std::net::SocketAddr),
    #[error("the node is stopping")]
    Stopping,
}

pub(crate) struct Session<'a, E: Env> {
    engine: &'a Arc<AntiEntropy<E>>,
    subject: Subject,
    manner: Manner,
    view: View,
    /// By the monotonic clock.
    began: Duration,
    outcome: Outcome,
}

/// Replicas with the same digest.
type Group = ((u128, u64), Vec<Arc<Peer>>);

/// A piece and what each replica has of it.
type Compared = (Piece, Vec<Summed>);

impl<'a, E: Env> Session<'a, E> {
    pub(crate) fn new(engine: &'a Arc<AntiEntropy<E>>, subject: Subject, manner: Manner) -> Self {
        let env = &engine.env;
        let now = env.wall().seconds();
        Self {
            view: View {
                now,
                grace: subject.grace,
            },
            began: env.monotonic(),
            outcome: Outcome {
                rows: 0,
                differing: 0,
                written: 0,
                fetched: 0,
                at: now,
            },
            engine,
            subject,
            manner,
        }
    }

    /// Compares and repairs. When it ends well the replicas that took part have everything that any of them had when it began.
    pub(crate) async fn run(mut self) -> Result<Outcome, SessionError> {
        let whole = Piece::tokens(self.subject.tokens);
        let first = self.compare(vec![whole]).await?;
        for (_, sums) in &first {
            self.outcome.rows += sums.iter().map(|sum| sum.rows).max().unwrap_or(0);
        }
        let mut left: Vec<Piece> = Vec::new();
        for compared in first {
            self.descend(compared, &mut left).await?;
        }
        while !left.is_empty() {
            if self.engine.is_stopping() {
                return Err(SessionError::Stopping);
            }
            // From the end: so few pieces wait at any time.
            let batch = left.split_off(left.len().saturating_sub(BATCH));
            for compared in self.compare(batch).await? {
                self.descend(compared, &mut left).await?;
            }
        }
        Ok(self.outcome)
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.view.now,
            grace: self.view.grace,
            age_ms: self.age_ms(),
        }
    }

    fn age_ms(&self) -> u64 {
        let age = self.engine.env.monotonic().saturating_sub(self.began);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// What each replica has of each piece.
    async fn compare(&mut self, pieces: Vec<Piece>) -> Result<Vec<Compared>, SessionError> {
        let asked = self.subject.replicas.iter().map(|peer| self.sums(peer, &pieces));
        let answers = try_join_all(asked).await?;
        let mut compared: Vec<Compared> = pieces.into_iter().map(|piece| (piece, Vec::new())).collect();
        for (wall, sums) in answers {
            self.outcome.at = self.outcome.at.min(wall);
            for ((_, all), sum) in compared.iter_mut().zip(sums) {
                all.push(sum);
            }
        }
        Ok(compared)
    }

    /// One replica's digests, asked for until they are complete.
    async fn sums(&self, peer: &Peer, pieces: &[Piece]) -> Result<(Seconds, Vec<Summed>), SessionError> {
        let mut total = vec![
            Summed {
                sum: 0,
                rows: 0,
                rest: None,
            };
            pieces.len()
        ];
        let mut open: Vec<(usize, Piece)> = pieces.iter().cloned().enumerate().collect();
        let mut earliest = Seconds::MAX;
        let mut attempts = 0;
        while !open.is_empty() {
            let batch: Vec<(usize, Piece)> = open.drain(..open.len().min(MAX_PIECES)).collect();
            let asked: Vec<Piece> = batch.iter().map(|(_, piece)| piece.clone()).collect();
            let request = SessionRequest::Digests {
                table: self.subject.table,
                moment: self.moment(),
                patient: self.manner.patient,
                pieces: asked.clone(),
            };
            let (wall, sums) = match self.ask(peer, request).await? {
                SessionAnswer::Digests { wall, sums } if sums.len() == batch.len() => (wall, sums),
                _ => return Err(failed(peer, AskError::Confused)),
            };
            earliest = earliest.min(wall);
            let mut progress = false;
            for ((at, piece), sum) in batch.into_iter().zip(sums) {
                total[at].sum = total[at].sum.wrapping_add(sum.sum);
                total[at].rows += sum.rows;
                progress |= sum.rest.as_ref() != Some(&piece);
                open.extend(sum.rest.map(|rest| (at, rest)));
            }
            attempts = if progress { 0 } else { attempts + 1 };
            if attempts > ATTEMPTS {
                return Err(SessionError::Stuck(peer.address));
            }
        }
        Ok((earliest, total))
    }

    /// Cuts or repairs a piece on which the replicas differ.
    async fn descend(&mut self, (piece, sums): Compared, left: &mut Vec<Piece>) -> Result<(), SessionError> {
        let Some(first) = sums.first() else { return Ok(()) };
        if sums
            .iter()
            .all(|sum| (sum.sum, sum.rows) == (first.sum, first.rows))
        {
            return Ok(());
        }
        let most = sums.iter().map(|sum| sum.rows).max().unwrap_or(0);
        let least = sums.iter().map(|sum| sum.rows).min().unwrap_or(0);
        if most <= SMALL_ROWS || least == 0 {
            return self.repair(&piece, &sums).await;
        }
        if let KeyRange::Tokens(range) = &piece.keys {
            let parts = divide(*range);
            if parts.len() > 1 {
                left.extend(parts.into_iter().map(Piece::tokens));
                return Ok(());
            }
        }
        let parts = self.cut(&piece, &sums).await?;
        if parts.len() < 2 {
            return self.repair(&piece, &sums).await;
        }
        left.extend(parts);
        Ok(())
    }

    /// The parts of a piece within a cell.
    async fn cut(&self, piece: &Piece, sums: &[Summed]) -> Result<Vec<Piece>, SessionError> {
        let (_, guide) = sums
            .iter()
            .zip(&self.subject.replicas)
            .max_by_key(|(sum, _)| sum.rows)
            .map_or((0, &self.subject.replicas[0]), |(sum, peer)| (sum.rows, peer));
        let request = SessionRequest::Split {
            table: self.subject.table,
            moment: self.moment(),
            piece: piece.clone(),
        };
        let SessionAnswer::Cuts(cuts) = self.ask(guide, request).await? else {
            return Err(failed(guide, AskError::Confused));
        };
        match &piece.keys {
            KeyRange::Partition(key) => Ok(cuts.by_rows(key, &piece.rows)),
            KeyRange::Tokens(range) => {
                let parts = cuts.by_tokens(*range);
                if parts.len() > 1 {
                    return Ok(parts);
                }
                // One token: one partition, but for those whose keys' hashes are the same.
                let keys = self.keys_at(*range).await?;
                let alone = keys.len() == 1;
                Ok(keys
                    .iter()
                    .flat_map(|key| {
                        if alone {
                            cuts.by_rows(key, &ClusteringRange::ALL)
                        } else {
                            vec![Piece::rows_of(key.clone(), ClusteringRange::ALL)]
                        }
                    })
                    .collect())
            }
        }
    }

    /// The partitions that any replica has there.
    async fn keys_at(&self, range: TokenRange) -> Result<BTreeSet<DecoratedKey>, SessionError> {
        let mut command = scan::command(self.subject.table, &Piece::tokens(range), self.view);
        command.limits.rows_per_partition = 1;
        let mut keys = BTreeSet::new();
        for peer in &self.subject.replicas {
            command.after = None;
            loop {
                let task = self.task();
                let page = self.page(peer, &command, &task).await?;
                keys.extend(page.partitions.into_iter().map(|part| part.key));
                if page.next.is_none() || page.next == command.after {
                    break;
                }
                command.after = page.next;
            }
        }
        Ok(keys)
    }

    /// Reads a piece from one replica of each digest, and writes to each what it lacks.
    async fn repair(&mut self, piece: &Piece, sums: &[Summed]) -> Result<(), SessionError> {
        let mut groups: Vec<Group> = Vec::new();
        for (sum, peer) in sums.iter().zip(&self.subject.replicas) {
            let digest = (sum.sum, sum.rows);
            match groups.iter_mut().find(|(other, _)| *other == digest) {
                Some((_, peers)) => peers.push(Arc::clone(peer)),
                None => groups.push((digest, vec![Arc::clone(peer)])),
            }
        }
        let mut command = scan::command(self.subject.table, piece, self.view);
        loop {
            let begun = self.engine.env.monotonic();
            let task = self.task();
            let reads = groups
                .iter()
                .map(|(_, peers)| self.page(&peers[0], &command, &task));
            let pages = try_join_all(reads).await?;
            let fetched = pages
                .iter()
                .flat_map(|page| &page.partitions)
                .map(|part| part.partition.weight() as u64)
                .sum::<u64>();
            self.outcome.fetched += fetched;
            let reconciled = reconcile(&command, pages);
            let differing: BTreeSet<&DecoratedKey> = reconciled
                .missing
                .iter()
                .flatten()
                .map(|mutation| &mutation.key)
                .collect();
            self.outcome.differing += differing.len() as u64;
            if !self.manner.preview {
                let mut writes = Vec::new();
                for ((_, peers), missing) in groups.iter().zip(&reconciled.missing) {
                    writes.extend(peers.iter().map(|peer| self.write(peer, missing)));
                }
                for written in join_all(writes).await {
                    self.outcome.written += written?;
                }
            }
            self.rest(fetched, begun).await;
            let next = reconciled.page.next;
            if next.is_none() {
                return Ok(());
            }
            if next == command.after {
                return Err(failed(&groups[0].1[0], AskError::Confused));
            }
            command.after = next;
        }
    }

    /// Keeps to the rate, where nobody waits.
    async fn rest(&self, bytes: u64, begun: Duration) {
        if !self.manner.patient {
            return;
        }
        let env = &self.engine.env;
        let due = Duration::from_micros(bytes.saturating_mul(1_000_000) / self.engine.config.rate.max(1));
        env.sleep(due.saturating_sub(env.monotonic().saturating_sub(begun)))
            .await;
    }

    async fn page(
        &self,
        peer: &Peer,
        command: &starling_model::ReadCommand,
        task: &Task,
    ) -> Result<starling_model::Page, SessionError> {
        let page = self
            .engine
            .coordinator
            .fetch_data(peer, command.clone(), task)
            .await;
        page.ok_or_else(|| {
            failed(
                peer,
                AskError::Failed(Failure::Storage("it gave no page".to_owned())),
            )
        })
    }

    /// Writes what a replica lacks; ends when it is durable there. Returns how many mutations those were.
    async fn write(&self, peer: &Peer, missing: &[Mutation]) -> Result<u64, SessionError> {
        if missing.is_empty() {
            return Ok(0);
        }
        let request = SessionRequest::Write {
            table: self.subject.table,
            age_ms: self.age_ms(),
            mutations: missing.iter().map(Mutation::encode).collect(),
        };
        let timeout = self.engine.coordinator.timeouts.range;
        match self.engine.ask(peer, request, timeout).await {
            Ok(_) => Ok(missing.len() as u64),
            Err(error) => Err(failed(peer, error)),
        }
    }

    fn task(&self) -> Task {
        let coordinator = &self.engine.coordinator;
        coordinator.task(Consistency::All, coordinator.timeouts.range, &Tracer::OFF)
    }

    async fn ask(&self, peer: &Peer, request: SessionRequest) -> Result<SessionAnswer, SessionError> {
        let timeout = self.engine.coordinator.timeouts.range;
        match self.engine.ask(peer, request, timeout).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(failed(peer, AskError::Confused)),
            Err(error) => Err(failed(peer, error)),
        }
    }
}

impl<E: Env> AntiEntropy<E> {
    /// Asks a replica, which may be this node itself.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        peer: &Peer,
        request: SessionRequest,
        timeout: Duration,
    ) -> Result<Option<SessionAnswer>, AskError> {
        if peer.id == self.me {
            let deadline = Deadline::after(&self.env, timeout);
            return Ok(self.answer(request, deadline).await?);
        }
        let body = Request::AntiEntropy(request);
        match self.peers.ask(peer, body, timeout, &Tracer::OFF).await? {
            Response::AntiEntropy(answer) => Ok(Some(answer)),
            Response::Done => Ok(None),
            _ => Err(AskError::Confused),
        }
    }
}

fn failed(peer: &Peer, error: AskError) -> SessionError {
    SessionError::Replica {
        peer: peer.address,
        error,
    }
}
