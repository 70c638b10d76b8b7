//! The memory of traces.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::Trace;

/// The last traces that this node coordinated, at most `capacity` of them.
#[derive(Debug)]
pub struct TraceRing {
    capacity: usize,
    traces: Mutex<VecDeque<Trace>>,
}

impl TraceRing {
    /// Room for `capacity` traces.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            traces: Mutex::new(VecDeque::new()),
        }
    }

    /// Keeps a trace; the oldest goes when there are too many.
    pub fn push(&self, trace: Trace) {
        let mut traces = self.traces.lock();
        while traces.len() >= self.capacity {
            traces.pop_front();
        }
        traces.push_back(trace);
    }

    /// One trace, by its session id.
    pub fn get(&self, session: u128) -> Option<Trace> {
        self.traces
            .lock()
            .iter()
            .find(|trace| trace.session == session)
            .cloned()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Trace> {
        self.traces.lock().iter().cloned().collect()
    }
}
