//! Threads that the node can't live without.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{Builder, JoinHandle},
};

use tracing::error;

/// Stack of a storage thread, in bytes. Only what is touched takes memory.
const STACK_BYTES: usize = 2 << 20;

/// Starts a thread whose panic ends the process, with a line in the log that says which thread it was. The
/// panic's own message has been printed by then.
pub(super) fn vital(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.clone()).stack_size(STACK_BYTES).spawn(move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            error!(
                thread = name,
                "a storage thread panicked; the node stops now, because it can't serve its data any more. \
                 What was acknowledged is in the log. Please report the panic above"
            );
            std::process::abort();
        }
    })
}
