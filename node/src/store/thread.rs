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
    let thread = Builder::new().name(name.clone()).stack_size(STACK_BYTES);
    thread.spawn(move || guarded(&name, work))
}

/// How nice threads are that [`stand_back`]: each gets a third of what a thread that serves requests gets. Enough for
/// compactions to keep up on processors that have no time left.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// Has the calling thread stand back where threads that serve requests want the same processor. Only where priorities
/// are a thread's own: elsewhere it would be the whole process.
pub(super) fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "background work has the priority of requests");
    }
}

/// Does work of the storage on whatever thread. A panic ends the process, as in [`vital`].
pub(super) fn guarded<T>(what: &str, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        error!(
            what,
            "the storage panicked; the node stops now, because it can't serve its data any more. \
             What was acknowledged is in the log. Please report the panic above"
        );
        std::process::abort();
    })
}
