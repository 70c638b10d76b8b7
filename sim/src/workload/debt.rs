//! What a client is owed while nothing is wrong but that the ring changes: an answer, at every level that bears those who are down.

use std::{collections::BTreeSet, time::Duration};

use starling_model::Consistency;

use super::Client;
use crate::{checkers::Promise, cluster::NoAnswer};

/// So long after a death somebody may not have noticed it.
const NOTICE: Duration = Duration::from_secs(3);

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
        // Who takes a dead node for alive still may rely on it: a scan asks for ranges together as long as enough of those who have
        // them all are alive, and has nobody else to ask when one of these turns out to be dead.
        let unnoticed = asked.saturating_sub(NOTICE);
        if down
            .iter()
            .any(|number| self.cluster.has_died(*number, unnoticed))
        {
            return;
        }
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
