//! Traces of requests: what the coordinator and the replicas did, and when.
//!
//! Kept in a bounded ring in the coordinator's memory, and shown as `system_traces.sessions` and
//! `system_traces.events`.

mod ring;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling_model::Timestamp;

pub use ring::TraceRing;

/// How many events one trace keeps; later ones are dropped.
pub const MAX_EVENTS: usize = 500;

/// Something that happened on the way of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// When, by the wall clock of the node where it happened.
    pub at: Timestamp,
    /// The node where it happened: its CQL address.
    pub source: SocketAddr,
    /// Since that node began with the request, in microseconds.
    pub elapsed: u32,
    /// What.
    pub activity: String,
}

/// A traced request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Its id, a version 1 UUID.
    pub session: u128,
    /// The node that coordinated it: its CQL address.
    pub coordinator: SocketAddr,
    /// Who asked, if known.
    pub client: Option<IpAddr>,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in microseconds.
    pub duration: u32,
    /// What kind of request it was.
    pub request: String,
    /// Its parameters, such as the query's text.
    pub parameters: Vec<(String, String)>,
    /// What happened, in the order in which the coordinator heard of it.
    pub events: Vec<TraceEvent>,
}

/// Where the parts of a request note what they do. Costs nothing where the request isn't traced.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Recording>>);

#[derive(Debug)]
struct Recording {
    source: SocketAddr,
    started: Timestamp,
    events: Mutex<Vec<TraceEvent>>,
}

impl Tracer {
    /// One that notes nothing.
    pub const OFF: Self = Self(None);

    /// One that records, as the node at `source`, from `started` on.
    pub fn recording(source: SocketAddr, started: Timestamp) -> Self {
        Self(Some(Arc::new(Recording {
            source,
            started,
            events: Mutex::new(Vec::new()),
        })))
    }

    /// Whether it records.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Notes what happens at `at`; `activity` is called only if somebody listens.
    pub fn note(&self, at: impl FnOnce() -> Timestamp, activity: impl FnOnce() -> String) {
        let Some(recording) = &self.0 else { return };
        let at = at();
        let mut events = recording.events.lock();
        if events.len() < MAX_EVENTS {
            events.push(TraceEvent {
                at,
                source: recording.source,
                elapsed: micros_between(recording.started, at),
                activity: activity(),
            });
        }
    }

    /// Adds what a replica noted.
    pub fn extend(&self, heard: Vec<TraceEvent>) {
        let Some(recording) = &self.0 else { return };
        let mut events = recording.events.lock();
        let room = MAX_EVENTS.saturating_sub(events.len());
        events.extend(heard.into_iter().take(room));
    }

    /// What was noted so far; forgets it.
    pub fn take(&self) -> Vec<TraceEvent> {
        self.0.as_ref().map_or_else(Vec::new, |recording| {
            std::mem::take(&mut *recording.events.lock())
        })
    }
}

/// Microseconds from `start` to `end`, 0 if the clock went back.
pub(crate) fn micros_between(start: Timestamp, end: Timestamp) -> u32 {
    u32::try_from(end.0.saturating_sub(start.0).max(0)).unwrap_or(u32::MAX)
}
