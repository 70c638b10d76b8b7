//! The replication that keyspaces have since they were altered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_model::Timestamp;

use super::{Keyspace, Replication};

/// What altered keyspaces are replicated by.
///
/// An entry of the schema says what a keyspace was created with, and merges by itself: a node may hear of it at any time. By
/// which replicas a request is planned must not change so. That is told by whoever knows where the data is, as one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replications(BTreeMap<String, Altered>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Altered {
    /// Names the keyspace among those that had its name: see [`Keyspace::created`].
    created: Timestamp,
    replication: Replication,
}

impl Replications {
    /// Whether every keyspace has what it was created with.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a keyspace is replicated by, given its entry.
    pub fn of<'a>(&'a self, keyspace: &'a Keyspace) -> &'a Replication {
        self.altered(&keyspace.name, keyspace.created)
            .unwrap_or(&keyspace.replication)
    }

    /// The replication that the keyspace of this name and time was altered to; `None` if it was not, or was dropped and made
    /// anew since.
    pub fn altered(&self, keyspace: &str, created: Timestamp) -> Option<&Replication> {
        let altered = self.0.get(keyspace)?;
        (altered.created == created).then_some(&altered.replication)
    }

    /// A keyspace is replicated by this from now on.
    pub fn set(&mut self, keyspace: &str, created: Timestamp, replication: Replication) {
        let altered = Altered { created, replication };
        self.0.insert(keyspace.to_owned(), altered);
    }

    /// Forgets a keyspace that was dropped.
    pub fn forget(&mut self, keyspace: &str, created: Timestamp) {
        if self.altered(keyspace, created).is_some() {
            self.0.remove(keyspace);
        }
    }

    /// The keyspaces that were altered, with the times that they were created.
    pub fn keyspaces(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.0
            .iter()
            .map(|(name, altered)| (name.as_str(), altered.created))
    }
}
