//! A keyspace gets other replicas because it is replicated by something else: a change of the ring in which the members stay.

use std::fmt;

use serde::{Deserialize, Serialize};
use starling_cql::schema::{Replication, Replications};
use starling_model::Timestamp;

/// A keyspace that is altered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alteration {
    /// Its name.
    pub keyspace: String,
    /// When it was created. One that is dropped meanwhile and made anew is another one, and not altered.
    pub created: Timestamp,
    /// What it is replicated by until the end.
    pub from: Replication,
    /// What it is replicated by then.
    pub to: Replication,
    /// Keyspaces, with their times, that were altered once and dropped since: at the end nobody needs to know any more what
    /// they were replicated by.
    pub dropped: Vec<(String, Timestamp)>,
}

impl Alteration {
    /// What keyspaces are replicated by once it is done, given that before.
    pub fn next(&self, current: &Replications) -> Replications {
        let mut next = current.clone();
        for (keyspace, created) in &self.dropped {
            next.forget(keyspace, *created);
        }
        next.set(&self.keyspace, self.created, self.to.clone());
        next
    }

    /// Whether it is done, given what keyspaces are replicated by.
    pub fn is_done(&self, replications: &Replications) -> bool {
        replications.altered(&self.keyspace, self.created) == Some(&self.to)
    }
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            keyspace, from, to, ..
        } = self;
        write!(f, "keyspace {keyspace} is replicated by {to} instead of {from}")
    }
}
