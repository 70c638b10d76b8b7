//! How many hints go in one message: as many as their target carries out in time.
//!
//! How long that takes is up to its disk, and, while the ring changes, to those to whom it passes hints on: a message of a
//! size that is fixed might never end in time, and be sent again for ever. So it is halved when one was too late or took long,
//! down to a single hint, and grows by an eighth where there is much time left, up to what a message may have at all.

use std::time::Duration;

use super::pace::MESSAGE_HINTS;

/// The size of the next message to one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    hints: usize,
}

impl Load {
    pub(super) fn new() -> Self {
        Self { hints: MESSAGE_HINTS }
    }

    /// At most so many hints.
    pub(super) fn hints(self) -> usize {
        self.hints
    }

    /// A message of so many hints was carried out in a time, where it was allowed to take another.
    pub(super) fn taken(&mut self, hints: usize, took: Duration, allowed: Duration) {
        if took * 2 > allowed {
            self.hints = (self.hints / 2).max(1);
        } else if hints >= self.hints && took * 4 < allowed {
            self.hints = (self.hints + self.hints.div_ceil(8)).min(MESSAGE_HINTS);
        }
    }

    /// A message did not end in time.
    pub(super) fn too_late(&mut self) {
        self.hints = (self.hints / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a target takes that needs some time for each hint, in an hour of messages.
    fn settled(for_each: Duration) -> usize {
        let allowed = Duration::from_secs(2);
        let mut load = Load::new();
        for _ in 0..100 {
            let took = for_each * load.hints() as u32;
            if took > allowed {
                load.too_late();
            } else {
                load.taken(load.hints(), took, allowed);
            }
        }
        load.hints()
    }

    #[test]
    fn it_settles_at_what_ends_in_time() {
        assert_eq!(settled(Duration::from_micros(10)), MESSAGE_HINTS);
        assert!((20..=50).contains(&settled(Duration::from_millis(20))));
        assert!((1..=4).contains(&settled(Duration::from_millis(500))));
        assert_eq!(settled(Duration::from_secs(5)), 1, "it never stops");
    }

    #[test]
    fn a_message_that_was_not_full_says_little() {
        let mut load = Load::new();
        load.too_late();
        let before = load.hints();
        load.taken(3, Duration::from_millis(1), Duration::from_secs(2));
        assert_eq!(load.hints(), before);
        load.taken(before, Duration::from_millis(1), Duration::from_secs(2));
        assert!(load.hints() > before);
    }
}
