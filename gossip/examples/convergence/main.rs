//! How fast a change reaches all, and what it costs, against the number of nodes.
//!
//! `cargo run --release -p starling-gossip --example convergence [-- --svg docs/gossip.svg] [--nodes N [--digests D]]`
//!
//! With `--digests` whole views of `N` nodes whose messages hold `D` digests, and also what becomes of many changes at once: the share of the
//! members that a message tells of, and not their number, says how fast these spread.

mod chart;
mod model;
mod network;

use chart::Line;
use model::{Cluster, Measured, News};

/// How many nodes, and how many runs there are, of which the slowest counts.
const SIZES: [(usize, u64); 5] = [(10, 3), (30, 3), (100, 3), (300, 2), (1_000, 1)];

/// Of more nodes than this each knows only [`PARTIAL`] others, to save memory.
const MOST_WHOLE: usize = 2_000;

const PARTIAL: usize = 60;

/// Rounds after which many changes are given up.
const MOST_ROUNDS: usize = 200;

fn main() -> Result<(), std::io::Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let mut sizes = SIZES.to_vec();
    if let Some(nodes) = value("--nodes").and_then(|nodes| nodes.parse().ok()) {
        sizes = vec![(nodes, 1)];
    }
    if let (Some(digests), [(nodes, _)]) = (value("--digests").and_then(|it| it.parse().ok()), &sizes[..]) {
        sectioned(*nodes, digests);
        return Ok(());
    }
    let (mut rounds, mut bytes) = (Vec::new(), Vec::new());
    println!("10 % of the messages are lost; fan-out 3; rounds in lockstep");
    println!(
        "{:>7} {:>7} {:>22} {:>16} {:>6}",
        "nodes", "rounds", "bytes/node and round", "largest message", "downs"
    );
    for (nodes, runs) in sizes {
        let view = if nodes > MOST_WHOLE { PARTIAL } else { nodes };
        let mut runs: Vec<_> = (1..=runs)
            .map(|seed| Cluster::warm(nodes, (view, 256), 10, seed).spread(News::One, 30))
            .collect();
        runs.sort_by_key(|run| run.rounds);
        let Some(slowest) = runs.last() else { continue };
        let at = (nodes as f64).log10();
        let mut cost = "not measured".to_owned();
        if view == nodes {
            cost = format!("{:.0}", slowest.bytes_per_node_and_round);
            bytes.push((at, slowest.bytes_per_node_and_round / 10_240.0));
        }
        println!(
            "{nodes:>7} {:>7} {cost:>22} {:>16} {:>6}",
            slowest.rounds, slowest.largest, slowest.downs
        );
        rounds.push((at, slowest.rounds as f64));
    }
    if let Some(file) = value("--svg") {
        let lines = [
            Line {
                name: "rounds until all know a change".to_owned(),
                points: rounds,
            },
            Line {
                name: "10 KiB a node and round".to_owned(),
                points: bytes,
            },
        ];
        let title = "Gossip with 10 % loss, against log10 of the nodes";
        write(
            &file,
            &chart::svg(title, &lines, (1.0, 4.0, 1.0), (0.0, 12.0, 2.0)),
        )?;
    }
    Ok(())
}

/// Rounds until all know one change, and each of many.
fn sectioned(nodes: usize, digests: usize) {
    println!("{nodes} nodes, {digests} digests in a message, 10 % of the messages lost");
    for news in [News::One, News::Wave, News::All] {
        let measured = Cluster::warm(nodes, (nodes, digests), 10, 1).spread(news, MOST_ROUNDS);
        let Measured {
            heard,
            rounds,
            rounds_of_all,
            downs,
            ..
        } = measured;
        println!(
            "{news:?}: heard of in {heard}, the first change in {rounds}, all in {rounds_of_all} rounds; {downs} downs"
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a command writes its picture")]
fn write(file: &str, picture: &str) -> Result<(), std::io::Error> {
    std::fs::write(file, picture)
}
