//! System calls of processes, counted by the kernel (`perf stat`), which hardly slows them.

use std::{collections::BTreeMap, process::Command};

/// What every system call counts for.
pub const ALL: &str = "all";

/// The calls that are told apart; what is left is the rest.
const NAMES: [&str; 11] = [
    "epoll_wait",
    "futex",
    "read",
    "write",
    "writev",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "fdatasync",
    "recvmmsg",
];

/// Counts the calls of some processes for so many seconds, by name, and [`ALL`] of them.
///
/// # Errors
/// A sentence: `perf` is not there, or may not count.
pub fn count(processes: &[u32], seconds: u64) -> Result<BTreeMap<String, u64>, String> {
    let mut command = Command::new("perf");
    command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter"]);
    for name in NAMES {
        command.args(["-e", &format!("syscalls:sys_enter_{name}")]);
    }
    command.args(["-p", &listed(processes), "--", "sleep", &seconds.to_string()]);
    let output = command
        .output()
        .map_err(|error| format!("perf does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counts = read(&text);
    if counts.contains_key(ALL) {
        return Ok(counts);
    }
    let reason = text.lines().find(|line| !line.trim().is_empty());
    Err(format!(
        "perf may not count: {}",
        reason.unwrap_or("it gave no reason")
    ))
}

/// Process ids as `perf -p` wants them.
pub(super) fn listed(processes: &[u32]) -> String {
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    ids.join(",")
}

/// Lines of `perf stat -x,`: count, unit, event, and more. Those that were not counted say so instead of a number.
pub(super) fn read(text: &str) -> BTreeMap<String, u64> {
    let counted = |line: &str| {
        let mut fields = line.split(',');
        let count: u64 = fields.next()?.parse().ok()?;
        let event = fields.nth(1)?;
        let name = match event.strip_prefix("syscalls:sys_enter_") {
            Some(name) => name,
            None if event == "raw_syscalls:sys_enter" => ALL,
            None => return None,
        };
        Some((name.to_owned(), count))
    };
    text.lines().filter_map(counted).collect()
}
