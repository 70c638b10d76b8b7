//! How well tokens balance: joins nodes one after another, and reports what the fullest holds.
//!
//! `cargo run --release -p starling-ring --example allocation [-- FILE.svg]` (about two minutes)

mod chart;

use std::collections::BTreeMap;

use chart::Line;
use starling_model::NodeId;
use starling_ring::{Member, Newcomer, Partitioner, Ring, Strategy, USUAL_FACTOR, allocate_tokens};

const NODES: usize = 100;
const TOKENS: usize = 16;
const SEEDS: u64 = 3;
const DATACENTER: &str = "dc";

fn main() -> Result<(), std::io::Error> {
    let mut lines = Vec::new();
    println!("fullest / mean over {SEEDS} histories of {NODES} joins with {TOKENS} tokens");
    for racks in [1, 2, 3, 4, 5] {
        let mut first = vec![0.0; NODES];
        let mut held = vec![0.0; NODES];
        for seed in 0..SEEDS {
            grow(racks, seed, &mut first, &mut held);
        }
        // Between, racks have different sizes, and their nodes can't hold the same.
        let full = |loads: &[f64]| -> Vec<(f64, f64)> {
            let sizes = (racks..=NODES).filter(|size| size % racks == 0);
            sizes.map(|size| (size as f64, loads[size - 1])).collect()
        };
        let worst = |points: &[(f64, f64)]| points.iter().fold(0.0, |worst: f64, (_, load)| worst.max(*load));
        let (first, held) = (full(&first), full(&held));
        println!(
            "{racks} racks: first replicas {:.3}, all of 3 {:.3}",
            worst(&first),
            worst(&held)
        );
        if racks == 1 {
            lines.push(Line {
                name: "first replicas, 1 rack".to_owned(),
                points: first,
            });
        }
        lines.push(Line {
            name: format!("3 replicas, racks: {racks}"),
            points: held,
        });
    }
    leave();
    if let Some(file) = std::env::args().nth(1) {
        let title =
            format!("Fullest node / mean, {TOKENS} tokens a node, by nodes (worst of {SEEDS} histories)");
        let picture = chart::svg(&title, &lines, (0.0, 100.0, 10.0), (1.0, 1.2, 0.05));
        write(&file, &picture)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a command writes its picture")]
fn write(file: &str, picture: &str) -> Result<(), std::io::Error> {
    std::fs::write(file, picture)
}

/// Joins nodes to a cluster, and keeps the worst loads at each size.
fn grow(racks: usize, seed: u64, first: &mut [f64], held: &mut [f64]) {
    let mut random = random(seed);
    let mut members = Vec::new();
    for at in 0..NODES {
        join(&mut members, at, racks, &mut random);
        first[at] = fullest(&members, 1).max(first[at]);
        held[at] = fullest(&members, 3).max(held[at]);
    }
}

/// Half of the nodes leave, then as many join.
fn leave() {
    let mut random = random(9);
    let mut members = Vec::new();
    for at in 0..NODES {
        join(&mut members, at, 1, &mut random);
    }
    let report = |what: &str, members: &[Member]| {
        let (first, held) = (fullest(members, 1), fullest(members, 3));
        println!("{what}: first replicas {first:.3}, all of 3 {held:.3}");
    };
    for left in 1..=50 {
        let gone = (u128::from(random()) * members.len() as u128) >> 64;
        members.remove(gone as usize);
        if [1, 10, 25, 50].contains(&left) {
            report(&format!("{left} of {NODES} left"), &members);
        }
    }
    for joined in 1..=50 {
        join(&mut members, NODES + joined, 1, &mut random);
        if [10, 25, 50].contains(&joined) {
            report(&format!("then {joined} joined"), &members);
        }
    }
}

fn join(members: &mut Vec<Member>, id: usize, racks: usize, random: &mut dyn FnMut() -> u64) {
    let rack = format!("r{}", id % racks);
    let newcomer = Newcomer {
        datacenter: DATACENTER,
        rack: &rack,
        tokens: TOKENS,
        factor: USUAL_FACTOR,
    };
    let tokens = allocate_tokens(members, newcomer, random);
    members.push(Member {
        id: NodeId(id as u128),
        datacenter: DATACENTER.to_owned(),
        rack,
        tokens,
    });
}

/// What the fullest node holds, in means.
fn fullest(members: &[Member], factor: u32) -> f64 {
    let factors = BTreeMap::from([(DATACENTER.to_owned(), factor)]);
    let strategy = Strategy::NetworkTopology {
        factors,
        others: None,
    };
    let mut shares: BTreeMap<NodeId, f64> = BTreeMap::new();
    let ring = Ring::new(Partitioner::Murmur3, members.to_vec());
    for (range, replicas) in ring.placement(&strategy).ranges() {
        for replica in replicas {
            *shares.entry(*replica).or_default() += range.end.0.abs_diff(range.start.0) as f64;
        }
    }
    let mean = shares.values().sum::<f64>() / members.len() as f64;
    shares
        .values()
        .fold(0.0, |most: f64, share| most.max(share / mean))
}

/// splitmix64.
fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
