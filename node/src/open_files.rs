//! How many files and sockets the process may have open.
//!
//! Most systems start a process with a small limit (1,024) that it may raise by itself to a large one. Who runs out of
//! descriptors can make no log segment, write no table and hear no peer, so clients' connections may take only
//! a part of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// For tables, logs, peers and the admin pages, whatever the limit is.
const RESERVED: u64 = 128;

/// So many connections are let in even where next to nothing may be open.
const MIN_CONNECTIONS: usize = 16;

/// Raises the limit as far as it goes without privileges. Returns what it is then; `None` is no limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        Ok(()) => maximum,
        Err(error) => {
            warn!(%error, ?current, ?maximum, "cannot raise the limit on open files");
            current
        }
    }
}

/// How many of `wanted` connections clients may have under a limit on open files: a quarter of it stays free.
pub(crate) fn connections(limit: Option<u64>, wanted: usize) -> usize {
    let Some(limit) = limit else { return wanted };
    let free = limit.saturating_sub(RESERVED.max(limit / 4));
    let most = usize::try_from(free).unwrap_or(usize::MAX).max(MIN_CONNECTIONS);
    if most < wanted {
        warn!(
            limit,
            connections = most,
            "clients get fewer connections than {wanted}: raise the limit on open files (ulimit -n)"
        );
    }
    wanted.min(most)
}

#[cfg(test)]
mod tests;
