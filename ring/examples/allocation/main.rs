//! How well tokens balance: joins nodes one after another, lets some leave, and reports what the fullest holds.
//!
//! `cargo run --release -p starling-ring --example allocation [-- FILE.svg]` (about five minutes of a processor)
//!
//! All is told in parts of the mean, or, where racks are not of a size, of what the racks force on a node whatever the tokens
//! are: with fewer racks than replicas, or as many, a rack of few nodes holds a full replica all the same.

mod chart;
mod cluster;

use std::{collections::BTreeMap, fmt::Write as _};

use chart::Line;
use cluster::{Cluster, TOKENS, forced, fullest, random};

const NODES: usize = 100;
const SEEDS: u64 = 2;
const RACKS: [usize; 6] = [1, 2, 3, 4, 5, 6];
const FACTORS: [u32; 3] = [1, 2, 3];
const AIM: f64 = 1.10;

/// For each size the worst of all histories, for each factor.
type Worst = BTreeMap<usize, [f64; FACTORS.len()]>;

fn main() -> Result<(), std::io::Error> {
    println!("fullest, in means, over {SEEDS} histories of {NODES} joins with {TOKENS} tokens");
    let grown = side_by_side(&RACKS, |racks| grow(*racks));
    let mut lines = Vec::new();
    for (racks, worst) in RACKS.into_iter().zip(&grown) {
        report(racks, worst);
        let line = |name: String, factor: usize| Line {
            name,
            points: worst
                .iter()
                .filter(|(size, _)| **size >= racks)
                .map(|(size, loads)| (*size as f64, loads[factor]))
                .collect(),
        };
        if racks == 1 {
            lines.push(line("first replicas, 1 rack".to_owned(), 0));
        }
        lines.push(line(format!("3 replicas, racks: {racks}"), 2));
    }
    let left = side_by_side(&[(12, 1), (100, 1), (100, 3)], |(nodes, racks)| {
        leave(*nodes, *racks)
    });
    for report in left {
        print!("{report}");
    }
    if let Some(file) = std::env::args().nth(1) {
        let title = format!(
            "Fullest node / mean (or what racks of unequal sizes force), {TOKENS} tokens a node, by nodes (worst of {SEEDS} histories)"
        );
        let picture = chart::svg(&title, &lines, (0.0, 100.0, 10.0), (1.0, 1.2, 0.05));
        write(&file, &picture)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a command writes its picture")]
fn write(file: &str, picture: &str) -> Result<(), std::io::Error> {
    std::fs::write(file, picture)
}

#[expect(clippy::disallowed_methods, reason = "a command uses all processors")]
fn side_by_side<T: Sync, R: Send>(cases: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| scope.spawn(move || work(case))).collect();
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|result| result.expect("no case panics")).collect()
    })
}

/// Joins nodes to a cluster, to one rack after the other.
fn grow(racks: usize) -> Worst {
    let mut worst = Worst::new();
    for seed in 0..SEEDS {
        let mut random = random(seed);
        let mut cluster = Cluster::default();
        for size in 1..=NODES {
            cluster.join(racks, &mut random);
            let loads = worst.entry(size).or_default();
            for (load, factor) in loads.iter_mut().zip(FACTORS) {
                *load = load.max(fullest(&cluster.members, factor) / forced(&cluster.members, factor));
            }
        }
    }
    worst
}

fn report(racks: usize, worst: &Worst) {
    for (what, is_even) in [("racks of a size", true), ("other sizes", false)] {
        let sizes: Vec<_> = worst
            .iter()
            .filter(|(size, _)| **size >= racks && (**size % racks == 0) == is_even)
            .collect();
        if sizes.is_empty() {
            continue;
        }
        print!("{racks} racks, {what}:");
        for (at, factor) in FACTORS.into_iter().enumerate() {
            let most = sizes
                .iter()
                .fold(0.0, |most: f64, (_, loads)| most.max(loads[at]));
            print!(" {factor} replicas {most:.3}");
            for (size, loads) in sizes.iter().filter(|(_, loads)| loads[at] > AIM) {
                print!(" ({size} nodes: {:.3})", loads[at]);
            }
        }
        println!();
    }
}

/// Half of the nodes leave, then as many join.
fn leave(nodes: usize, racks: usize) -> String {
    let mut random = random(9);
    let mut cluster = Cluster::default();
    (0..nodes).for_each(|_| cluster.join(racks, &mut random));
    let mut out = format!("of {nodes} nodes on {racks} racks");
    let mut tell = |what: String, cluster: &Cluster| {
        let [first, held] = [1, 3].map(|factor| fullest(&cluster.members, factor));
        // Writing to memory can't fail.
        let _ = write!(out, "; {what}: first replicas {first:.2}, all of 3 {held:.2}");
    };
    let steps = |left: usize| [1, 2, 5, nodes / 10, nodes / 4, nodes / 2].contains(&left);
    for left in 1..=nodes / 2 {
        cluster.leave(&mut random);
        if steps(left) {
            tell(format!("{left} left"), &cluster);
        }
    }
    for joined in 1..=nodes / 2 {
        cluster.join(racks, &mut random);
        if steps(joined) {
            tell(format!("then {joined} joined"), &cluster);
        }
    }
    out + "\n"
}
