//! Costs for people, in Markdown.

use std::{collections::BTreeSet, fmt::Write};

use comfy_table::{CellAlignment, Table, presets};

use super::{
    super::evidence::quiet,
    command::{Cost, Costs},
    memory, profile, syscalls,
};

/// Everything that was measured, and what is aimed at.
pub fn markdown(costs: &Costs) -> String {
    let mut out = String::new();
    let machine = &costs.machine;
    let _infallible = writeln!(
        out,
        "{} rows of 116 bytes; {} cores of {}, Linux {}. 64 requests in flight on 4 connections, medians of {} runs. The load \
         generator runs beside the servers.\n",
        costs.rows,
        machine.cores,
        machine.cpu,
        machine.kernel,
        costs.costs.first().map_or(0, |cost| cost.cpu_us_of_runs.len())
    );
    section(&mut out, "", &overview(costs));
    section(&mut out, "Aims", &aims(costs));
    let parts = |cost: &Cost| cost.parts_us.clone().unwrap_or_default();
    section(
        &mut out,
        "Server CPU by part, µs an operation",
        &breakdown(costs, &parts),
    );
    let threads = |cost: &Cost| cost.threads_us.clone();
    section(
        &mut out,
        "Server CPU by kind of thread, µs an operation",
        &breakdown(costs, &threads),
    );
    let calls = |cost: &Cost| cost.system_calls.clone().unwrap_or_default();
    section(
        &mut out,
        "System calls of the servers an operation",
        &breakdown(costs, &calls),
    );
    let messages = |cost: &Cost| cost.messages.clone().unwrap_or_default();
    section(
        &mut out,
        "Messages of the servers an operation, of all nodes together",
        &breakdown(costs, &messages),
    );
    let bytes = |cost: &Cost| cost.message_bytes.clone().unwrap_or_default();
    section(
        &mut out,
        "Their bytes, before encryption",
        &breakdown(costs, &bytes),
    );
    let reasons = costs.costs.iter().flat_map(|cost| {
        [
            cost.system_calls.as_ref().err(),
            cost.parts_us.as_ref().err(),
            cost.messages.as_ref().err(),
        ]
    });
    if let Some(reason) = reasons.flatten().next() {
        let _infallible = writeln!(out, "Not measured: {reason}");
    }
    if !costs.restless.is_empty() {
        let _infallible = writeln!(
            out,
            "Servers were not quiet within {} s, so that figures have work in them that is not theirs: {}",
            quiet::WITHIN.as_secs(),
            costs.restless.join("; ")
        );
    }
    out
}

fn section(out: &mut String, title: &str, table: &Table) {
    if table.row_iter().next().is_none() {
        return;
    }
    if !title.is_empty() {
        let _infallible = writeln!(out, "{title}:\n");
    }
    let _infallible = writeln!(out, "{table}\n");
}

fn table(head: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn name(cost: &Cost) -> String {
    let protocol = if cost.protocol == "cql" { "CQL" } else { "QUIC" };
    format!(
        "{} {protocol}, {} at {}",
        cost.operation, cost.nodes, cost.consistency
    )
}

fn overview(costs: &Costs) -> Table {
    let head = [
        "",
        "CPU µs",
        "from",
        "to",
        "op/s",
        "p50 µs",
        "p50 alone µs",
        "switches",
        "own MiB",
    ];
    let mut table = table(head.map(str::to_owned).to_vec());
    let engine = [
        ("engine's get", costs.engine.get_us, &costs.engine.get_us_of_runs),
        ("engine's put", costs.engine.put_us, &costs.engine.put_us_of_runs),
    ];
    let range = |runs: &[f64]| {
        let least = runs.iter().copied().fold(f64::INFINITY, f64::min);
        (least, runs.iter().copied().fold(0.0, f64::max))
    };
    for (name, us, runs) in engine {
        let (least, most) = range(runs);
        table.add_row([
            name.to_owned(),
            format!("{us:.2}"),
            format!("{least:.2}"),
            format!("{most:.2}"),
        ]);
    }
    if let Some(echo) = costs.echo {
        for (name, us) in [("bare echo, TCP", echo.tcp_us), ("bare echo, QUIC", echo.quic_us)] {
            let mut cells = vec![String::new(); 9];
            (cells[0], cells[6]) = (name.to_owned(), format!("{us:.0}"));
            table.add_row(cells);
        }
    }
    for cost in &costs.costs {
        let (least, most) = range(&cost.cpu_us_of_runs);
        table.add_row([
            name(cost),
            format!("{:.2}", cost.cpu_us),
            format!("{least:.2}"),
            format!("{most:.2}"),
            format!("{:.0}", cost.per_second),
            format!("{:.0}", cost.p50_us),
            format!("{:.0}", cost.p50_alone_us),
            format!("{:.2}", cost.switches),
            format!("{:.0}", cost.own_memory_mib),
        ]);
    }
    table
}

/// Rows are what costs are made of, the greatest first; columns are operations.
fn breakdown(costs: &Costs, of: &dyn Fn(&Cost) -> Vec<(String, f64)>) -> Table {
    let columns: Vec<Vec<(String, f64)>> = costs.costs.iter().map(of).collect();
    let mut rows: Vec<(String, f64)> = Vec::new();
    for (part, figure) in columns.iter().flatten() {
        match rows.iter_mut().find(|(known, _)| known == part) {
            Some((_, sum)) => *sum += figure,
            None => rows.push((part.clone(), *figure)),
        }
    }
    // The sum of all comes last.
    rows.sort_by(|a, b| {
        (a.0 == syscalls::ALL)
            .cmp(&(b.0 == syscalls::ALL))
            .then(b.1.total_cmp(&a.1))
    });
    let head = [String::new()].into_iter().chain(costs.costs.iter().map(name));
    let mut table = table(head.collect());
    for (part, _) in rows {
        let figure = |column: &Vec<(String, f64)>| {
            let found = column.iter().find(|(known, _)| *known == part);
            found.map_or_else(String::new, |(_, figure)| format!("{figure:.2}"))
        };
        let cells: Vec<String> = columns.iter().map(figure).collect();
        table.add_row([part].into_iter().chain(cells));
    }
    table
}

/// The share of locks in an operation's CPU, in percent; `None` where nothing could be sampled.
fn locks_percent(cost: &Cost) -> Option<f64> {
    let parts = cost.parts_us.as_ref().ok()?;
    let all: f64 = parts.iter().map(|(_, us)| us).sum();
    let of_locks = parts
        .iter()
        .filter(|(part, _)| profile::LOCKS.contains(&part.as_str()));
    (all > 0.0).then(|| of_locks.map(|(_, us)| us).sum::<f64>() * 100.0 / all)
}

/// The sizes of the clusters.
fn sizes(costs: &Costs) -> BTreeSet<u32> {
    costs.costs.iter().map(|cost| cost.nodes).collect()
}

/// What the figures are held against: differences and ratios of the same run.
fn aims(costs: &Costs) -> Table {
    let find = |nodes, protocol: &str, operation: &str| {
        let fits =
            |cost: &&Cost| cost.nodes == nodes && cost.protocol == protocol && cost.operation == operation;
        costs.costs.iter().find(fits)
    };
    let cpu =
        |nodes, protocol: &str, operation: &str| find(nodes, protocol, operation).map(|cost| cost.cpu_us);
    let mut all: Vec<(String, Option<f64>, f64)> = Vec::new();
    for (operation, engine, aim) in [
        ("read", costs.engine.get_us, 3.0),
        ("write", costs.engine.put_us, 4.0),
    ] {
        let more = cpu(1, "cql", operation).map(|cpu| cpu - engine);
        all.push((
            format!("one node, {operation} by CQL: µs above the engine's"),
            more,
            aim,
        ));
    }
    let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
    for operation in ["read", "write"] {
        let quic = ratio(cpu(1, "quic", operation), cpu(1, "cql", operation));
        all.push((format!("one node, {operation}: QUIC over CQL"), quic, 1.5));
    }
    for (operation, aim) in [("read", 3.0), ("write", 4.0)] {
        let three = ratio(cpu(3, "cql", operation), cpu(1, "cql", operation));
        all.push((format!("three nodes over one, {operation} by CQL"), three, aim));
    }
    // Reads alone: a write waits for the disk, whatever carries it.
    for (protocol, name) in [("cql", "CQL over TCP"), ("quic", "QUIC")] {
        let echo = costs.echo.map(|echo| {
            if protocol == "cql" {
                echo.tcp_us
            } else {
                echo.quic_us
            }
        });
        let alone = find(1, protocol, "read").map(|cost| cost.p50_alone_us);
        all.push((
            format!("one node, read by {name}, one in flight: p50 over the bare echo's"),
            ratio(alone, echo),
            1.8,
        ));
    }
    // Of the worst: what is shared on the way of a request shows in some.
    let locks = costs.costs.iter().filter_map(locks_percent);
    all.push((
        "locks, % of the servers' CPU at most".to_owned(),
        locks.max_by(f64::total_cmp),
        1.0,
    ));
    for nodes in sizes(costs) {
        let of_size = costs.costs.iter().filter(|cost| cost.nodes == nodes);
        let most = of_size.map(|cost| cost.own_memory_mib).fold(0.0, f64::max);
        all.push((
            format!("{nodes} node(s): memory of a node's own at most, MiB"),
            (most > 0.0).then_some(most),
            f64::from(memory::stated_mib(nodes)),
        ));
    }
    let mut table = table(["", "measured", "aim", ""].map(str::to_owned).to_vec());
    for (what, figure, aim) in all {
        if let Some(figure) = figure {
            let met = if figure <= aim { "met" } else { "missed" };
            table.add_row([what, format!("{figure:.2}"), format!("<= {aim}"), met.to_owned()]);
        }
    }
    table
}
