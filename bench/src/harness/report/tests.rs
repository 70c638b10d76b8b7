use std::collections::BTreeMap;

use super::{
    chart, page,
    plot::{Plot, Series, escape, short},
    ratio::{Observed, Ratio, median},
};
use crate::harness::{
    command::summary,
    evidence::result::{
        Availability, FORMAT, FaultEvent, Machine, OperationResult, RunResult, RunSettings, Second,
        ServerCost, Settled,
    },
};

/// Runs that began one after the other, every other second from `first` on.
fn observed(first: u64, figures: &[f64]) -> Vec<Observed> {
    let started = (first..).step_by(2);
    let runs = started.zip(figures).map(|(started, figure)| Observed {
        started,
        figure: Some(*figure),
    });
    runs.collect()
}

#[test]
fn ratios_of_pairs_have_an_interval() {
    let of = |figures: &[f64], base: &[f64]| Ratio::of(&observed(0, figures), &observed(1, base));
    let ratio = of(&[2.0, 4.0, 8.0], &[1.0, 2.0, 4.0]).expect("three pairs");
    assert!((ratio.value - 2.0).abs() < 1e-12 && ratio.is_sure(), "{ratio:?}");
    // Logarithms 0 and ln 4: mean ln 2, standard error ln 2, t = 12.706.
    let wide = of(&[1.0, 4.0], &[1.0, 1.0]).expect("two pairs");
    let (low, high) = wide.interval.expect("two pairs");
    let half = 12.706 * 2_f64.ln();
    assert!((low.ln() - (2_f64.ln() - half)).abs() < 1e-9 && (high.ln() - (2_f64.ln() + half)).abs() < 1e-9);
    assert!(!wide.is_sure());
    let one = of(&[3.0], &[2.0]).expect("one pair");
    assert_eq!((one.interval, one.pairs), (None, 1));
    assert_eq!(of(&[0.0], &[2.0]), None);
    assert_eq!(of(&[0.0, 4.0], &[2.0, 2.0]), None, "what was 0 is not left out");
}

#[test]
fn one_of_ten_ratios_is_not_bold_by_chance() {
    // Logarithms with mean 1 and standard error 1/3, of which five runs need 2.776 for one and 5.598 for ten.
    let logs = [1.0_f64 - 0.943, 1.0 - 0.471, 1.0, 1.0 + 0.471, 1.0 + 0.943];
    let figures = logs.map(f64::exp);
    let ratio = Ratio::of(&observed(0, &figures), &observed(1, &[1.0; 5])).expect("five pairs");
    assert!(ratio.interval.expect("they took turns").0 > 1.0, "{ratio:?}");
    assert!(!ratio.is_sure(), "{ratio:?}");
}

#[test]
fn runs_that_did_not_take_turns_have_no_interval() {
    let (first, second) = (observed(0, &[2.0, 4.0, 8.0]), observed(100, &[1.0, 2.0, 4.0]));
    let blocks = Ratio::of(&second, &first).expect("three pairs");
    assert!((blocks.value - 0.5).abs() < 1e-12 && blocks.interval.is_none() && !blocks.is_sure());
    assert_eq!(blocks.pairs, 3);
    // A B, B A, A B: the order in which files are given is no order of time.
    let times = |times: [u64; 3]| {
        let mut runs = observed(0, &[1.0, 2.0, 3.0]);
        for (run, started) in runs.iter_mut().zip(times) {
            run.started = started;
        }
        runs
    };
    let mut turns = times([0, 30, 40]);
    turns.rotate_left(1);
    let ratio = Ratio::of(&turns, &times([10, 20, 50])).expect("three pairs");
    assert!(
        ratio
            .interval
            .is_some_and(|(low, high)| low > 0.999 && high < 1.001),
        "{ratio:?}"
    );
}

#[test]
fn a_run_without_a_figure_leaves_its_pair_out_and_no_other() {
    let mut runs = observed(0, &[2.0, 900.0, 8.0, 16.0]);
    runs[1].figure = None;
    let ratio = Ratio::of(&runs, &observed(1, &[1.0, 2.0, 4.0, 8.0])).expect("three pairs");
    assert!((ratio.value - 2.0).abs() < 1e-12 && ratio.pairs == 3, "{ratio:?}");
    assert_eq!(Ratio::of(&runs[1..2], &observed(1, &[1.0])), None);
}

#[test]
fn medians_lie_in_the_middle() {
    assert_eq!(median(&[]).to_bits(), 0.0_f64.to_bits());
    assert!((median(&[5.0, 1.0, 3.0]) - 3.0).abs() < 1e-12);
    assert!((median(&[5.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-12);
}

#[test]
fn numbers_are_short_and_text_is_escaped() {
    let numbers = [0.0, 1.5, 12.34, 999.0, 1500.0, 2_000_000.0].map(short);
    assert_eq!(numbers, ["0", "1.5", "12.3", "999", "1.5k", "2M"]);
    assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
}

#[test]
fn a_plot_without_points_is_nothing() {
    let plot = |points| Plot {
        title: "t".into(),
        x: "x".into(),
        ticks: Vec::new(),
        logarithmic: true,
        series: vec![Series {
            colour: "#000",
            points,
        }],
        marks: Vec::new(),
    };
    assert_eq!(plot(Vec::new()).svg(), "");
    assert_eq!(plot(vec![(1.0, 0.0)]).svg(), "", "a logarithm has no zero");
    let svg = plot(vec![(0.0, 10.0), (1.0, 1000.0)]).svg();
    assert!(
        svg.contains("<polyline points=\"70.0,220.0 850.0,30.0\""),
        "{svg}"
    );
}

/// A run with figures that are easy to follow.
fn run(label: &str, factor: u64) -> RunResult {
    let operation = |name: &str| OperationResult {
        name: name.into(),
        count: 100 * factor,
        per_second: 10.0 * factor as f64,
        mean_us: 500.0,
        p50_us: 400,
        p90_us: 600,
        p99_us: 900,
        p999_us: 1000,
        p9999_us: 1000,
        max_us: 1000,
        histogram: vec![(400, 60 * factor), (1000, 40 * factor)],
        ..OperationResult::default()
    };
    let second = |second| Second {
        second,
        warm_up: second == 0,
        done: 10 * factor,
        p50_us: 400,
        p99_us: 900,
        p999_us: 1000,
        errors: if second == 2 {
            BTreeMap::from([("Timeout".into(), 1)])
        } else {
            BTreeMap::new()
        },
        server_cpu_seconds: Some(0.5),
        server_memory_bytes: Some(64 << 20),
        ..Second::default()
    };
    RunResult {
        format: FORMAT,
        label: label.into(),
        workload: "ycsb-<a>".into(),
        started: 0,
        settings: RunSettings {
            protocol: "cql".into(),
            in_flight: 8,
            warm_up: 1.0,
            replication_factor: Some(3),
            ..RunSettings::default()
        },
        machine: Machine {
            cores: 2,
            cpu: "a processor".into(),
            memory_bytes: 8 << 30,
            kernel: "6.1".into(),
        },
        settled: None,
        seconds: 3.0,
        total: operation("all"),
        operations: vec![operation("read")],
        begun_late_p99_us: None,
        timeline: (0..4).map(second).collect(),
        server: Some(ServerCost {
            cpu_us_per_operation: 30.0,
            memory_peak_bytes: 64 << 20,
            ..ServerCost::default()
        }),
        generator_cores: Vec::new(),
        disk_syncs_per_second: None,
        faults: vec![FaultEvent {
            at: 2.0,
            action: "kill node2".into(),
            outcome: "done".into(),
            done: true,
            last_slow_after: Some(1.0),
        }],
        availability: Availability {
            seconds: 3,
            without_errors: 2.0 / 3.0,
            longest_gap_seconds: 0,
            slow_from_us: Some(9000),
        },
        verification: None,
        examples: BTreeMap::new(),
    }
}

#[test]
fn the_page_is_what_it_was() {
    let mut runs = [run("old", 1), run("new", 2), run("old", 1), run("new", 3)];
    for (run, started) in runs.iter_mut().zip(0..) {
        run.started = started;
    }
    let page = page::html(&runs);
    let golden = include_str!("golden.html");
    if page != golden {
        let written = std::env::temp_dir().join("starling-bench-golden.html");
        std::fs::write(&written, &page).expect("the temporary directory can be written");
        panic!(
            "the page changed; look at {} and, if it is right, copy it to golden.html",
            written.display()
        );
    }
}

#[test]
fn only_repetitions_are_put_together() {
    let mut faster = run("own", 1);
    faster.settings.rate = Some(500.0);
    let mut cut_off = run("own", 1);
    cut_off.workload = "registers".into();
    cut_off.faults[0].action = "partition node2".into();
    cut_off.faults[0].at = 2.2;
    let mut again = run("own", 1);
    again.settings.seed = 7;
    let page = page::html(&[run("own", 1), faster, cut_off, again]);
    for name in [
        "own (1: ycsb-&lt;a&gt;, closed, 8 in flight, 0 records, kill node2)",
        "own (2: ycsb-&lt;a&gt;, open, 500 a second, 0 records, kill node2)",
        "own (3: registers, closed, 8 in flight, 0 records, partition node2)",
    ] {
        assert!(page.contains(name), "{name}: {page}");
    }
    assert!(!page.contains("own (4"), "a seed is chance");
    // Its own, and the text of the table.
    assert!(page.matches("partition node2</text>").count() > 0, "{page}");
}

#[test]
fn what_a_run_was_made_with_tells_it_from_another() {
    type Change = fn(&mut RunResult);
    let changes: [(&str, Change); 10] = [
        ("5 nodes", |run| run.settings.nodes = Some(5)),
        ("[--shards=2]", |run| {
            run.settings.node_arguments = vec!["--shards=2".into()];
        }),
        ("starling 2", |run| {
            run.settings.server = Some("starling 2".into());
        }),
        ("60 s", |run| run.settings.duration = Some(60.0)),
        ("7 operations", |run| run.settings.operations = Some(7)),
        ("timeout 1 s", |run| run.settings.timeout = 1.0),
        ("text abc", |run| run.settings.workload_hash = "abc".into()),
        ("verified true", |run| run.settings.verified = true),
        ("settled true", |run| run.settings.settled = true),
        ("Linux 7.0", |run| run.machine.kernel = "7.0".into()),
    ];
    for (words, change) in changes {
        let mut other = run("own", 1);
        change(&mut other);
        let page = page::html(&[run("own", 1), other]);
        let named = page
            .lines()
            .any(|line| line.contains("own (2: ") && line.contains(words));
        assert!(named, "{words}: {page}");
        let machines = page.contains("different machines");
        assert_eq!(machines, words.starts_with("Linux"), "{words}");
    }
}

#[test]
fn a_run_in_which_all_failed_has_no_latency_and_all_errors() {
    let mut broken = run("broken", 1);
    for operation in [&mut broken.total, &mut broken.operations[0]] {
        *operation = OperationResult {
            name: operation.name.clone(),
            errors: BTreeMap::from([("Timeout".into(), 300)]),
            ..OperationResult::default()
        };
    }
    let page = page::html(&[run("own", 1), broken]);
    assert!(
        page.contains("<td>p99, µs</td><td>900</td><td>–</td><td>–</td>"),
        "{page}"
    );
    assert!(
        page.contains("<td>operations that failed, %</td><td>0</td><td>100</td><td>–</td>"),
        "{page}"
    );
    let row = page
        .lines()
        .find(|line| line.contains("<td>read</td><td>broken</td>"));
    assert!(
        row.is_some_and(|row| row.ends_with("<td>–</td><td>–</td><td>–</td><td>300</td></tr>")),
        "{row:?}"
    );
}

#[test]
fn what_is_slow_may_be_unknown() {
    let mut early = run("own", 1);
    early.availability.slow_from_us = None;
    early.faults[0].last_slow_after = None;
    let page = page::html(std::slice::from_ref(&early));
    assert!(page.contains("<td>done</td><td>unknown</td>"), "{page}");
    assert!(summary::text(&early).contains("slow is unknown"));
    early.availability.slow_from_us = Some(9000);
    assert!(page::html(std::slice::from_ref(&early)).contains("<td>none was slow</td>"));
    assert!(summary::text(&early).contains("no request was slow"));
}

#[test]
fn operations_are_held_against_the_disk_alone() {
    let mut synced = run("own", 10);
    synced.disk_syncs_per_second = Some(4.0);
    assert_eq!(synced.operations_per_sync(), Some(25.0));
    let page = page::html(std::slice::from_ref(&synced));
    assert!(
        page.contains("<td>operations for a sync of the disk alone</td><td>25</td>"),
        "{page}"
    );
    assert!(
        summary::text(&synced).contains("4 syncs of 4 KiB a second, one after the other; 25.0 operations")
    );
    assert!(!page::html(&[run("own", 1)]).contains("disk alone"));
}

#[test]
fn a_load_generator_that_needs_its_core_is_warned_of() {
    let with = |cores: &[f64]| {
        let mut run = run("own", 1);
        run.generator_cores = cores.to_vec();
        (summary::text(&run), page::html(&[run]))
    };
    let (text, page) = with(&[0.3, 0.95]);
    assert!(
        text.contains("0.95 of a core") && text.contains("warning: the load generator"),
        "{text}"
    );
    assert!(
        page.contains("own: a load generator used 0.95 of a core"),
        "{page}"
    );
    let (text, page) = with(&[0.3, 0.5]);
    assert!(
        text.contains("0.50 of a core") && !text.contains("warning"),
        "{text}"
    );
    assert!(
        page.contains("<td>busiest load generator, cores</td><td>0.5</td>")
            && !page.contains("measured itself")
    );
}

#[test]
fn servers_that_were_not_quiet_before_the_run_are_told_of() {
    let with = |quiet| {
        let mut run = run("own", 1);
        run.settled = Some(Settled {
            quiet,
            records_read: 700,
        });
        (summary::text(&run), page::html(&[run]))
    };
    let (text, page) = with(true);
    assert!(
        text.contains("the servers were quiet, and 700 records were read"),
        "{text}"
    );
    assert!(!page.contains("not quiet"), "{page}");
    let (text, page) = with(false);
    assert!(text.contains("warning: the servers were not quiet"), "{text}");
    assert!(page.contains("<p>own: the servers were not quiet"), "{page}");
}

#[test]
fn each_second_has_its_median_and_its_worst_of_a_thousand() {
    let page = page::html(&[run("own", 1)]);
    for name in ["p50", "p99", "p99.9"] {
        assert!(page.contains(&format!("{name} of each second")), "{name}");
    }
}

#[test]
fn latency_is_shown_over_records() {
    let of = |records, p50_us| {
        let mut run = run("reads", 1);
        run.settings.records = records;
        run.total.p50_us = p50_us;
        run
    };
    // The order of the files is none of the numbers'.
    let runs = [
        of(10_000_000, 242),
        of(100_000, 200),
        of(1_000_000, 210),
        of(100_000, 200),
    ];
    let page = page::html(&runs);
    let plot = page
        .split("<svg")
        .find(|plot| plot.contains("p50 of all operations over the number of records"));
    let plot = plot.expect("a plot");
    // 5, 6 and 7 tens; 220 is nothing, 30 is 1.05 times the most.
    assert!(
        plot.contains("<polyline points=\"70.0,70.5 460.0,63.0 850.0,39.0\""),
        "{plot}"
    );
    for tick in [">100k<", ">1M<", ">10M<"] {
        assert!(plot.contains(tick), "{tick}: {plot}");
    }
    let told = "reads: for ten times the records p50 1.15 times at worst (100k to 1M 1.05, 1M to 10M 1.15; less than 1.3 is \
                aimed at: met), p99 1.00 times at worst (100k to 1M 1.00, 1M to 10M 1.00; less than 1.3 is aimed at: met)";
    assert!(page.contains(told), "{page}");
    let mut faster = of(1000, 5);
    faster.settings.rate = Some(5.0);
    let page = page::html(&[of(100_000, 200), faster]);
    assert!(
        !page.contains("over the number of records"),
        "they differ in more"
    );
}

/// What is told of the p50s over these numbers of records.
fn growth_of(p50s: &[(u64, u64)]) -> String {
    let of = |&(records, p50_us): &(u64, u64)| {
        let mut run = run("reads", 1);
        run.settings.records = records;
        run.total.p50_us = p50_us;
        run
    };
    let page = page::html(&p50s.iter().map(of).collect::<Vec<_>>());
    let told = page
        .lines()
        .find(|line| line.contains("for ten times the records"));
    let told = told.expect("they differ in their records alone");
    told.split(", p99").next().unwrap_or_default().to_owned()
}

#[test]
fn the_worst_ten_times_is_judged() {
    // From first to last it is 1.26 times for each ten times, which would meet the aim.
    let cliff = growth_of(&[(100_000, 100), (1_000_000, 100), (10_000_000, 160)]);
    assert!(
        cliff.ends_with(
            "p50 1.60 times at worst (100k to 1M 1.00, 1M to 10M 1.60; less than 1.3 is aimed at: missed)"
        ),
        "{cliff}"
    );
    // A cliff that begins between two ten times: 300k to 3M has all of it. What ends at 4M begins at 400k, which is between two.
    let within = growth_of(&[(100_000, 100), (300_000, 100), (1_000_000, 120), (4_000_000, 160)]);
    let told = "p50 1.53 times at worst (100k to 1M 1.20, 300k to 3M 1.51, 400k to 4M 1.53; less than 1.3 is aimed at: missed)";
    assert!(within.ends_with(told), "{within}");
    // Less than ten times: carried on.
    let little = growth_of(&[(100_000, 100), (300_000, 120)]);
    assert!(
        little.contains("p50 1.47 times at worst (100k to 300k carried on 1.47;"),
        "{little}"
    );
}

#[test]
fn one_picture_shows_latency_over_records() {
    let of = |label: &str, records, p50_us| {
        let mut run = run(label, 1);
        run.settings.records = records;
        run.total.p50_us = p50_us;
        run
    };
    let chart = chart::svg(&[
        of("reads", 100_000, 200),
        of("reads", 1_000_000, 210),
        of("<writes>", 100_000, 300),
        of("<writes>", 1_000_000, 600),
    ]);
    let chart = chart.expect("there is something to draw");
    assert!(
        chart.starts_with("<svg xmlns=") && chart.ends_with("</svg>\n"),
        "{chart}"
    );
    for words in [
        ">reads</text>",
        ">&lt;writes&gt;</text>",
        "p50 of all operations over the number of records",
        "reads: for ten times the records p50 1.05 times at worst",
        "&lt;writes&gt;: for ten times the records p50 2.00 times at worst (100k to 1M 2.00; less than 1.3 is aimed at: missed)",
    ] {
        assert!(chart.contains(words), "{words}: {chart}");
    }
    assert_eq!(
        chart.matches("<polyline").count(),
        4,
        "two plots of two lines each"
    );
    assert_eq!(
        chart.matches("<svg").count(),
        1,
        "viewers differ in what they do with one in another"
    );
}

#[test]
fn one_picture_shows_the_seconds_and_the_disk_beside_them() {
    let mut probed = run("ten minutes", 1);
    for second in &mut probed.timeline {
        second.disk_sync_us = Some(2000);
    }
    probed.timeline[2].p99_us = 9000;
    let chart = chart::svg(&[probed]).expect("there is something to draw");
    for words in [
        "p99 of each second, and the worst sync of the disk itself, µs",
        ">ten minutes</text>",
        "the disk itself: the worst sync of 4 KiB beside the servers",
        "ten minutes: p99 of the worst second 9.00 ms, of the median second 900 µs: 10.0 times",
        ">measured from here</text>",
        "kill node2",
    ] {
        assert!(chart.contains(words), "{words}: {chart}");
    }
    let lines: Vec<&str> = chart
        .lines()
        .filter(|line| line.starts_with("<polyline"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].contains("stroke:#999999"),
        "the disk lies below: {chart}"
    );
    let alone = chart::svg(&[run("own", 1)]).expect("there is something to draw");
    assert!(!alone.contains("disk"), "{alone}");
    let nothing = RunResult {
        timeline: Vec::new(),
        ..run("own", 1)
    };
    assert_eq!(chart::svg(&[nothing]), None);
}

#[test]
fn the_terminal_shows_no_latency_of_nothing() {
    let mut broken = run("broken", 1);
    broken.total = OperationResult {
        name: "all".into(),
        ..OperationResult::default()
    };
    let text = summary::text(&broken);
    let all = text
        .lines()
        .find(|line| line.starts_with("| all"))
        .expect("a row");
    assert!(!all.contains("µs") && all.contains('–'), "{all}");
    assert!(summary::text(&run("own", 1)).contains("900 µs"));
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let page = page::html(&[run("old", 1), run("new", 2)]);
    for outside in ["http:", "https:", "<script", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("ycsb-&lt;a&gt;") && page.contains("2.00 <small>one run</small>"));
}
