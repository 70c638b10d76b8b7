//! CPU, memory and disk of processes on this machine, from `/proc`.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::result::Machine;

/// What processes have spent so far, and hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// CPU, user and system.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Memory of its own, in bytes: what maps no file (`RssAnon`). Of several processes, that of the one that has most.
    pub own_memory_bytes: u64,
    /// Bytes that were written to files; absent where the system does not tell. It is what was handed to `write`
    /// (`wchar`; what goes to sockets is sent, and not in it): `write_bytes` counts a large page of the cache whole for each
    /// byte of it that a small sync dirties.
    pub written_bytes: Option<u64>,
}

/// Follows processes that may end and be started again: what an ended one spent still counts.
#[derive(Debug, Default)]
pub struct Meter {
    last: BTreeMap<u32, Sample>,
}

impl Meter {
    /// What a process had spent when it ended, which nobody can ask any more.
    pub fn ended(&mut self, process: u32, last: Sample) {
        self.last.insert(process, last);
    }

    /// Whether anything is known of any process.
    pub fn has_seen_any(&self) -> bool {
        !self.last.is_empty()
    }

    /// Adds up what the processes that run now, and those that ran before, spent. Memory is that of those that run.
    pub fn sample(&mut self, processes: &[u32]) -> Sample {
        for &process in processes {
            if let Some(sample) = sample_of(process) {
                self.last.insert(process, sample);
            }
        }
        let mut sum = Sample {
            written_bytes: Some(0),
            ..Sample::default()
        };
        for (process, sample) in &self.last {
            sum.cpu += sample.cpu;
            sum.written_bytes = sum.written_bytes.zip(sample.written_bytes).map(|(a, b)| a + b);
            if processes.contains(process) {
                sum.memory_bytes += sample.memory_bytes;
                sum.own_memory_bytes = sum.own_memory_bytes.max(sample.own_memory_bytes);
            }
        }
        sum
    }
}

/// What a process has spent and holds; also of one that has ended, until its parent takes note. `None` if there is none.
pub fn sample_of(process: u32) -> Option<Sample> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let io = fs::read_to_string(format!("/proc/{process}/io")).ok();
    Some(Sample {
        cpu: cpu_of(&stat, rustix::param::clock_ticks_per_second())?,
        memory_bytes: field(&status, "VmRSS:").unwrap_or(0) * 1024,
        own_memory_bytes: field(&status, "RssAnon:").unwrap_or(0) * 1024,
        written_bytes: io.and_then(|io| field(&io, "wchar:")),
    })
}

/// User and system time in `/proc/PID/stat`: the 12th and 13th fields after the name, which stands in parentheses and may
/// hold spaces (proc(5)).
pub fn cpu_of(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / ticks_per_second))
}

/// The number behind a name.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// All files below a directory, in bytes as the disk counts them: holes take none.
pub fn size_of_tree(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_tree(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// This machine.
pub fn machine() -> Machine {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cpu: model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned()),
        memory_bytes: field(&memory, "MemTotal:").unwrap_or(0) * 1024,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
    }
}
