//! How often live nodes are suspected or taken for dead, and how soon dead ones are found, against the threshold, lost
//! messages and late rounds. Prints the table of `gossip/ALGORITHM.md`.
//!
//! `cargo run --release -p starling-gossip --example false_alarms [-- --hours HOURS]`

mod model;
#[path = "../convergence/network.rs"]
mod network;

use std::time::Duration;

use model::{Cluster, Trouble};
use starling_gossip::Config;

const NODES: usize = 12;

const LOSSES: [u64; 5] = [0, 5, 10, 20, 33];

const THRESHOLDS: [f64; 3] = [5.0, 8.0, 12.0];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let hours = arguments.iter().position(|argument| argument == "--hours");
    let hours: u64 = hours
        .and_then(|at| arguments.get(at + 1)?.parse().ok())
        .unwrap_or(4);
    println!("{NODES} nodes for {hours} hours each; per day and node");
    println!(
        "| threshold | loss | mean delay of a round | suspicions | verdicts | a dead node is found in |"
    );
    println!("|---|---|---|---|---|---|");
    for phi_threshold in THRESHOLDS {
        for late in [0, 200, 1_000].map(Duration::from_millis) {
            for loss in LOSSES {
                let config = Config {
                    phi_threshold,
                    ..Config::default()
                };
                let mut cluster = Cluster::new(NODES, &config, Trouble { loss, late }, 7);
                let alarms = cluster.run(Duration::from_hours(hours));
                let a_day = |count: usize| count as f64 * 24.0 / hours as f64 / NODES as f64;
                println!(
                    "| {phi_threshold} | {loss} % | {late:?} | {:.1} | {:.2} | {:.0} s |",
                    a_day(alarms.suspicions),
                    a_day(alarms.verdicts),
                    cluster.kill(0).as_secs_f64()
                );
            }
        }
    }
}
