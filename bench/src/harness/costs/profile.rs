//! Where servers spend their CPU: samples of `perf record`, by the part of the house that the function belongs to.
//!
//! A sample counts for the function that ran. Where the compiler has put one function into another it counts for the
//! outer one, so the borders between parts are not sharp.

use std::{collections::BTreeMap, process::Command};

use super::syscalls::listed;

/// Samples a second. Not a round number, so that nothing runs in step with it.
const FREQUENCY: &str = "997";

/// The parts that are locks: what threads spend where one has to wait for another, in the program and in the kernel. A lock that
/// is free is taken within the function that takes it, and so is part of that.
pub const LOCKS: [&str; 2] = ["locks", "kernel: futex"];

/// Parts by what a function's name holds; the first that fits counts.
const PARTS: [(&str, &[&str]); 14] = [
    (
        "locks",
        &[
            "parking_lot",
            "std::sys::sync",
            "std::sync::mutex",
            "std::sync::rwlock",
            "std::sync::condvar",
            "std::sync::poison",
            "std::sync::nonpoison",
            "tokio::sync::mutex",
            "tokio::sync::rwlock",
            "tokio::sync::batch_semaphore",
        ],
    ),
    ("engine", &["starling_sstable", "lz4_flex", "crossbeam_skiplist"]),
    ("shards", &["starling::store"]),
    ("codec", &["starling_cql::protocol", "starling_cql::native"]),
    ("language", &["starling_cql"]),
    (
        "coordinator",
        &["starling_replication", "starling_ring", "starling_gossip"],
    ),
    (
        "transport",
        &["starling::transport", "starling::native_server", "rmp"],
    ),
    ("listener", &["starling::"]),
    ("rows", &["starling_model"]),
    (
        "QUIC",
        &[
            "quinn",
            "rustls",
            "aws_lc",
            "ring_core",
            "ring::",
            "aes_",
            "gcm_",
            "chacha",
        ],
    ),
    (
        "runtime",
        &["tokio", "mio::", "crossbeam", "futures", "std::sync", "flume"],
    ),
    ("allocator", &["mi_", "malloc", "free", "calloc", "realloc"]),
    ("memory", &["memcpy", "memmove", "memset", "memcmp", "bcmp"]),
    (
        "standard library",
        &["core::", "alloc::", "std::", "hashbrown", "bytes::"],
    ),
];

/// The same of the kernel.
const KERNEL_PARTS: [(&str, &[&str]); 4] = [
    ("kernel: futex", &["futex"]),
    (
        "kernel: network",
        &[
            "tcp", "udp", "ip_", "skb", "sock", "inet", "net_", "netif", "dev_", "loopback", "nf_", "ep_",
            "epoll", "fib_",
        ],
    ),
    (
        "kernel: storage",
        &[
            "ext4",
            "xfs",
            "btrfs",
            "blk",
            "bio_",
            "jbd2",
            "nvme",
            "virtio",
            "filemap",
            "folio",
            "iomap",
            "writeback",
        ],
    ),
    (
        "kernel: threads",
        &[
            "sched",
            "schedule",
            "wake",
            "switch",
            "dequeue",
            "enqueue",
            "pick_next",
        ],
    ),
];

/// The share of each part, from 0 to 1, over so many seconds.
///
/// # Errors
/// A sentence: `perf` is not there, or may not sample.
pub fn parts(processes: &[u32], seconds: u64) -> Result<BTreeMap<String, f64>, String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let path = file.path().to_string_lossy().into_owned();
    let ids = listed(processes);
    let seconds = seconds.to_string();
    perf(&[
        "record",
        "-e",
        "cpu-clock",
        "-F",
        FREQUENCY,
        "-p",
        &ids,
        "-o",
        &path,
        "--",
        "sleep",
        &seconds,
    ])?;
    let report = perf(&[
        "report",
        "-i",
        &path,
        "--stdio",
        "-F",
        "overhead,dso,sym",
        "-t",
        ";",
        "-g",
        "none",
    ])?;
    let parts = read(&report);
    if parts.is_empty() {
        return Err("perf took no samples".into());
    }
    Ok(parts)
}

fn perf(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("perf")
        .args(arguments)
        .output()
        .map_err(|error| format!("perf does not run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let reason = text.lines().find(|line| !line.trim().is_empty());
    Err(format!(
        "perf may not sample: {}",
        reason.unwrap_or("it gave no reason")
    ))
}

/// Lines of `perf report -t';'`: share in percent, object, `[.]` or `[k]` and the symbol.
pub(super) fn read(report: &str) -> BTreeMap<String, f64> {
    let mut parts: BTreeMap<String, f64> = BTreeMap::new();
    for line in report.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.splitn(3, ';').map(str::trim);
        let share = fields
            .next()
            .and_then(|text| text.trim_end_matches('%').parse::<f64>().ok());
        let (Some(share), Some(_object), Some(symbol)) = (share, fields.next(), fields.next()) else {
            continue;
        };
        *parts.entry(part(symbol).to_owned()).or_default() += share / 100.0;
    }
    parts
}

/// The part that a symbol belongs to.
pub(super) fn part(symbol: &str) -> &'static str {
    let (kernel, name) = match symbol.split_once("] ") {
        Some((kind, name)) => (kind.ends_with('k'), name),
        None => (false, symbol),
    };
    let fits = |(part, words): &(&'static str, &[&str])| {
        words.iter().any(|word| name.contains(word)).then_some(*part)
    };
    if kernel {
        return KERNEL_PARTS.iter().find_map(fits).unwrap_or("kernel: other");
    }
    PARTS.iter().find_map(fits).unwrap_or("other")
}
