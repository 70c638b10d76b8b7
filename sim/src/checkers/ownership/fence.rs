//! Requests that a replica carried out although they were planned on a ring that it did not know.

use starling_replication::{
    PeerRequest, PeerResponse,
    message::{Request, Response, WriteReason},
    topology::Stamp,
};

/// The rings that a node knew since it started, in their order.
#[derive(Debug)]
pub(super) struct Rings(Vec<Stamp>);

/// A request that has come and is not answered yet.
#[derive(Debug, Clone)]
pub struct Ticket {
    planned: Stamp,
    /// The place of the ring that the node knew then.
    since: usize,
    what: &'static str,
}

impl Rings {
    pub(super) fn beginning_with(stamp: Stamp) -> Self {
        Self(vec![stamp])
    }

    pub(super) fn learn(&mut self, stamp: Stamp) {
        if self.0.last() != Some(&stamp) {
            self.0.push(stamp);
        }
    }

    /// `None` of requests that are let in on any ring.
    pub(super) fn arrived(&self, request: &PeerRequest) -> Option<Ticket> {
        let what = match &request.body {
            Request::Write { reason, .. } if *reason != WriteReason::Hint => "a write",
            Request::WriteStamped { .. } => "a write",
            Request::Read { .. } => "a read",
            Request::Truncate { .. } | Request::ForgetHints { .. } => "a truncation",
            _ => return None,
        };
        Some(Ticket {
            planned: Stamp {
                digest: request.ring,
                epoch: request.epoch,
            },
            since: self.0.len() - 1,
            what,
        })
    }

    /// What is wrong with an answer, if the request should not have been carried out.
    pub(super) fn passed(&self, ticket: &Ticket, answer: &PeerResponse) -> Option<String> {
        let known = &self.0[ticket.since..];
        let knew = known.iter().any(|ring| ring.digest == ticket.planned.digest);
        let refused = matches!(answer.body, Response::Failed(_));
        (!refused && !knew).then(|| {
            format!(
                "{} that was planned on epoch {} was carried out on epoch {}",
                ticket.what, ticket.planned.epoch, known[0].epoch
            )
        })
    }
}
