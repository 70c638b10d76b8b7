//! Where a piece is cut whose partitions are too many or too large to be compared one by one.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use starling_model::{ClusteringRange, Consistency, DecoratedKey, KeyRange, Page, ReadCommand, TokenRange};

use super::{Session, SessionError, failed, frontier::Open};
use crate::{
    anti_entropy::{
        scan,
        wire::{Piece, SessionAnswer, SessionRequest},
    },
    env::Env,
    message::Failure,
    peers::AskError,
    snapshot::Peer,
    tracing::Tracer,
};

impl<E: Env> Session<'_, E> {
    /// Cuts pieces, each at places that a replica with most of it names. What can't be cut is to be read.
    pub(super) async fn cut(&mut self, pieces: Vec<(Open, usize)>) -> Result<(), SessionError> {
        let parts = pieces.iter().map(|(open, guide)| self.parts(&open.piece, *guide));
        let parts = try_join_all(parts).await?;
        for ((open, _), parts) in pieces.into_iter().zip(parts) {
            if parts.len() < 2 {
                self.frontier.read(open);
                continue;
            }
            for part in parts {
                self.frontier.sum(part, open.groups.clone());
            }
        }
        Ok(())
    }

    async fn parts(&self, piece: &Piece, guide: usize) -> Result<Vec<Piece>, SessionError> {
        let guide = &self.subject.replicas[guide];
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
                let parts = keys.iter().flat_map(|key| {
                    if alone {
                        cuts.by_rows(key, &ClusteringRange::ALL)
                    } else {
                        vec![Piece::rows_of(key.clone(), ClusteringRange::ALL)]
                    }
                });
                Ok(parts.collect())
            }
        }
    }

    /// The partitions that any replica has there.
    async fn keys_at(&self, range: TokenRange) -> Result<BTreeSet<DecoratedKey>, SessionError> {
        let keys = self.subject.replicas.iter().map(|peer| self.keys_of(peer, range));
        Ok(try_join_all(keys).await?.into_iter().flatten().collect())
    }

    async fn keys_of(&self, peer: &Peer, range: TokenRange) -> Result<Vec<DecoratedKey>, SessionError> {
        let mut command = scan::command(self.subject.table, &Piece::tokens(range), self.view);
        command.limits.rows_per_partition = 1;
        let mut keys = Vec::new();
        loop {
            let page = self.page(peer, &command).await?;
            keys.extend(page.partitions.into_iter().map(|part| part.key));
            if page.next.is_none() || page.next == command.after {
                return Ok(keys);
            }
            command.after = page.next;
        }
    }

    async fn page(&self, peer: &Peer, command: &ReadCommand) -> Result<Page, SessionError> {
        let coordinator = &self.engine.coordinator;
        let task = coordinator.task(Consistency::All, coordinator.timeouts.range, &Tracer::OFF);
        let page = coordinator.fetch_data(peer, command.clone(), &task).await;
        page.ok_or_else(|| {
            failed(
                peer,
                AskError::Failed(Failure::Storage("it gave no page".to_owned())),
            )
        })
    }
}
