//! Everything that happened in a run, as a hash, and on request as text.

use std::{fmt, time::Duration};

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3Default;

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On a node, by its number.
    Node(usize),
    /// At a client, by its number.
    Client(usize),
    /// In the simulation itself: scheduling, faults.
    World,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(number) => write!(f, "n{number}"),
            Self::Client(number) => write!(f, "c{number}"),
            Self::World => f.write_str("--"),
        }
    }
}

/// Takes one line of readable trace.
pub type Sink = Box<dyn FnMut(String) + Send>;

/// The hash over all events of a run (XXH3, 64 bits) and, if there is a sink, their text.
///
/// Two runs of one seed have the same events, so the same hash: [`crate::run`] proves it in a test.
pub struct Trace {
    inner: Mutex<Inner>,
}

struct Inner {
    hasher: Xxh3Default,
    events: u64,
    sink: Option<Sink>,
}

impl Trace {
    /// A trace without text, or with.
    pub fn new(sink: Option<Sink>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                hasher: Xxh3Default::new(),
                events: 0,
                sink,
            }),
        }
    }

    /// An event: hashed are its time, place, kind and bytes; `text` is made only if someone reads it.
    pub fn event(&self, at: Duration, place: Place, kind: &str, bytes: &[u8], text: impl FnOnce() -> String) {
        let mut inner = self.inner.lock();
        inner.hash(at, place, kind, bytes);
        if let Some(sink) = &mut inner.sink {
            sink(format!(
                "{:>12.6} {place:>3} {kind:<10} {}",
                at.as_secs_f64(),
                text()
            ));
        }
    }

    /// An event that is too common to read about: hashed only.
    pub fn silent(&self, at: Duration, place: Place, kind: &str, bytes: &[u8]) {
        self.inner.lock().hash(at, place, kind, bytes);
    }

    /// The hash of all events until now.
    pub fn hash(&self) -> u64 {
        self.inner.lock().hasher.digest()
    }

    /// How many events there were.
    pub fn events(&self) -> u64 {
        self.inner.lock().events
    }
}

impl Inner {
    fn hash(&mut self, at: Duration, place: Place, kind: &str, bytes: &[u8]) {
        self.events += 1;
        let (tag, number) = match place {
            Place::Node(number) => (0u8, number),
            Place::Client(number) => (1, number),
            Place::World => (2, 0),
        };
        self.hasher.update(&(at.as_nanos() as u64).to_le_bytes());
        self.hasher.update(&[tag]);
        self.hasher.update(&(number as u64).to_le_bytes());
        self.hasher.update(kind.as_bytes());
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_event_counts() {
        let hash = |at, place, kind: &str, bytes: &[u8]| {
            let trace = Trace::new(None);
            trace.silent(Duration::from_nanos(at), place, kind, bytes);
            trace.hash()
        };
        let base = hash(1, Place::Node(1), "send", b"x");
        assert_eq!(base, hash(1, Place::Node(1), "send", b"x"));
        for other in [
            hash(2, Place::Node(1), "send", b"x"),
            hash(1, Place::Node(2), "send", b"x"),
            hash(1, Place::Client(1), "send", b"x"),
            hash(1, Place::Node(1), "drop", b"x"),
            hash(1, Place::Node(1), "send", b"y"),
        ] {
            assert_ne!(base, other);
        }
    }
}
