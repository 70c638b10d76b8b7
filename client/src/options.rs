//! How a statement is carried out: level, timeouts, pages, retries.

use std::{sync::Arc, time::Duration};

use starling_model::{Consistency, Timestamp};

use crate::retry::{DefaultRetry, RetryPolicy};

/// Rows a page when a statement does not say otherwise: the default of most CQL drivers.
pub const DEFAULT_PAGE_SIZE: u32 = 5000;

/// How long a request waits for its answer when a statement does not say otherwise. Longer than the server's
/// own timeouts, so that it is the server that says what is known of the outcome.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// How a statement is carried out. A [`Session`](crate::Session) has defaults; each statement may differ.
#[derive(Debug, Clone)]
pub struct ExecutionOptions {
    /// How many replicas must answer. `LOCAL_QUORUM` by default.
    pub consistency: Consistency,
    /// For conditional writes: `SERIAL` or `LOCAL_SERIAL`. The server's default if absent.
    pub serial_consistency: Option<Consistency>,
    /// Timestamp, in microseconds since the epoch, of writes that have no `USING TIMESTAMP`. If absent, the
    /// session gives it if it [stamps](crate::SessionBuilder::client_timestamps), or else the coordinator's clock.
    pub timestamp: Option<Timestamp>,
    /// Rows a page; `None` asks for all rows in one answer, which the server may refuse.
    pub page_size: Option<u32>,
    /// How long to wait for one answer. Retries have the same time each.
    pub timeout: Duration,
    /// Whether carrying the statement out twice is the same as once, so that it may be sent again when its outcome is unknown,
    /// and to another node beside when the first falls silent. If absent, it is so for SELECT, and for writes that have a
    /// timestamp before they are sent and say what to store: not counters, lists, functions, conditions, or parts of collections
    /// that can't be told from a list's.
    pub idempotent: Option<bool>,
    /// Ask the coordinator to record a trace; its id comes with the answer.
    pub tracing: bool,
    /// What to do when a request fails.
    pub retry: Arc<dyn RetryPolicy>,
}

impl Default for ExecutionOptions {
    fn default() -> Self {
        Self {
            consistency: Consistency::LocalQuorum,
            serial_consistency: None,
            timestamp: None,
            page_size: Some(DEFAULT_PAGE_SIZE),
            timeout: DEFAULT_TIMEOUT,
            idempotent: None,
            tracing: false,
            retry: Arc::new(DefaultRetry),
        }
    }
}

/// Setters shared by everything that carries [`ExecutionOptions`].
macro_rules! option_setters {
    () => {
        /// How many replicas must answer.
        pub fn with_consistency(mut self, consistency: starling_model::Consistency) -> Self {
            self.options_mut().consistency = consistency;
            self
        }

        /// The level of the Paxos phase of conditional writes.
        pub fn with_serial_consistency(mut self, consistency: starling_model::Consistency) -> Self {
            self.options_mut().serial_consistency = Some(consistency);
            self
        }

        /// The timestamp of writes, in microseconds since the epoch.
        pub fn with_timestamp(mut self, micros: i64) -> Self {
            self.options_mut().timestamp = Some(starling_model::Timestamp(micros));
            self
        }

        /// Rows a page, at least 1; `None` for all rows in one answer.
        pub fn with_page_size(mut self, rows: impl Into<Option<u32>>) -> Self {
            self.options_mut().page_size = rows.into().map(|rows: u32| rows.max(1));
            self
        }

        /// How long to wait for each answer.
        pub fn with_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options_mut().timeout = timeout;
            self
        }

        /// Says whether carrying the statement out twice is the same as once, so that it may be retried.
        pub fn with_idempotent(mut self, idempotent: bool) -> Self {
            self.options_mut().idempotent = Some(idempotent);
            self
        }

        /// Asks for a trace.
        pub fn with_tracing(mut self, tracing: bool) -> Self {
            self.options_mut().tracing = tracing;
            self
        }

        /// What to do when a request fails.
        pub fn with_retry(mut self, retry: impl $crate::retry::RetryPolicy + 'static) -> Self {
            self.options_mut().retry = std::sync::Arc::new(retry);
            self
        }
    };
}
pub(crate) use option_setters;
