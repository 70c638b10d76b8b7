//! `starling-sim`: runs seeds and says which of them broke a promise, and how to see it again.

#![forbid(unsafe_code)]

use std::{num::NonZeroUsize, ops::Range, process::ExitCode, thread};

use clap::Parser;
use starling_sim::{
    bug::{Bug, table},
    run::{Plan, Report, run},
    side_by_side,
    trace::Sink,
};

/// Runs make and drop small things all the time: the system's allocator took a sixth of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs whole clusters in one process, with faults that a seed decides, and checks what they promised.
///
/// Exit code 0: every seed kept all promises. 1: one did not. 2: wrong usage.
#[derive(Debug, Parser)]
#[command(name = "starling-sim", version)]
struct Arguments {
    /// Seeds to run, `FROM..TO`, without the last.
    #[arg(long, value_parser = parse_range, default_value = "0..100", conflicts_with = "seed")]
    seeds: Range<u64>,
    /// One seed to run.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run at a time; otherwise as many as there are processors.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// How many nodes; otherwise the seed decides.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    nodes: Option<u16>,
    /// How many things the clients do.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// Let the ring change in every run; otherwise the seed decides.
    #[arg(long)]
    upheaval: bool,
    /// Let nothing go wrong in any run but that the ring changes: no request may fail.
    #[arg(long)]
    calm: bool,
    /// Print every event.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// A bug that the nodes have: the run should fail.
    #[arg(long, value_parser = parse_bug)]
    bug: Option<Bug>,
    /// Plant each bug in all the seeds, and print which promises break in how many of them. Exit code 1: one was not
    /// found, or a seed panicked that could not be judged.
    #[arg(long, conflicts_with_all = ["seed", "nodes"])]
    bugs: bool,
}

fn parse_bug(text: &str) -> Result<Bug, String> {
    Bug::named(text).ok_or_else(|| {
        let names: Vec<String> = Bug::ALL.iter().map(|bug| format!("{bug:?}")).collect();
        format!(
            "there is no bug '{text}'; those that there are: {}",
            names.join(", ")
        )
    })
}

impl Arguments {
    fn jobs(&self) -> NonZeroUsize {
        let processors = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.jobs.unwrap_or_else(processors)
    }

    fn run(&self, seed: u64) -> Report {
        let steps = self.steps as usize;
        let plan = match self.bug {
            Some(bug) => table::plan(bug, seed, steps),
            None => Plan {
                upheaval: self.upheaval.then_some(true),
                calm: self.calm,
                steps,
                ..Plan::new(seed)
            },
        };
        let plan = Plan {
            nodes: self.nodes.map(usize::from),
            ..plan
        };
        let sink = self.trace.then(|| Box::new(|line| println!("{line}")) as Sink);
        run(&plan, sink)
    }
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| {
        let range = from.parse::<u64>().ok()?..to.parse::<u64>().ok()?;
        (!range.is_empty()).then_some(range)
    });
    range.ok_or_else(|| format!("'{text}' is not a range of seeds; write it as 0..100"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = arguments
        .seed
        .map_or(arguments.seeds.clone(), |seed| seed..seed.saturating_add(1));
    // A panic in a run is reported as a violation of its seed, with the command that shows it again.
    if arguments.seed.is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    if arguments.bugs {
        return find_bugs(&arguments, seeds);
    }
    let (mut runs, mut failed) = (0_u64, 0_u64);
    let jobs = arguments.jobs();
    side_by_side::in_order(
        seeds,
        jobs,
        |seed| arguments.run(seed),
        |seed, report| {
            let report = report.unwrap_or_else(|panic| Report::of_panic(seed, panic));
            println!("{}", summary(&report));
            for violation in &report.violations {
                println!("  {violation}");
            }
            runs += 1;
            if !report.violations.is_empty() {
                failed += 1;
                println!("  replay: {}", replay(&arguments, seed));
            }
        },
    );
    println!("{runs} seeds, {failed} failed");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Looks for each bug, or the one that was named, in the seeds.
fn find_bugs(arguments: &Arguments, seeds: Range<u64>) -> ExitCode {
    let bugs = Bug::ALL.into_iter();
    let (mut missed, mut panicked) = (0, 0);
    println!("{}", table::HEAD);
    for bug in bugs.filter(|bug| arguments.bug.is_none_or(|named| named == *bug)) {
        let search = table::search(bug, seeds.clone(), arguments.steps as usize, arguments.jobs());
        println!("{search}");
        for (seed, panic) in &search.panicked {
            eprintln!("seed {seed} with {bug:?} panicked: {panic}");
        }
        missed += u32::from(search.found == 0);
        panicked += search.panicked.len();
    }
    if missed > 0 {
        eprintln!("{missed} bugs were not found");
    }
    if missed == 0 && panicked == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One line about one seed.
fn summary(report: &Report) -> String {
    let figures = report.figures;
    format!(
        "seed {} {} hash {:016x}: {} nodes, {:.0} s, {} events; writes {} acknowledged, {} refused, {} unknown; {} reads; {} messages lost, {} doubled; {} appends and {} names lost; {} bits rotten, {} stretches healed; {} flushes, {} compactions; {} changes of the ring, {} died for good; {} contradictions of the schema; {} datacenters; {} answers owed",
        report.seed,
        if report.violations.is_empty() {
            "ok"
        } else {
            "FAILED"
        },
        report.hash,
        report.nodes,
        report.time.as_secs_f64(),
        report.events,
        figures.acknowledged,
        figures.refused,
        figures.unknown,
        figures.reads,
        figures.lost,
        figures.duplicated,
        figures.lost_appends,
        figures.undone_names,
        figures.rotten_bits,
        figures.healed,
        figures.flushes,
        figures.compactions,
        figures.ring_changes,
        figures.dooms,
        figures.contradictions,
        figures.datacenters,
        figures.owed,
    )
}

/// The command that runs a seed again, with every event.
fn replay(arguments: &Arguments, seed: u64) -> String {
    let nodes = arguments
        .nodes
        .map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
    let steps = match arguments.steps {
        300 => String::new(),
        steps => format!(" --steps {steps}"),
    };
    let upheaval = if arguments.upheaval { " --upheaval" } else { "" };
    let calm = if arguments.calm { " --calm" } else { "" };
    let bug = arguments
        .bug
        .map_or_else(String::new, |bug| format!(" --bug {bug:?}"));
    format!("starling-sim --seed {seed}{nodes}{steps}{upheaval}{calm}{bug} --trace")
}
