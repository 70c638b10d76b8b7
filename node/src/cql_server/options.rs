//! Settings of the CQL listener.

use std::{sync::Arc, time::Duration};

use starling_replication::{Budget, config::DEFAULT_BUDGET_BYTES};

/// Settings of the CQL listener.
#[derive(Debug, Clone)]
pub struct Options {
    /// Open connections at most.
    pub max_connections: usize,
    /// Requests in flight on one connection at most.
    pub max_in_flight: usize,
    /// Requests in flight on all connections at most.
    pub max_requests: usize,
    /// The bytes that the node may hold: `requests` and `replies` are this listener's.
    pub budget: Arc<Budget>,
    /// The largest message, in bytes, also after decompression.
    pub max_message_bytes: usize,
    /// Replies waiting for one client to read them, in bytes; the last one may go beyond.
    pub max_unsent_bytes: usize,
    /// Events waiting for one client at most; a client that lags more is closed, and will reconnect.
    pub max_queued_events: usize,
    /// From the connection's start to its STARTUP.
    pub handshake_timeout: Duration,
    /// For more bytes of a message that has begun to arrive.
    pub read_timeout: Duration,
    /// For the whole of a message that has a share of the budget while it arrives.
    pub large_message_timeout: Duration,
    /// For a client to take more bytes of its replies.
    pub write_timeout: Duration,
    /// The same while others wait for room that its replies may be taking, and for a large message that has
    /// room; beside the time that its bytes take at 1 MiB a second.
    pub pressed_timeout: Duration,
    /// Without a request, after which a connection is closed; `None`: never, as drivers expect.
    pub idle_timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 8_192,
            max_in_flight: 2_048,
            max_requests: 32_768,
            budget: Arc::new(Budget::new(DEFAULT_BUDGET_BYTES)),
            max_message_bytes: 32 << 20,
            max_unsent_bytes: 1 << 20,
            max_queued_events: 256,
            handshake_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            large_message_timeout: Duration::from_mins(2),
            write_timeout: Duration::from_secs(30),
            pressed_timeout: Duration::from_secs(5),
            idle_timeout: None,
        }
    }
}
