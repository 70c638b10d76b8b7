//! CPU and context switches of processes by kind of thread, from `/proc`.

use std::{collections::BTreeMap, fs, time::Duration};

/// What the threads of one kind have spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// On a processor.
    pub cpu: Duration,
    /// Times that a thread left its processor: because it waited, or because another one's turn came.
    pub switches: u64,
}

/// What all threads of some processes have spent so far, by kind: the thread's name without its number.
pub fn sample(processes: &[u32]) -> BTreeMap<String, Spent> {
    let mut kinds: BTreeMap<String, Spent> = BTreeMap::new();
    for process in processes {
        let threads = fs::read_dir(format!("/proc/{process}/task"))
            .into_iter()
            .flatten();
        for thread in threads.flatten() {
            let read = |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            let spent = kinds.entry(kind(read("comm").trim())).or_default();
            spent.cpu += Duration::from_nanos(first_number(&read("schedstat")));
            spent.switches += switches(&read("status"));
        }
    }
    kinds
}

/// What was spent from one sample to the next.
pub fn between(before: &BTreeMap<String, Spent>, after: &BTreeMap<String, Spent>) -> BTreeMap<String, Spent> {
    let since = |(kind, after): (&String, &Spent)| {
        let before = before.get(kind).copied().unwrap_or_default();
        let spent = Spent {
            cpu: after.cpu.saturating_sub(before.cpu),
            switches: after.switches.saturating_sub(before.switches),
        };
        (kind.clone(), spent)
    };
    after.iter().map(since).collect()
}

/// What threads of idle servers spend in a second.
pub fn idle_second(processes: &[u32]) -> BTreeMap<String, Spent> {
    let before = sample(processes);
    std::thread::sleep(Duration::from_secs(1));
    between(&before, &sample(processes))
}

/// What was spent, without what the same threads spend when there is nothing to do: `idle` is that of a second.
pub fn without_idle(
    spent: &BTreeMap<String, Spent>,
    idle: &BTreeMap<String, Spent>,
    seconds: f64,
) -> BTreeMap<String, Spent> {
    let less = |(kind, spent): (&String, &Spent)| {
        let idle = idle.get(kind).copied().unwrap_or_default();
        let switches = (idle.switches as f64 * seconds) as u64;
        let spent = Spent {
            cpu: spent.cpu.saturating_sub(idle.cpu.mul_f64(seconds.max(0.0))),
            switches: spent.switches.saturating_sub(switches),
        };
        (kind.clone(), spent)
    };
    spent.iter().map(less).collect()
}

/// A thread's name without the number at its end.
pub(super) fn kind(name: &str) -> String {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || "-_ ".contains(c));
    if name.is_empty() { "unnamed" } else { name }.to_owned()
}

/// `/proc/PID/task/TID/schedstat` begins with the nanoseconds on a processor.
fn first_number(text: &str) -> u64 {
    text.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The sum of `voluntary_ctxt_switches` and `nonvoluntary_ctxt_switches` in `/proc/PID/task/TID/status`.
pub(super) fn switches(status: &str) -> u64 {
    let lines = status
        .lines()
        .filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
    lines
        .filter_map(|(_, number)| number.trim().parse::<u64>().ok())
        .sum()
}
