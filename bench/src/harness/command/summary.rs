//! A result in the terminal.

use comfy_table::{CellAlignment, Table, presets};

use super::super::{
    evidence::{
        availability,
        generators::TOO_BUSY,
        live::latency,
        result::{RunResult, Settled, Verification},
    },
    verify::MAX_HISTORY,
};

/// From this share of the rate on an open load kept it.
const KEPT_UP: f64 = 0.98;

/// What is to be known of a run whose servers went on with what the loading left them to do.
pub const NOT_QUIET: &str = "the servers were not quiet within three minutes after loading: what is measured has work in it that is \
                             not its own";

/// A run's figures as text.
pub fn text(result: &RunResult) -> String {
    let load = match result.settings.rate {
        Some(rate) => format!("open, {rate}/s"),
        None => format!("closed, {} in flight", result.settings.in_flight),
    };
    let replicas = match result.settings.replication_factor {
        Some(1) => "1 replica".to_owned(),
        Some(replicas) => format!("{replicas} replicas"),
        None => "replicas unknown".to_owned(),
    };
    let mut lines = vec![format!(
        "{} on {} ({}, {load}, {}, {replicas}), {:.1} s measured",
        result.workload,
        result.label,
        result.settings.protocol,
        result.settings.levels.join(" and "),
        result.seconds
    )];
    lines.push(table(result).to_string());
    lines.extend(result.settled.map(settled));
    if let Some(server) = &result.server {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let ratio =
            |ratio: Option<f64>| ratio.map_or_else(|| "unknown".into(), |ratio| format!("{ratio:.2}"));
        lines.push(format!(
            "servers: {:.1} µs CPU an operation, {:.0} MiB at most{}, {} bytes written and {} on disk for each byte of values",
            server.cpu_us_per_operation,
            mib(server.memory_peak_bytes),
            server.own_memory_peak_bytes.map_or_else(String::new, |own| format!(
                " ({:.0} of the largest one's own)",
                mib(own)
            )),
            ratio(server.written_per_payload),
            ratio(server.disk_per_payload)
        ));
    }
    if let Some((worst, median)) = availability::steadiness(&result.timeline) {
        lines.push(format!(
            "p99 of the worst second {}, of the median second {}: {:.1} times",
            latency(worst),
            latency(median),
            worst as f64 / (median.max(1) as f64)
        ));
    }
    if let Some((worst, median)) = availability::worst_syncs(&result.timeline) {
        lines.push(format!(
            "the disk itself: a sync of 4 KiB took {} at worst, {} in the median second's worst case",
            latency(worst),
            latency(median)
        ));
    }
    if let (Some(syncs), Some(shared)) = (result.disk_syncs_per_second, result.operations_per_sync()) {
        lines.push(format!(
            "the disk alone: {syncs:.0} syncs of 4 KiB a second, one after the other; {shared:.1} operations for each"
        ));
    }
    if let Some(late) = result.begun_late_p99_us {
        lines.push(format!(
            "99 % of the operations began at most {} after their time, which their latencies contain",
            latency(late)
        ));
    }
    if let Some(cores) = result.busiest_generator() {
        lines.push(format!(
            "load generator: {cores:.2} of a core, the busiest process"
        ));
        if cores >= TOO_BUSY {
            lines.push(
                "warning: the load generator needs all of its core and may measure itself: raise --processes, or give it \
                 another machine"
                    .to_owned(),
            );
        }
    }
    lines.extend(fell_short(result));
    for (kind, message) in &result.examples {
        let number: u64 = result.total.errors.get(kind).copied().unwrap_or(0);
        // Of the warm-up alone.
        if number > 0 {
            lines.push(format!("{number} x {kind}: {message}"));
        }
    }
    for fault in &result.faults {
        let slow = match (fault.last_slow_after, result.availability.slow_from_us) {
            (Some(seconds), _) => format!("the last slow request after {seconds:.1} s"),
            (None, Some(_)) => "no request was slow after it".to_owned(),
            (None, None) => {
                "how long requests were slow is unknown: no second before the first fault says what is usual"
                    .to_owned()
            }
        };
        lines.push(format!(
            "{:.1} s: {}: {}; {slow}",
            fault.at, fault.action, fault.outcome
        ));
    }
    lines.extend(whether_usable(result));
    if let Some(verification) = &result.verification {
        lines.push(verdict(verification));
    }
    lines.join("\n") + "\n"
}

fn settled(settled: Settled) -> String {
    if settled.quiet {
        let records = settled.records_read;
        return format!("before the run the servers were quiet, and {records} records were read");
    }
    format!("warning: {NOT_QUIET}")
}

/// The operations and their latencies.
fn table(result: &RunResult) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header([
        "operation",
        "done",
        "op/s",
        "mean",
        "p50",
        "p99",
        "p99.9",
        "max",
        "errors",
    ]);
    for operation in result.operations.iter().chain([&result.total]) {
        let latency = |micros: u64| operation.if_any(micros).map_or_else(|| "–".to_owned(), latency);
        table.add_row([
            operation.name.clone(),
            operation.count.to_string(),
            format!("{:.0}", operation.per_second),
            latency(operation.mean_us as u64),
            latency(operation.p50_us),
            latency(operation.p99_us),
            latency(operation.p999_us),
            latency(operation.max_us),
            operation.failed().to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Hints and availability, of runs in which there is something to tell of them.
fn whether_usable(result: &RunResult) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(hints) = availability::hand_off(&result.timeline) {
        let mib = hints.most_bytes as f64 / f64::from(1 << 20);
        let delivered = hints.seconds.map_or_else(
            || "not all were delivered by the end".to_owned(),
            |seconds| format!("delivered within {seconds} s ({:.1} MiB/s)", mib / seconds as f64),
        );
        lines.push(format!("hints: {mib:.1} MiB waited at most, {delivered}"));
    }
    if !result.faults.is_empty() || result.total.failed() > 0 {
        let availability = &result.availability;
        lines.push(format!(
            "availability: {:.2} % of {} seconds without errors, longest gap {} s",
            availability.without_errors * 100.0,
            availability.seconds,
            availability.longest_gap_seconds
        ));
    }
    lines
}

/// A warning, if fewer operations were carried out than arrived.
fn fell_short(result: &RunResult) -> Option<String> {
    let (rate, done) = (result.settings.rate?, result.total.per_second);
    (done < rate * KEPT_UP).then(|| {
        format!(
            "warning: {rate}/s were asked for and {done:.0}/s done: the servers, or this harness, did not keep up"
        )
    })
}

/// What `--verify` found.
pub fn verdict(verification: &Verification) -> String {
    let v = verification;
    let mut text = format!(
        "verification {}: {}; {} writes ({} of unknown outcome, {} conditions did not hold) and {} reads of {} records, {} read at the end; {} lost, {} own \
         writes missed, {} reads went back, {} stale, {} phantoms; {} histories{}, {} not linearizable, {} undecided",
        match (&v.not_verified, v.passed) {
            (Some(_), _) => "NOT MADE",
            (None, true) if v.undecided > 0 => "passed, but for what is undecided",
            (None, true) => "passed",
            (None, false) => "FAILED",
        },
        v.promise,
        v.writes,
        v.unknown_writes,
        v.conditions_failed,
        v.reads,
        v.records,
        v.final_reads,
        v.lost,
        v.own_writes_missed,
        v.reads_went_back,
        v.stale_reads,
        v.phantoms,
        v.histories,
        if v.histories_cut_off > 0 {
            format!(
                " ({} of them cut off after {MAX_HISTORY} operations)",
                v.histories_cut_off
            )
        } else {
            String::new()
        },
        v.not_linearizable,
        v.undecided
    );
    if !v.last_reads.is_empty() {
        text.push_str("\n  last reads: ");
        text.push_str(&v.last_reads);
    }
    if let Some(reason) = &v.not_verified {
        text.push_str("\n  could not be verified: ");
        text.push_str(reason);
    }
    for example in &v.examples {
        text.push_str("\n  ");
        text.push_str(example);
    }
    text
}
