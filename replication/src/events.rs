//! What a node tells those who listen: its clients' listeners, the log, the admin pages.

use std::net::SocketAddr;

use parking_lot::RwLock;
use starling_cql::SchemaChange;

/// Something changed in the cluster. Addresses are those of CQL listeners, which is what clients know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterEvent {
    /// The schema changed.
    Schema(SchemaChange),
    /// A node that is in the ring can be reached again.
    NodeUp(SocketAddr),
    /// A node that is in the ring can't be reached.
    NodeDown(SocketAddr),
    /// A node came into the ring.
    NewNode(SocketAddr),
    /// A node left the ring.
    RemovedNode(SocketAddr),
}

/// Called for every event, in order, on the task that found out: it must not block.
pub type Listener = Box<dyn Fn(&ClusterEvent) + Send + Sync>;

/// Those who listen.
#[derive(Default)]
pub(crate) struct Listeners(RwLock<Vec<Listener>>);

impl Listeners {
    pub(crate) fn add(&self, listener: Listener) {
        self.0.write().push(listener);
    }

    pub(crate) fn tell(&self, event: &ClusterEvent) {
        for listener in self.0.read().iter() {
            listener(event);
        }
    }
}
