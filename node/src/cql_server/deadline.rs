//! The one moment at which a connection is given up unless something happens.

use std::time::Duration;

use tokio::time::Instant;

/// The earliest of several moments, with what is said about it in the log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deadline(Option<(Instant, &'static str)>);

impl Deadline {
    /// Adds a moment: `wait` after `since`.
    pub(super) fn at(&mut self, since: Instant, wait: Duration, why: &'static str) {
        // A wait beyond what the clock can count is for ever.
        if let Some(moment) = since.checked_add(wait)
            && self.0.is_none_or(|(earliest, _)| moment < earliest)
        {
            self.0 = Some((moment, why));
        }
    }

    /// Whether there is any.
    pub(super) fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Ends at the deadline, with the reason; never if there is none.
    pub(super) async fn passed(self) -> &'static str {
        match self.0 {
            Some((moment, why)) => {
                tokio::time::sleep_until(moment).await;
                why
            }
            None => std::future::pending().await,
        }
    }
}
