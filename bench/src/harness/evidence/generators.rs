//! How busy the processes are that make the load: one that needs a whole core measures itself.

use std::time::{Duration, Instant};

use super::process::sample_of;

/// From this share of a core on a process is too busy for its figures to be the servers'.
pub const TOO_BUSY: f64 = 0.9;

/// A shorter time says nothing: the system counts CPU in hundredths of a second.
const AT_LEAST: Duration = Duration::from_millis(500);

/// Follows them through the measured time.
#[derive(Debug)]
pub struct Generators {
    processes: Vec<u32>,
    first: Option<Spent>,
    last: Option<Spent>,
}

/// What each had spent at a moment.
#[derive(Debug, Clone)]
struct Spent {
    at: Instant,
    each: Vec<Duration>,
}

impl Generators {
    /// Those with these process ids.
    pub fn new(processes: Vec<u32>) -> Self {
        Self {
            processes,
            first: None,
            last: None,
        }
    }

    /// Looks at them. When one has ended the last look at all of them stays.
    pub fn look(&mut self, at: Instant) {
        let each: Option<Vec<Duration>> = self
            .processes
            .iter()
            .map(|process| Some(sample_of(*process)?.cpu))
            .collect();
        if let Some(each) = each {
            let spent = Spent { at, each };
            self.first.get_or_insert_with(|| spent.clone());
            self.last = Some(spent);
        }
    }

    /// How many cores each used between the first look and the last; nothing if half a second did not pass between them.
    pub fn cores(&self) -> Vec<f64> {
        let (Some(first), Some(last)) = (&self.first, &self.last) else {
            return Vec::new();
        };
        let time = last.at.saturating_duration_since(first.at);
        if time < AT_LEAST {
            return Vec::new();
        }
        let pairs = first.each.iter().zip(&last.each);
        pairs
            .map(|(first, last)| last.saturating_sub(*first).as_secs_f64() / time.as_secs_f64())
            .collect()
    }
}
