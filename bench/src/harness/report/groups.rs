//! Which results are repetitions of one run, and what tells the others apart.

use super::{
    super::evidence::result::{Machine, RunResult, RunSettings},
    growth::Sizes,
    plot::{COLOURS, short},
};

/// Repetitions: runs of a label with the same workload, settings and faults, on one machine.
pub(super) struct Group<'a> {
    /// The label, and what tells groups of one label apart.
    pub(super) label: String,
    /// Its colour in plots.
    pub(super) colour: &'static str,
    /// Its runs, at least one.
    pub(super) runs: Vec<&'a RunResult>,
}

/// Puts repetitions together, in the order of the first of each.
pub(super) fn groups(results: &[RunResult]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for run in results {
        match groups.iter_mut().find(|group| repeats(group.runs[0], run)) {
            Some(group) => group.runs.push(run),
            None => groups.push(Group {
                label: run.label.clone(),
                colour: COLOURS[groups.len() % COLOURS.len()],
                runs: vec![run],
            }),
        }
    }
    let firsts: Vec<&RunResult> = groups.iter().map(|group| group.runs[0]).collect();
    for group in &mut groups {
        let same = |run: &&&RunResult| run.label == group.label;
        let alike: Vec<&RunResult> = firsts.iter().filter(same).copied().collect();
        let number = alike.iter().position(|run| std::ptr::eq(*run, group.runs[0]));
        if let Some(number) = number.filter(|_| alike.len() > 1) {
            let difference = difference(group.runs[0], &alike);
            group.label = format!("{} ({}: {difference})", group.label, number + 1);
        }
    }
    groups
}

/// Whether two results are repetitions of one run: all but chance and the moment is the same.
fn repeats(one: &RunResult, other: &RunResult) -> bool {
    is_alike(one, other, |_| {})
}

/// Whether two results are the same but for chance, the moment, and the settings that `forget` sets to one value.
fn is_alike(one: &RunResult, other: &RunResult, forget: fn(&mut RunSettings)) -> bool {
    let settings = |run: &RunResult| {
        let mut settings = RunSettings {
            seed: 0,
            ..run.settings.clone()
        };
        forget(&mut settings);
        settings
    };
    one.label == other.label
        && one.workload == other.workload
        && one.machine == other.machine
        && settings(one) == settings(other)
        && actions(one).eq(actions(other))
}

/// Groups that differ in their records alone, where there are at least two of a kind.
pub(super) fn sizes<'a>(groups: &'a [Group<'a>]) -> Vec<Sizes<'a>> {
    let mut all: Vec<Sizes<'a>> = Vec::new();
    for group in groups {
        let run = group.runs[0];
        let alike =
            |sizes: &&mut Sizes<'_>| is_alike(sizes.runs[0].1[0], run, |settings| settings.records = 0);
        let entry = (run.settings.records, group.runs.as_slice());
        match all.iter_mut().find(alike) {
            Some(sizes) => sizes.runs.push(entry),
            None => all.push(Sizes {
                label: &run.label,
                colour: group.colour,
                runs: vec![entry],
            }),
        }
    }
    all.retain(|sizes| sizes.runs.len() > 1);
    for sizes in &mut all {
        sizes.runs.sort_by_key(|(records, _)| *records);
    }
    all
}

fn actions(run: &RunResult) -> impl Iterator<Item = &str> {
    run.faults.iter().map(|fault| fault.action.as_str())
}

/// What a run was, for groups whose labels are the same: `alike` has a run of each of them.
fn difference(run: &RunResult, alike: &[&RunResult]) -> String {
    let faults: Vec<&str> = actions(run).collect();
    let mut parts = vec![
        run.workload.clone(),
        load(run),
        format!("{} records", short(run.settings.records as f64)),
    ];
    if !faults.is_empty() {
        parts.push(faults.join(", "));
    }
    for (place, detail) in details(run).into_iter().enumerate() {
        if alike.iter().any(|other| details(other)[place] != detail) {
            parts.push(detail);
        }
    }
    parts.join(", ")
}

/// What is told of a run only where another one differs in it.
fn details(run: &RunResult) -> [String; 13] {
    let settings = &run.settings;
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    [
        format!("target {}", settings.target),
        format!(
            "{} nodes",
            or_unknown(settings.nodes.map(|nodes| nodes.to_string()))
        ),
        format!("nodes' arguments [{}]", settings.node_arguments.join(" ")),
        format!("server {}", or_unknown(settings.server.clone())),
        format!("levels {}", settings.levels.join(" ")),
        format!(
            "replicas {}",
            or_unknown(settings.replication_factor.map(|replicas| replicas.to_string()))
        ),
        format!("{} connections", settings.connections),
        format!("{} processes", settings.processes),
        format!(
            "{} s warm-up, {} s, {} operations",
            settings.warm_up,
            or_unknown(settings.duration.map(|seconds| seconds.to_string())),
            or_unknown(settings.operations.map(|operations| operations.to_string()))
        ),
        format!("timeout {} s", settings.timeout),
        format!(
            "verified {}, disk probed {}, settled {}",
            settings.verified, settings.disk_probed, settings.settled
        ),
        format!("workload's text {}", settings.workload_hash),
        machine(&run.machine),
    ]
}

/// Where a run was made.
pub(super) fn machine(machine: &Machine) -> String {
    format!(
        "{} x {}, {:.1} GiB, Linux {}",
        machine.cores,
        machine.cpu,
        machine.memory_bytes as f64 / f64::from(1 << 30),
        machine.kernel
    )
}

/// How the load arrives.
pub(super) fn load(run: &RunResult) -> String {
    run.settings.rate.map_or_else(
        || format!("closed, {} in flight", run.settings.in_flight),
        |rate| format!("open, {} a second", short(rate)),
    )
}
