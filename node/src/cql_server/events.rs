//! Events, from the node to every connection that registered for them.

use starling_cql::protocol::{Event, StatusChange, TopologyChange};
use starling_replication::ClusterEvent;
use tokio::sync::broadcast;

use super::backend::Backend;

/// Where connections get events from.
pub(super) struct Events(broadcast::Sender<Event>);

impl Events {
    /// The events of a node; a receiver can lag by `capacity`.
    pub(super) fn of(backend: &impl Backend, capacity: usize) -> Self {
        let (sender, _) = broadcast::channel(capacity);
        let weak = sender.downgrade();
        backend.subscribe(Box::new(move |event| {
            // Without receivers there is nobody to tell; a stopped listener has no sender either.
            if let Some(sender) = weak.upgrade() {
                let _ = sender.send(translate(event));
            }
        }));
        Self(sender)
    }

    /// Events from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

fn translate(event: &ClusterEvent) -> Event {
    let status = |change, address| Event::Status { change, address };
    let topology = |change, address| Event::Topology { change, address };
    match event {
        ClusterEvent::Schema(change) => Event::Schema(change.clone()),
        ClusterEvent::NodeUp(address) => status(StatusChange::Up, *address),
        ClusterEvent::NodeDown(address) => status(StatusChange::Down, *address),
        ClusterEvent::NewNode(address) => topology(TopologyChange::NewNode, *address),
        ClusterEvent::RemovedNode(address) => topology(TopologyChange::RemovedNode, *address),
    }
}
