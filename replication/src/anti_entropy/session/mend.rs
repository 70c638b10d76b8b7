//! What differs is read and made equal.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use starling_model::{DecoratedKey, Mutation, Page};

use super::{Session, SessionError, failed, frontier::Open};
use crate::{
    anti_entropy::{
        scan,
        wire::{Piece, SessionAnswer, SessionRequest},
    },
    coordinator::reconcile::reconcile,
    env::Env,
    message::Failure,
    peers::AskError,
    snapshot::Peer,
};

impl<E: Env> Session<'_, E> {
    /// Reads a page of each piece from one replica of each set, and writes to all what they lack. Pieces that
    /// go on behind their page, and those that did not fit the replicas' answers, are to be read again.
    pub(super) async fn mend(&mut self, pieces: Vec<Open>) -> Result<(), SessionError> {
        let begun = self.engine.env.monotonic();
        let replicas = self.subject.replicas.iter().enumerate();
        let answers = replicas.map(|(replica, peer)| {
            let its = pieces.iter().filter(|open| open.groups.has_speaker(replica));
            self.pages(peer, its.map(|open| open.piece.clone()).collect())
        });
        let mut answers: Vec<_> = try_join_all(answers)
            .await?
            .into_iter()
            .map(Vec::into_iter)
            .collect();
        let mut writes: Vec<Vec<Bytes>> = vec![Vec::new(); answers.len()];
        let known = self.outcome.differing;
        let mut fetched = 0;
        let mut left: Vec<Open> = Vec::new();
        for open in pieces {
            let pages = open.groups.speakers().map(|speaker| answers[speaker].next());
            let pages: Vec<Option<Page>> = pages.collect();
            match pages.into_iter().collect::<Option<Vec<Page>>>() {
                Some(pages) => {
                    fetched += weight(&pages);
                    left.extend(self.reconcile(open, pages, &mut writes)?);
                }
                None => left.push(open),
            }
        }
        for open in left {
            self.frontier.read(open);
        }
        self.outcome.fetched += fetched;
        if !self.manner.preview {
            self.write(writes).await?;
            self.outcome.settled += self.outcome.differing - known;
        }
        self.rest(fetched, begun).await;
        Ok(())
    }

    /// Adds what each replica lacks of a page to `writes`; returns what is left of the piece behind it.
    fn reconcile(
        &mut self,
        open: Open,
        pages: Vec<Page>,
        writes: &mut [Vec<Bytes>],
    ) -> Result<Option<Open>, SessionError> {
        let command = scan::command(self.subject.table, &open.piece, self.view);
        let reconciled = reconcile(&command, pages, self.view.forgettable());
        let missing = || reconciled.missing.iter();
        let differing: BTreeSet<&DecoratedKey> = missing().flatten().map(|mutation| &mutation.key).collect();
        self.outcome.differing += differing.len() as u64;
        for (missing, replicas) in missing().zip(open.groups.sets()) {
            let encoded: Vec<Bytes> = missing.iter().map(Mutation::encode).collect();
            for replica in replicas {
                writes[*replica].extend_from_slice(&encoded);
            }
        }
        let after = reconciled.page.next;
        if after.is_none() {
            return Ok(None);
        }
        if after == open.piece.after {
            let speaker = open.groups.speakers().next().unwrap_or(0);
            return Err(failed(&self.subject.replicas[speaker], AskError::Confused));
        }
        let piece = Piece { after, ..open.piece };
        Ok(Some(Open { piece, ..open }))
    }

    /// Pages of the first pieces.
    async fn pages(&self, peer: &Peer, pieces: Vec<Piece>) -> Result<Vec<Page>, SessionError> {
        if pieces.is_empty() {
            return Ok(Vec::new());
        }
        let most = pieces.len();
        let request = SessionRequest::Read {
            table: self.subject.table,
            moment: self.moment(),
            patient: self.manner.patient,
            pieces,
        };
        let pages = match self.ask(peer, request).await? {
            SessionAnswer::Pages(pages) if (1..=most).contains(&pages.len()) => pages,
            _ => return Err(failed(peer, AskError::Confused)),
        };
        let decoded = pages.into_iter().map(Page::decode).collect::<Result<_, _>>();
        decoded.map_err(|_| failed(peer, AskError::Confused))
    }

    /// Writes what each replica lacks; ends when it is durable there.
    async fn write(&mut self, writes: Vec<Vec<Bytes>>) -> Result<(), SessionError> {
        let coordinator = &self.engine.coordinator;
        let (table, limit) = (self.subject.table, coordinator.timeouts.truncate);
        let truncations = &coordinator.replica.truncations;
        let is_truncated = truncations
            .unless_truncated(table, self.began, limit, || ())
            .is_none();
        let replicas = self.subject.replicas.iter().zip(writes);
        let lacking = replicas.filter(|(_, mutations)| !mutations.is_empty());
        let written = lacking.map(|(peer, mutations)| async {
            let count = mutations.len() as u64;
            let request = SessionRequest::Write {
                table: self.subject.table,
                age_ms: self.age_ms(),
                mutations,
            };
            let timeout = self.engine.coordinator.timeouts.range;
            // A replica that has restarted since does not know it.
            if is_truncated {
                return Err(failed(peer, AskError::Failed(Failure::Truncated)));
            }
            match self.engine.ask(peer, request, timeout).await {
                Ok(_) => Ok(count),
                Err(error) => Err(failed(peer, error)),
            }
        });
        // All of them come to an end, also if one fails.
        for written in join_all(written).await {
            self.outcome.written += written?;
        }
        Ok(())
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
}

/// Bytes of content.
fn weight(pages: &[Page]) -> u64 {
    let parts = pages.iter().flat_map(|page| &page.partitions);
    parts.map(|part| part.partition.weight() as u64).sum()
}
