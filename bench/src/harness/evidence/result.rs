//! The JSON that a run writes. `docs/benchmarking.md` says what each figure means.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::slice::{Counts, Tenths, add_counts, counts, fine};

/// The version of the format; readers refuse others.
pub const FORMAT: u32 = 1;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose figures these are, in reports: runs with the same label, settings and machine are repetitions.
    pub label: String,
    /// The workload's name or file.
    pub workload: String,
    /// When the run began, in seconds since 1970.
    pub started: u64,
    /// How it was driven.
    pub settings: RunSettings,
    /// Where it ran.
    pub machine: Machine,
    /// What was waited for before the run. Only in runs with `--settle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// The measured time, without warm-up, in seconds.
    pub seconds: f64,
    /// All operations together, and errors of none: what was never sent, nodes that could not be reached.
    pub total: OperationResult,
    /// Each operation.
    pub operations: Vec<OperationResult>,
    /// How late 99 % of the operations of an open load were begun at most, in microseconds: by the generator itself, and by
    /// waiting for room where all requests in flight were taken. Latencies contain it. Absent of a closed load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_late_p99_us: Option<u64>,
    /// Cores that each load-generating process used in the measured time, user and system; with one process that of the
    /// harness, with all that it does beside. Nothing of runs under half a second, and of older versions.
    #[serde(default)]
    pub generator_cores: Vec<f64>,
    /// Each second, warm-up included.
    pub timeline: Vec<Second>,
    /// What the servers spent, where they are processes of this machine.
    pub server: Option<ServerCost>,
    /// Syncs a second that the disk made alone, back to back, each of four kilobytes: the better of what was measured before
    /// the load and after it. Only in runs with `--probe-disk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_syncs_per_second: Option<f64>,
    /// What the run did to the servers.
    pub faults: Vec<FaultEvent>,
    /// Whether it could be used all the time.
    pub availability: Availability,
    /// What `--verify` found.
    pub verification: Option<Verification>,
    /// For each kind of error the first message.
    pub examples: BTreeMap<String, String>,
}

/// How a run was driven.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// The servers.
    pub target: String,
    /// `cql` or `quic`.
    pub protocol: String,
    /// Requests in flight, at most.
    pub in_flight: u32,
    /// Connections (CQL) or sessions (QUIC) that were made, of all processes: no more than requests in flight.
    pub connections: u32,
    /// Operations a second that arrive (open); absent: closed.
    pub rate: Option<f64>,
    /// Load-generating processes.
    pub processes: u32,
    /// Seconds before the measurement.
    pub warm_up: f64,
    /// Seconds that were to be measured; absent where a number of operations ended the run. Results of older versions have
    /// none, and none of what follows up to `workload_hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// Operations that ended the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// Seconds after which a statement was given up.
    #[serde(default)]
    pub timeout: f64,
    /// Nodes of a cluster of our own at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// What each of them was started with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_arguments: Vec<String>,
    /// Their binary: what it says of itself, and a hash of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// `--verify`.
    #[serde(default)]
    pub verified: bool,
    /// `--probe-disk`.
    #[serde(default)]
    pub disk_probed: bool,
    /// `--settle`.
    #[serde(default)]
    pub settled: bool,
    /// A hash of the workload's text.
    #[serde(default)]
    pub workload_hash: String,
    /// Records that were loaded.
    pub records: u64,
    /// Replicas of each row; absent where the tables were there and nobody said it.
    #[serde(default)]
    pub replication_factor: Option<u32>,
    /// The levels of the workload's statements, each once. Results of older versions have none.
    #[serde(default)]
    pub levels: Vec<String>,
    /// `--fault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The level set on the command line, if it was.
    pub consistency: Option<String>,
    /// The seed.
    pub seed: u64,
}

/// What was waited for between the loading and the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Whether the servers had nothing left to flush and compact then. Otherwise they went on for three minutes, and into the run.
    pub quiet: bool,
    /// Records that were read, each once; 0 if the workload reads none.
    pub records_read: u64,
}

/// Where a run was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processors.
    pub cores: usize,
    /// Their model.
    pub cpu: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel.
    pub kernel: String,
}

/// Latencies of operations that succeeded, in microseconds from when each should have begun; 0 if none did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OperationResult {
    /// Its name in the workload; `all`.
    pub name: String,
    /// How many succeeded of those that should have begun in the measured time, however late.
    pub count: u64,
    /// How many succeeded within the measured time, whenever they should have begun. Results of older versions have 0.
    #[serde(default)]
    pub answered: u64,
    /// These, for each second of the measured time.
    pub per_second: f64,
    /// Errors by kind.
    pub errors: BTreeMap<String, u64>,
    /// The mean.
    pub mean_us: f64,
    /// Half took at most this.
    pub p50_us: u64,
    /// 90 %.
    pub p90_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// 99.9 %.
    pub p999_us: u64,
    /// 99.99 %.
    pub p9999_us: u64,
    /// All.
    pub max_us: u64,
    /// Value (microseconds, the upper end of its bucket) and count.
    pub histogram: Counts,
}

impl RunResult {
    /// Cores that the busiest load-generating process used.
    pub fn busiest_generator(&self) -> Option<f64> {
        self.generator_cores.iter().copied().max_by(f64::total_cmp)
    }

    /// Operations for each sync that the disk would have made alone: of durable writes, how many share one.
    pub fn operations_per_sync(&self) -> Option<f64> {
        let syncs = self.disk_syncs_per_second.filter(|syncs| *syncs > 0.0)?;
        Some(self.total.per_second / syncs)
    }
}

impl OperationResult {
    /// The figures of a histogram, and of so many operations that succeeded within so many seconds.
    pub fn of(
        name: &str,
        latencies: &Histogram<u64>,
        errors: BTreeMap<String, u64>,
        (answered, seconds): (u64, f64),
    ) -> Self {
        Self {
            name: name.to_owned(),
            count: latencies.len(),
            answered,
            per_second: answered as f64 / seconds.max(1e-9),
            errors,
            mean_us: latencies.mean(),
            p50_us: latencies.value_at_quantile(0.5),
            p90_us: latencies.value_at_quantile(0.9),
            p99_us: latencies.value_at_quantile(0.99),
            p999_us: latencies.value_at_quantile(0.999),
            p9999_us: latencies.value_at_quantile(0.9999),
            max_us: if latencies.is_empty() { 0 } else { latencies.max() },
            histogram: counts(latencies),
        }
    }

    /// The histogram.
    pub fn latencies(&self) -> Histogram<u64> {
        let mut histogram = fine();
        add_counts(&mut histogram, &self.histogram);
        histogram
    }

    /// Errors of all kinds.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// A latency, in microseconds, if any operation succeeded: of none there is no latency, and not one of 0.
    pub fn if_any<T>(&self, latency: T) -> Option<T> {
        (self.count > 0).then_some(latency)
    }

    /// Of the operations that should have begun in the measured time, the percentage that failed, 0 to 100; no percentile
    /// has those. `None` if there were none.
    pub fn failed_percent(&self) -> Option<f64> {
        let all = self.count + self.failed();
        (all > 0).then(|| self.failed() as f64 * 100.0 / all as f64)
    }
}

/// A second of the timeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Since the run began.
    pub second: u64,
    /// Whether it belongs to the warm-up.
    pub warm_up: bool,
    /// Operations that were answered in it.
    pub done: u64,
    /// Of the last second: those that were answered when the run was over. They belong to its percentiles. Results of older
    /// versions have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late: u64,
    /// Half of these and those took at most this, in microseconds.
    pub p50_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// 99.9 %.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// Errors by kind, of operations that should have begun in it.
    pub errors: BTreeMap<String, u64>,
    /// When in it slow ones, and those that failed, should have begun. Results of older versions have none.
    #[serde(default)]
    pub tenths: Tenths,
    /// CPU that all servers spent in it, in seconds.
    pub server_cpu_seconds: Option<f64>,
    /// What all servers hold in memory at its end, in bytes.
    pub server_memory_bytes: Option<u64>,
    /// Bytes of hints that the servers kept for one another at its end; only in runs with faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint_bytes: Option<u64>,
    /// The worst sync of four kilobytes beside the servers that ended in it, in microseconds; only in runs with
    /// `--probe-disk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_sync_us: Option<u64>,
}

impl Second {
    /// A latency of it, in microseconds, if it has any: of no answer there is none.
    pub fn if_any(&self, latency: u64) -> Option<u64> {
        (self.done + self.late > 0).then_some(latency)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the servers spent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerCost {
    /// CPU, user and system, in the measured time, of all servers together, in seconds.
    pub cpu_seconds: f64,
    /// For one operation that succeeded, in microseconds.
    pub cpu_us_per_operation: f64,
    /// The most memory that all servers held together, in bytes.
    pub memory_peak_bytes: u64,
    /// The most memory that one of them held of its own, in bytes: without files that are mapped, which the system takes back when
    /// it wants. Results of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_memory_peak_bytes: Option<u64>,
    /// Bytes that all servers together wrote to files in the measured time; absent where the system does not tell.
    pub disk_written_bytes: Option<u64>,
    /// Bytes of values in acknowledged writes in the measured time.
    pub payload_bytes: u64,
    /// The servers' files at the end, in bytes; absent where their directories are not known.
    pub disk_bytes: Option<u64>,
    /// `disk_written_bytes` over `payload_bytes`.
    pub written_per_payload: Option<f64>,
    /// `disk_bytes` over the payload of loading and the whole run together, warm-up included; replicas count.
    pub disk_per_payload: Option<f64>,
}

/// Something that was done to the servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultEvent {
    /// Seconds since the run began.
    pub at: f64,
    /// What, to whom: `kill node2`.
    pub action: String,
    /// How it went: `done`, or why not.
    pub outcome: String,
    /// Whether it was carried out.
    pub done: bool,
    /// Seconds from the fault to when the last operation before the next fault that was slow or failed should have begun, up
    /// to the end of that tenth of a second; absent if none was slow, or nobody knows what slow is.
    pub last_slow_after: Option<f64>,
}

/// Whether the servers could be used, in the measured time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Availability {
    /// Seconds that were looked at.
    pub seconds: u64,
    /// Of these, the share with success and without errors.
    pub without_errors: f64,
    /// The longest run of seconds in which nothing succeeded.
    pub longest_gap_seconds: u64,
    /// An operation is slow from this on, in microseconds: ten times the median p99 of the seconds before the first fault,
    /// and a millisecond at least. Absent if there were none: then nobody knows what was slow.
    #[serde(default)]
    pub slow_from_us: Option<u64>,
}

/// What `--verify` found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Whether everything that was promised held, and every record could be read at the end.
    pub passed: bool,
    /// Why not every record could be read at the end: then what is lost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_verified: Option<String>,
    /// At which level the last reads were made, and why at no stronger one.
    #[serde(default)]
    pub last_reads: String,
    /// What was promised: the levels, and what follows from them.
    pub promise: String,
    /// Records that were followed.
    pub records: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Writes whose outcome is unknown.
    pub unknown_writes: u64,
    /// Conditional writes whose condition did not hold.
    #[serde(default)]
    pub conditions_failed: u64,
    /// Reads that were checked.
    pub reads: u64,
    /// Records that were read at the end.
    pub final_reads: u64,
    /// Acknowledged writes that were not there at the end.
    pub lost: u64,
    /// Reads that were older than a write that their own session knew to be acknowledged.
    pub own_writes_missed: u64,
    /// Reads that were older than what their own session had read.
    pub reads_went_back: u64,
    /// Reads that were older than what another session wrote or read before they began.
    pub stale_reads: u64,
    /// Reads of versions that nobody wrote.
    pub phantoms: u64,
    /// Histories of single records that were checked for linearizability, each up to its first 2,000 operations.
    pub histories: u64,
    /// Of these, how many end before their record's last operation: what came later was judged by reads alone. Results of older
    /// versions do not tell, and have 0.
    #[serde(default)]
    pub histories_cut_off: u64,
    /// Of all histories, how many are not linearizable.
    pub not_linearizable: u64,
    /// Of all histories, how many were too large to decide.
    pub undecided: u64,
    /// Violations beyond the promise, which do not fail it.
    pub beyond_promise: u64,
    /// The first violations, in words.
    pub examples: Vec<String>,
}
