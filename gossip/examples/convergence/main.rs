//! How fast a change reaches all, and what it costs, against the number of nodes.
//!
//! `cargo run --release -p starling-gossip --example convergence [-- --svg docs/gossip.svg] [--nodes N [--digests D]]`
//!
//! With `--digests` whole views of `N` nodes whose messages hold `D` digests, and also what becomes of many changes at once: the share of the
//! members that a message tells of, and not their number, says how fast these spread.

mod chart;
mod model;
mod network;

use chart::{Axis, Drawn, Series};
use model::{Cluster, Measured, News};

/// How many nodes, and how many runs there are, of which the slowest counts.
const SIZES: [(usize, u64); 6] = [(10, 3), (30, 3), (100, 3), (300, 2), (1_000, 1), (10_000, 1)];

/// Nodes and the digests that a message of theirs holds, which are as small a share of them as [`DIGESTS`] are of thousands.
const SCALED: [(usize, usize); 3] = [(300, 26), (300, 8), (1_000, 26)];

/// What a message holds unless set otherwise.
const DIGESTS: usize = 256;

/// Of more nodes than this each knows only [`PARTIAL`] others, to save memory.
const MOST_WHOLE: usize = 2_000;

const PARTIAL: usize = 60;

/// Of 100 messages so many are lost.
const LOSS: u64 = 10;

/// Rounds after which one change, and many, are given up.
const FEW_ROUNDS: usize = 30;
const MOST_ROUNDS: usize = 200;

/// Below the picture: what of it is simulated, and how.
const NOTES: [&str; 7] = [
    "Lines: 10 to 1,000 nodes, each of which knows all others; every message is simulated.",
    "Circle: 10,000 nodes, each of which knows 60 others at random, for whole views would take 80 GB. Whom they talk to is as",
    "random as with all; but a message has room for all 60, so it shows nothing of sections, nor of bytes.",
    "Squares: scaled down. 300 and 1,000 nodes that know all others, whose messages hold 26 or 8 digests: as small a share of the",
    "members as 256 are of 3,000, 9,600 and 10,000 nodes. They are drawn at these, and their bytes are left out.",
    "Dashes: what it can't exceed without news (gossip/ALGORITHM.md, &quot;Cost&quot;): the same for 300 nodes and for any number more.",
    "Rounds are in lockstep, which is the slowest that they can be; of several runs the slowest counts.",
];

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
    let sized = grown(&sizes);
    if let Some(file) = value("--svg") {
        write(&file, &picture(sized, scaled()))?;
    }
    Ok(())
}

/// Rounds and bytes, by the decimal logarithm of the nodes.
#[derive(Default)]
struct Sized {
    /// Until all know a change, where all know all.
    rounds: Vec<(f64, f64)>,
    /// The same where each knows a few others.
    partial: Vec<(f64, f64)>,
    /// In units of 10 KiB.
    bytes: Vec<(f64, f64)>,
    bound: Vec<(f64, f64)>,
}

/// One change in clusters of different sizes.
fn grown(sizes: &[(usize, u64)]) -> Sized {
    let mut sized = Sized::default();
    println!("10 % of the messages are lost; fan-out 3; rounds in lockstep");
    println!(
        "{:>7} {:>7} {:>22} {:>9} {:>16} {:>6}",
        "nodes", "rounds", "bytes/node and round", "at most", "largest message", "downs"
    );
    for &(nodes, runs) in sizes {
        let view = if nodes > MOST_WHOLE { PARTIAL } else { nodes };
        let mut runs: Vec<_> = (1..=runs)
            .map(|seed| Cluster::warm(nodes, (view, DIGESTS), LOSS, seed).spread(News::One, FEW_ROUNDS))
            .collect();
        runs.sort_by_key(|run| run.rounds);
        let Some(slowest) = runs.last() else { continue };
        let at = (nodes as f64).log10();
        let mut cost = "not measured".to_owned();
        if view == nodes {
            cost = format!("{:.0}", slowest.bytes_per_node_and_round);
            sized
                .bytes
                .push((at, slowest.bytes_per_node_and_round / 10_240.0));
            sized.rounds.push((at, slowest.rounds as f64));
        } else {
            sized.partial.push((at, slowest.rounds as f64));
        }
        sized.bound.push((at, bound(nodes) as f64 / 10_240.0));
        println!(
            "{nodes:>7} {:>7} {cost:>22} {:>9} {:>16} {:>6}",
            slowest.rounds,
            bound(nodes),
            slowest.largest,
            slowest.downs
        );
    }
    sized
}

/// What a node sends in a round without news, at most: 3 exchanges in which so many members are compared (ALGORITHM.md, "Cost").
fn bound(nodes: usize) -> usize {
    let fresh = if nodes > DIGESTS { DIGESTS / 4 } else { 0 };
    3 * (192 * (nodes.min(DIGESTS) + fresh) + 768)
}

/// One change where messages tell of a small share of the members: rounds, by the logarithm of the nodes of which
/// [`DIGESTS`] would be that share.
fn scaled() -> Vec<(f64, f64)> {
    let runs = SCALED.map(|(nodes, digests)| {
        let measured = Cluster::warm(nodes, (nodes, digests), LOSS, 1).spread(News::One, FEW_ROUNDS);
        let as_many = nodes * DIGESTS / digests;
        println!(
            "{nodes} nodes, {digests} digests in a message, as {DIGESTS} of {as_many}: {} rounds; {} downs",
            measured.rounds, measured.downs
        );
        ((as_many as f64).log10(), measured.rounds as f64)
    });
    runs.to_vec()
}

fn picture(sized: Sized, scaled: Vec<(f64, f64)>) -> String {
    let series = |name, drawn, points| Series { name, drawn, points };
    let all = [
        series("rounds until all know a change", Drawn::Line, sized.rounds),
        series("10 KiB a node and round", Drawn::Line, sized.bytes),
        series("the same, at most", Drawn::Dashes, sized.bound),
        series("rounds, each knows 60 others", Drawn::Circles, sized.partial),
        series("rounds, scaled down", Drawn::Squares, scaled),
    ];
    let axis = |from, to, step| Axis { from, to, step };
    let title = "Gossip with 10 % loss, against log10 of the nodes";
    chart::svg(title, &all, (axis(1.0, 4.0, 1.0), axis(0.0, 20.0, 2.0)), &NOTES)
}

/// Rounds until all know one change, and each of many.
fn sectioned(nodes: usize, digests: usize) {
    println!("{nodes} nodes, {digests} digests in a message, 10 % of the messages lost");
    for news in [News::One, News::Wave, News::All] {
        let measured = Cluster::warm(nodes, (nodes, digests), LOSS, 1).spread(news, MOST_ROUNDS);
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
