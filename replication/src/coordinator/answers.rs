//! The answers of a read: whether they are enough, whether they agree, and what is said if they never are enough.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use starling_cql::{Error, ErrorKind};
use starling_model::{DecodeError, NodeId, Page};
use starling_ring::Shortfall;

use super::{Coordinator, Refusal, Task, in_words, read::ReadPlan, refusal};
use crate::{
    env::Env,
    message::{Failure, page_digest},
    peers::AskError,
    snapshot::Peer,
    topology::quorum::{JointTally, Quorum},
};

/// A page that came, and its bytes, whose memory it shares.
#[derive(Debug, Clone, Default)]
pub(super) struct Received {
    pub(super) page: Page,
    bytes: Bytes,
}

impl Received {
    pub(super) fn new(bytes: Bytes) -> Result<Self, DecodeError> {
        let page = Page::decode(bytes.clone())?;
        Ok(Self { page, bytes })
    }
}

/// The answers of a read so far.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) pages: Vec<(Arc<Peer>, Received)>,
    pub(super) digests: Vec<(Arc<Peer>, u128)>,
    pub(super) refusals: Vec<Refusal>,
    pub(super) unreachable: BTreeSet<NodeId>,
}

impl Answers {
    /// Counts those who answered, each once.
    pub(super) fn tally(&self, quorum: &Quorum) -> JointTally {
        let mut tally = quorum.tally();
        let answered = self.pages.iter().map(|(peer, _)| peer);
        for peer in answered.chain(self.digests.iter().map(|(peer, _)| peer)) {
            tally.add(peer.id, &peer.datacenter);
        }
        tally
    }

    pub(super) fn came_from(&self, peer: NodeId) -> bool {
        let pages = self.pages.iter().map(|(peer, _)| peer);
        let mut all = pages.chain(self.digests.iter().map(|(peer, _)| peer));
        all.any(|other| other.id == peer)
    }

    pub(super) fn meet(&self, quorum: &Quorum) -> bool {
        !self.pages.is_empty() && self.tally(quorum).is_met()
    }

    /// Whether all answers are about the same data.
    pub(super) fn agree(&self) -> bool {
        if self.pages.len() + self.digests.len() == 1 {
            return true;
        }
        let digest = page_digest(&self.pages[0].1.bytes);
        self.digests.iter().all(|(_, other)| *other == digest)
            && self.pages[1..]
                .iter()
                .all(|(_, page)| page.bytes == self.pages[0].1.bytes)
    }

    pub(super) fn failed(&mut self, peer: &Peer, error: &AskError) {
        if error.is_unreachable() {
            self.unreachable.insert(peer.id);
        } else if !error.is_timeout() {
            self.refusals.push(refusal(peer, error));
        }
        if let AskError::Failed(Failure::UnknownTable(table)) = error {
            ::tracing::debug!(%table, peer = %peer.address, "a replica does not know the table yet");
        }
    }
}

impl<E: Env> Coordinator<E> {
    /// Why a read ends without enough answers, counted.
    pub(super) fn read_error(&self, task: &Task, plan: &ReadPlan, answers: &Answers) -> Error {
        let consistency = task.consistency;
        let tally = answers.tally(&plan.quorum);
        let (received, required) = (tally.received(), plan.quorum.requirements.block_for());
        let data_present = !answers.pages.is_empty();
        if !answers.unreachable.is_empty() && answers.refusals.is_empty() && !task.deadline.is_over(&self.env)
        {
            // Nobody is there to ask any more: what the failure detector would have said a moment later.
            let short = tally.shortfall().unwrap_or(Shortfall {
                required,
                alive: received,
            });
            return self.unavailable(consistency, &short, plan.quorum.want_of_nodes().as_deref());
        }
        if !answers.refusals.is_empty() {
            self.counters.read_failures.one();
            let refusals = &answers.refusals;
            let kind = ErrorKind::ReadFailure {
                consistency,
                received,
                required,
                failures: refusals.len() as u32,
                reasons: refusals.iter().map(|refusal| refusal.failure).collect(),
                data_present,
            };
            return Error::new(
                kind,
                format!(
                    "Operation failed: {received} of {required} replicas answered the read at {consistency} and {}",
                    in_words(refusals)
                ),
            );
        }
        self.counters.read_timeouts.one();
        let kind = ErrorKind::ReadTimeout {
            consistency,
            received,
            required,
            data_present,
        };
        Error::new(
            kind,
            format!(
                "Operation timed out: {received} of {required} replicas answered the read at {consistency}"
            ),
        )
    }
}
