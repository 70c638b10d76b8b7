//! The replicas' digests of pieces, ranges' parts and partitions.

use std::{collections::BTreeMap, vec};

use futures::future::try_join_all;
use starling_model::{Seconds, Token, TokenRange};

use super::{
    Session, SessionError, failed,
    frontier::{Open, OpenRange},
    groups::{Groups, Sum},
};
use crate::{
    anti_entropy::{
        prints::Print,
        tree::divide,
        wire::{MAX_PIECES, Piece, SessionAnswer, SessionRequest},
    },
    env::Env,
    peers::AskError,
    snapshot::Peer,
};

/// How often a replica may answer without progress.
const ATTEMPTS: u32 = 30;

/// What a question is about, and who is asked.
struct Asked {
    groups: Groups,
    /// The range whose parts these are, if they are asked for by it.
    range: Option<TokenRange>,
    parts: Vec<Piece>,
}

impl<E: Env> Session<'_, E> {
    /// Compares pieces. Returns how many rows they have in all, on the replica with most.
    pub(super) async fn sum(&mut self, pieces: Vec<Open>) -> Result<u64, SessionError> {
        let asked = pieces.into_iter().map(|open| Asked {
            groups: open.groups,
            range: None,
            parts: vec![open.piece],
        });
        self.compare(asked.collect()).await
    }

    /// Compares the parts of ranges.
    pub(super) async fn divide(&mut self, ranges: Vec<OpenRange>) -> Result<(), SessionError> {
        let asked = ranges.into_iter().map(|open| Asked {
            groups: open.groups,
            range: Some(open.range),
            parts: divide(open.range).into_iter().map(Piece::tokens).collect(),
        });
        self.compare(asked.collect()).await.map(|_| ())
    }

    async fn compare(&mut self, asked: Vec<Asked>) -> Result<u64, SessionError> {
        let replicas = self.subject.replicas.iter().enumerate();
        let answers = replicas.map(|(replica, peer)| {
            let its: Vec<&Asked> = asked
                .iter()
                .filter(|asked| asked.groups.has_speaker(replica))
                .collect();
            self.sums(peer, its)
        });
        let mut answers: Vec<vec::IntoIter<Sum>> = try_join_all(answers)
            .await?
            .into_iter()
            .map(|(wall, sums)| {
                self.outcome.at = self.outcome.at.min(wall);
                sums.into_iter()
            })
            .collect();
        let mut rows = 0;
        for Asked { groups, parts, .. } in asked {
            let said: Vec<Vec<Sum>> = groups
                .speakers()
                .map(|speaker| answers[speaker].by_ref().take(parts.len()).collect())
                .collect();
            for (at, part) in parts.into_iter().enumerate() {
                let said: Vec<Sum> = said.iter().map(|sums| sums[at]).collect();
                let most = said.iter().map(|sum| sum.rows).max().unwrap_or(0);
                rows = most.saturating_add(rows);
                self.frontier.compared(part, &groups, &said);
            }
        }
        Ok(rows)
    }

    /// One replica's digests, asked for until they are complete; and its clock, before that.
    async fn sums(&self, peer: &Peer, asked: Vec<&Asked>) -> Result<(Seconds, Vec<Sum>), SessionError> {
        let pieces = asked.iter().flat_map(|asked| asked.parts.iter().cloned());
        let mut open: Vec<(usize, Piece)> = pieces.enumerate().collect();
        let ranges: Option<Vec<TokenRange>> = asked.iter().map(|asked| asked.range).collect();
        let mut ranges = ranges.filter(|ranges| !ranges.is_empty());
        let mut total: Vec<Sum> = vec![Sum::NOTHING; open.len()];
        let mut earliest = Seconds::MAX;
        let mut attempts = 0;
        while !open.is_empty() {
            let batch: Vec<(usize, Piece)> = open.drain(..open.len().min(MAX_PIECES)).collect();
            let (table, moment, patient) = (self.subject.table, self.moment(), self.manner.patient);
            let request = match ranges.take() {
                Some(ranges) => SessionRequest::Parts {
                    table,
                    moment,
                    patient,
                    ranges,
                },
                None => SessionRequest::Digests {
                    table,
                    moment,
                    patient,
                    pieces: batch.iter().map(|(_, piece)| piece.clone()).collect(),
                },
            };
            let (wall, sums) = match self.ask(peer, request).await? {
                SessionAnswer::Digests { wall, sums } if sums.len() == batch.len() => (wall, sums),
                _ => return Err(failed(peer, AskError::Confused)),
            };
            earliest = earliest.min(wall);
            let mut progress = false;
            for ((at, piece), sum) in batch.into_iter().zip(sums) {
                total[at].add(&sum);
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

    /// Compares ranges partition by partition.
    pub(super) async fn print(&mut self, ranges: Vec<OpenRange>) -> Result<(), SessionError> {
        let replicas = self.subject.replicas.iter().enumerate();
        let answers = replicas.map(|(replica, peer)| {
            let its = ranges.iter().filter(|open| open.groups.has_speaker(replica));
            self.prints(peer, its.map(|open| open.range).collect())
        });
        let answers = try_join_all(answers).await?;
        let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
        for OpenRange { range, groups, .. } in ranges {
            let said: Vec<Option<Vec<Print>>> = groups
                .speakers()
                .map(|speaker| answers[speaker].next().flatten())
                .collect();
            // Who has too many to tell knows best where to cut: others may have purged what it has.
            let guide = groups.speakers().zip(&said).find(|(_, said)| said.is_none());
            let guide = guide.map(|(speaker, _)| speaker);
            if let Some(guide) = guide {
                let piece = Piece::tokens(range);
                self.frontier.cut(Open { piece, groups }, guide);
                continue;
            }
            let said: Vec<Vec<Print>> = said.into_iter().flatten().collect();
            self.compare_prints(&groups, &said);
        }
        Ok(())
    }

    fn compare_prints(&mut self, groups: &Groups, said: &[Vec<Print>]) {
        let mut tokens: BTreeMap<Token, Vec<Sum>> = BTreeMap::new();
        for (at, prints) in said.iter().enumerate() {
            for print in prints {
                let sums = tokens
                    .entry(print.token)
                    .or_insert_with(|| vec![Sum::NOTHING; said.len()]);
                sums[at] = Sum::from(*print);
            }
        }
        for (token, sums) in tokens {
            let alone = TokenRange {
                start: Token(token.0.saturating_sub(1)),
                end: token,
            };
            self.frontier
                .compared_at_token(Piece::tokens(alone), groups, &sums);
        }
    }

    async fn prints(
        &self,
        peer: &Peer,
        ranges: Vec<TokenRange>,
    ) -> Result<Vec<Option<Vec<Print>>>, SessionError> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let request = SessionRequest::Prints {
            table: self.subject.table,
            moment: self.moment(),
            patient: self.manner.patient,
            ranges: ranges.clone(),
        };
        let answers = match self.ask(peer, request).await? {
            SessionAnswer::Prints(answers) if answers.len() == ranges.len() => answers,
            _ => return Err(failed(peer, AskError::Confused)),
        };
        let decoded = answers.into_iter().zip(ranges).map(|(prints, range)| {
            let prints = prints.map(|prints| prints.decode(range)).transpose();
            prints.map_err(|_| failed(peer, AskError::Confused))
        });
        decoded.collect()
    }
}
