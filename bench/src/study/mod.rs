//! Single questions about the storage engine, each with a table as its answer.
//!
//! - [`filters`]: what kinds of filters cost, in bits a key and in time;
//! - [`compression`]: what codecs and their dictionaries make of blocks of rows;
//! - [`latency`]: what a writer waits for over a long load;
//! - [`wide`]: slices of one very wide partition beside those of small ones;
//! - [`tombstones`]: a scan that goes through very many tombstones.

pub mod command;
pub mod compression;
pub mod filters;
pub mod latency;
mod rows;
pub mod tombstones;
pub mod wide;

use std::time::{Duration, Instant};

/// Nanoseconds a piece.
fn nanos_each(took: Duration, pieces: u64) -> f64 {
    took.as_nanos() as f64 / pieces.max(1) as f64
}

/// What something gives, and how long it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Numbers in an order of their own, the same each time: a linear congruential generator (Knuth's constants), of whose
/// bits the high ones are the good ones.
#[derive(Debug, Clone)]
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ (self.0 >> 32)
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}
