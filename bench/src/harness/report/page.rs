//! The page.

use std::fmt::Write;

use super::{
    super::{
        command::summary::{NOT_QUIET, verdict},
        evidence::{
            generators::TOO_BUSY,
            result::{Machine, OperationResult, RunResult, Second},
            slice::{add_counts, fine},
        },
    },
    groups::{Group, groups, load, machine, sizes},
    growth::{self, Sizes},
    plot::{self, Plot, Series, escape, short},
    ratio::{Observed, Ratio, median},
};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse;margin:1em 0;width:100%}th,td{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right}\
    th:first-child,td:first-child{text-align:left}svg{width:100%;margin:.5em 0}";

const STYLE_OF_WORDS: &str = ".k{display:inline-block;width:1.2em;height:.8em;margin-right:.4em}.sure{font-weight:600}small{color:#666}";

/// Marks that are nearer than this, in seconds, are one: faults come a moment after their time.
const SAME_MARK: f64 = 0.5;

/// What is shown where there is no figure.
const NONE: &str = "–";

/// A figure of a run, if it has one.
type Figure = fn(&RunResult) -> Option<f64>;

/// What is compared.
const FIGURES: [(&str, Figure); 15] = [
    ("operations a second", |run| Some(run.total.per_second)),
    ("operations that failed, %", |run| run.total.failed_percent()),
    ("seconds without errors, %", |run| {
        Some(run.availability.without_errors * 100.0)
    }),
    ("mean latency, µs", |run| run.total.if_any(run.total.mean_us)),
    ("p50, µs", |run| run.total.if_any(run.total.p50_us as f64)),
    ("p99, µs", |run| run.total.if_any(run.total.p99_us as f64)),
    ("p99.9, µs", |run| run.total.if_any(run.total.p999_us as f64)),
    ("slowest, µs", |run| run.total.if_any(run.total.max_us as f64)),
    ("server CPU an operation, µs", |run| {
        Some(run.server.as_ref()?.cpu_us_per_operation)
    }),
    ("server memory at most, MiB", |run| {
        Some(run.server.as_ref()?.memory_peak_bytes as f64 / f64::from(1 << 20))
    }),
    ("bytes written for a byte of values", |run| {
        run.server.as_ref()?.written_per_payload
    }),
    ("bytes on disk for a byte of values", |run| {
        run.server.as_ref()?.disk_per_payload
    }),
    ("busiest load generator, cores", RunResult::busiest_generator),
    ("syncs a second of the disk alone", |run| {
        run.disk_syncs_per_second
    }),
    (
        "operations for a sync of the disk alone",
        RunResult::operations_per_sync,
    ),
];

/// Results as a page. The first label is the base of the ratios.
pub fn html(results: &[RunResult]) -> String {
    let groups = groups(results);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Benchmark</title>\n\
         <style>{STYLE}{}{STYLE_OF_WORDS}</style>\n<h1>Benchmark</h1>\n",
        plot::STYLE
    );
    what_was_run(&mut out, &groups);
    ratios(&mut out, &groups);
    operations(&mut out, &groups);
    out.push_str("<h2>Latency</h2>\n");
    out.push_str(&percentiles(&groups).svg());
    let sizes = sizes(&groups);
    if !sizes.is_empty() {
        out.push_str("<h2>Records</h2>\n");
        for plot in growth::plots(&sizes) {
            out.push_str(&plot.svg());
        }
        for told in sizes.iter().filter_map(Sizes::told) {
            add(&mut out, format!("<p>{}.</p>", escape(&told)));
        }
    }
    out.push_str("<h2>Timeline</h2>\n<p><small>One line for each run. Dashed: the end of the warm-up, and faults.</small></p>\n");
    for plot in timelines(&groups) {
        out.push_str(&plot.svg());
    }
    faults_and_checks(&mut out, &groups);
    out + "</html>\n"
}

fn add(out: &mut String, text: impl AsRef<str>) {
    out.push_str(text.as_ref());
    out.push('\n');
}

fn row(out: &mut String, tag: &str, cells: &[String]) {
    let cells = cells.join(&format!("</{tag}><{tag}>"));
    add(out, format!("<tr><{tag}>{cells}</{tag}></tr>"));
}

fn what_was_run(out: &mut String, groups: &[Group<'_>]) {
    add(out, "<table>");
    let head = [
        "label",
        "workload",
        "load",
        "protocol",
        "replicas",
        "runs",
        "seconds each",
    ];
    row(out, "th", &head.map(str::to_owned));
    for group in groups {
        let run = group.runs[0];
        let settings = &run.settings;
        row(
            out,
            "td",
            &[
                format!(
                    "<span class=\"k\" style=\"background:{}\"></span>{}",
                    group.colour,
                    escape(&group.label)
                ),
                escape(&run.workload),
                load(run),
                escape(&settings.protocol),
                settings
                    .replication_factor
                    .map_or_else(|| "unknown".to_owned(), |replicas| replicas.to_string()),
                group.runs.len().to_string(),
                format!("{:.0}", run.seconds),
            ],
        );
    }
    add(out, "</table>");
    let mut machines: Vec<&Machine> = Vec::new();
    for run in groups.iter().map(|group| group.runs[0]) {
        if !machines.contains(&&run.machine) {
            machines.push(&run.machine);
        }
    }
    for one in &machines {
        add(out, format!("<p><small>{}</small></p>", escape(&machine(one))));
    }
    if machines.len() > 1 {
        add(
            out,
            "<p>These results are of different machines: what differs may be theirs.</p>",
        );
    }
}

fn ratios(out: &mut String, groups: &[Group<'_>]) {
    let Some((base, others)) = groups.split_first() else {
        return;
    };
    add(out, "<h2>Figures</h2>\n<table>");
    let mut head = vec!["median of the runs".to_owned(), escape(&base.label)];
    for other in others {
        head.push(escape(&other.label));
        head.push(format!("{} / {}", escape(&other.label), escape(&base.label)));
    }
    row(out, "th", &head);
    for (name, figure) in FIGURES {
        let of = |group: &Group<'_>| -> Vec<Observed> {
            let observed = |run: &&RunResult| Observed {
                started: run.started,
                figure: figure(run),
            };
            group.runs.iter().map(observed).collect()
        };
        let middle = |runs: &[Observed]| {
            let figures: Vec<f64> = runs.iter().filter_map(|run| run.figure).collect();
            (!figures.is_empty()).then(|| short(median(&figures)))
        };
        let figures = of(base);
        if groups.iter().all(|group| middle(&of(group)).is_none()) {
            continue;
        }
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        let mut cells = vec![name.to_owned(), or_none(middle(&figures))];
        for other in others {
            let theirs = of(other);
            cells.push(or_none(middle(&theirs)));
            cells.push(or_none(Ratio::of(&theirs, &figures).map(shown)));
        }
        row(out, "td", &cells);
    }
    add(out, "</table>");
    for group in groups {
        let busiest = group.runs.iter().filter_map(|run| run.busiest_generator());
        if let Some(cores) = busiest.max_by(f64::total_cmp).filter(|cores| *cores >= TOO_BUSY) {
            add(
                out,
                format!(
                    "<p>{}: a load generator used {cores:.2} of a core, and may have measured itself.</p>",
                    escape(&group.label)
                ),
            );
        }
    }
    for group in groups {
        let not_quiet = |run: &&RunResult| run.settled.is_some_and(|settled| !settled.quiet);
        if group.runs.iter().any(not_quiet) {
            add(out, format!("<p>{}: {NOT_QUIET}.</p>", escape(&group.label)));
        }
    }
    if !others.is_empty() {
        add(
            out,
            "<p><small>Ratios: geometric mean over pairs of runs in the order of time, with the interval that holds the true one \
             in 95 of 100 cases (Student's t on logarithms), where the runs took turns. Bold: 1 is outside of the interval for \
             99.5 of 100, so that of ten ratios none is bold by chance on 95 pages of 100. Latencies are those of operations \
             that succeeded.</small></p>",
        );
    }
}

fn shown(ratio: Ratio) -> String {
    let class = if ratio.is_sure() { " class=\"sure\"" } else { "" };
    match ratio.interval {
        Some((low, high)) => format!(
            "<span{class}>{:.2}</span> <small>[{low:.2}, {high:.2}]</small>",
            ratio.value
        ),
        None if ratio.pairs > 1 => format!("{:.2} <small>not in turn</small>", ratio.value),
        None => format!("{:.2} <small>one run</small>", ratio.value),
    }
}

fn operations(out: &mut String, groups: &[Group<'_>]) {
    add(out, "<h2>Operations</h2>\n<table>");
    let head = [
        "operation",
        "label",
        "op/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "errors",
    ];
    row(out, "th", &head.map(str::to_owned));
    let names = groups.first().map(|group| &group.runs[0].operations);
    for name in names.into_iter().flatten().map(|operation| &operation.name) {
        for group in groups {
            let of = |figure: &dyn Fn(&OperationResult) -> Option<f64>| {
                let all = group.runs.iter().flat_map(|run| &run.operations);
                let figures: Vec<f64> = all
                    .filter(|operation| operation.name == *name)
                    .filter_map(figure)
                    .collect();
                if figures.is_empty() {
                    NONE.to_owned()
                } else {
                    short(median(&figures))
                }
            };
            row(
                out,
                "td",
                &[
                    escape(name),
                    escape(&group.label),
                    of(&|operation| Some(operation.per_second)),
                    of(&|operation| operation.if_any(operation.p50_us as f64)),
                    of(&|operation| operation.if_any(operation.p99_us as f64)),
                    of(&|operation| operation.if_any(operation.p999_us as f64)),
                    of(&|operation| Some(operation.failed() as f64)),
                ],
            );
        }
    }
    add(out, "</table>");
}

/// Latency over 1 / (1 - quantile), which makes room for what is rare.
fn percentiles(groups: &[Group<'_>]) -> Plot {
    let nines = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
    let x_of = |quantile: f64| (1.0 / (1.0 - quantile)).log10();
    let series = groups.iter().map(|group| {
        let mut latencies = fine();
        for run in &group.runs {
            add_counts(&mut latencies, &run.total.histogram);
        }
        let steps = (0..=100).map(|step| f64::from(step) / 20.0);
        let points = steps
            // Beyond the last request there is nothing.
            .filter(|x| 10_f64.powf(*x) <= latencies.len() as f64)
            .map(|x| (x, latencies.value_at_quantile(1.0 - 10_f64.powf(-x)) as f64))
            .collect();
        Series {
            colour: group.colour,
            points,
        }
    });
    Plot {
        title: "Latency of all operations, µs".into(),
        x: "percentile".into(),
        ticks: nines.map(|q| (x_of(q), format!("{}", q * 100.0))).to_vec(),
        logarithmic: true,
        series: series.collect(),
        marks: Vec::new(),
    }
}

/// Where the measured time and the faults of each group begin; what is at the same place in several groups once.
pub(super) fn marks(groups: &[Group<'_>]) -> Vec<(f64, String)> {
    let mut marks: Vec<(f64, String)> = Vec::new();
    for run in groups.iter().map(|group| group.runs[0]) {
        let warm_up = Some(run.settings.warm_up).filter(|warm_up| *warm_up > 0.0);
        let warm_up = warm_up.map(|at| (at, "measured from here".to_owned()));
        let faults = run.faults.iter().map(|fault| (fault.at, fault.action.clone()));
        for (at, text) in warm_up.into_iter().chain(faults) {
            let near = |known: &(f64, String)| (known.0 - at).abs() < SAME_MARK && known.1 == text;
            if !marks.iter().any(near) {
                marks.push((at, text));
            }
        }
    }
    marks
}

fn timelines(groups: &[Group<'_>]) -> Vec<Plot> {
    type Value = fn(&Second) -> Option<f64>;
    let plots: [(&str, bool, Value); 9] = [
        ("Operations a second", false, |second| Some(second.done as f64)),
        ("p50 of each second, µs", true, |second| {
            Some(second.if_any(second.p50_us)? as f64)
        }),
        ("p99 of each second, µs", true, |second| {
            Some(second.if_any(second.p99_us)? as f64)
        }),
        ("p99.9 of each second, µs", true, |second| {
            Some(second.if_any(second.p999_us)? as f64)
        }),
        ("Errors a second", false, |second| {
            Some(second.errors.values().sum::<u64>() as f64)
        }),
        ("Server CPU, cores", false, |second| second.server_cpu_seconds),
        ("Server memory, MiB", false, |second| {
            Some(second.server_memory_bytes? as f64 / f64::from(1 << 20))
        }),
        ("Hints that wait, MiB", false, |second| {
            Some(second.hint_bytes? as f64 / f64::from(1 << 20))
        }),
        ("Worst sync of the disk itself, µs", true, |second| {
            Some(second.disk_sync_us? as f64)
        }),
    ];
    let runs = || {
        groups
            .iter()
            .flat_map(|group| group.runs.iter().map(|run| (group.colour, *run)))
    };
    let marks = marks(groups);
    let has_errors = runs().any(|(_, run)| run.timeline.iter().any(|second| !second.errors.is_empty()));
    plots
        .into_iter()
        .filter(|(title, ..)| has_errors || !title.starts_with("Errors"))
        .map(|(title, logarithmic, value)| Plot {
            title: title.into(),
            x: "seconds since the run began".into(),
            ticks: Vec::new(),
            logarithmic,
            series: runs()
                .map(|(colour, run)| Series {
                    colour,
                    points: run
                        .timeline
                        .iter()
                        .filter_map(|second| Some((second.second as f64, value(second)?)))
                        .collect(),
                })
                .collect(),
            marks: marks.clone(),
        })
        .collect()
}

fn faults_and_checks(out: &mut String, groups: &[Group<'_>]) {
    let runs: Vec<(&str, &RunResult)> = groups
        .iter()
        .flat_map(|group| group.runs.iter().map(|run| (group.label.as_str(), *run)))
        .collect();
    if runs.iter().any(|(_, run)| !run.faults.is_empty()) {
        add(out, "<h2>Faults</h2>\n<table>");
        let head = ["label", "at, s", "fault", "outcome", "last slow request after, s"];
        row(out, "th", &head.map(str::to_owned));
        for (label, run) in &runs {
            for fault in &run.faults {
                row(
                    out,
                    "td",
                    &[
                        escape(label),
                        format!("{:.1}", fault.at),
                        escape(&fault.action),
                        escape(&fault.outcome),
                        match (fault.last_slow_after, run.availability.slow_from_us) {
                            (Some(after), _) => format!("{after:.1}"),
                            (None, Some(_)) => "none was slow".into(),
                            (None, None) => "unknown".into(),
                        },
                    ],
                );
            }
        }
        add(out, "</table>");
    }
    add(out, "<h2>Availability</h2>\n<table>");
    let head = [
        "label",
        "seconds",
        "without errors, %",
        "longest gap, s",
        "slow from, µs",
    ];
    row(out, "th", &head.map(str::to_owned));
    for (label, run) in &runs {
        let availability = &run.availability;
        row(
            out,
            "td",
            &[
                escape(label),
                availability.seconds.to_string(),
                format!("{:.2}", availability.without_errors * 100.0),
                availability.longest_gap_seconds.to_string(),
                availability
                    .slow_from_us
                    .map_or_else(|| "unknown".into(), |micros| micros.to_string()),
            ],
        );
    }
    add(out, "</table>");
    for (label, run) in &runs {
        if let Some(verification) = &run.verification {
            let text = escape(&verdict(verification)).replace('\n', "<br>");
            let _infallible = writeln!(out, "<p>{}: {text}</p>", escape(label));
        }
        for (kind, message) in &run.examples {
            let _infallible = writeln!(
                out,
                "<p><small>{}: {}: {}</small></p>",
                escape(label),
                escape(kind),
                escape(message)
            );
        }
    }
}
