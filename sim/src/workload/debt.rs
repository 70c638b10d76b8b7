//! What a client is owed while nothing is wrong but that the ring changes: an answer, at every level that bears those who are down.

use std::{collections::BTreeSet, time::Duration};

use starling_model::Consistency;

use super::Client;
use crate::{checkers::Promise, cluster::NoAnswer};

/// A request that is under way to a node at service.
pub(super) struct Debt {
    node: usize,
    level: Consistency,
    asked: Duration,
    /// Whom somebody needed then.
    needed: BTreeSet<usize>,
}

impl Client {
    /// Notes what is as a request is sent.
    pub(super) fn owe(&self, node: usize, level: Consistency) -> Debt {
        Debt {
            node,
            level,
            asked: self.handle.now(),
            needed: self.cluster.needed(),
        }
    }

    /// Judges how it ended. Who was away at some time meanwhile, or shortly before, is as good as down all the time.
    pub(super) fn settle(&self, debt: &Debt, failure: Option<&NoAnswer>) {
        let Debt {
            node, level, asked, ..
        } = *debt;
        let was_away = |number: &usize| self.cluster.was_away(*number, asked);
        let needed: BTreeSet<usize> = debt.needed.union(&self.cluster.needed()).copied().collect();
        let down: Vec<usize> = needed.into_iter().filter(was_away).collect();
        let datacenter = self.cluster.datacenter(node);
        if was_away(&node) || !self.space.factors.bear(level, datacenter, down.len()) {
            return;
        }
        self.recorder.owed(level);
        if let Some(failure) = failure {
            let text =
                format!("n{node}, asked at {asked:?} at {level} while {down:?} were down: {failure:?}");
            self.recorder.wrong(Promise::Service, text);
        }
    }
}
