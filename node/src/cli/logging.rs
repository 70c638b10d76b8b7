//! The log: one line an event, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sets it up. `RUST_LOG` says what is logged; what matters to an operator by default.
pub(super) fn start() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,quinn=warn,quinn_proto=warn,quinn_udp=error,rustls=warn"));
    // A second logger in one process is a test's doing; the first stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A log that can't be written, on a full disk, must not end the node: telling of it on the same stream would.
        .log_internal_errors(false)
        .try_init();
}
