//! What a request costs in each part that it goes through, and what goes on beside it, one function at a time.
//!
//! ```sh
//! bench/hot_paths.sh save
//! bench/hot_paths.sh compare
//! ```
//!
//! Each measurement checks what it measures: one that fails, or does nothing, ends the run. `cargo test -p starling-bench` runs each
//! once.

mod compaction;
mod coordinator;
mod cql;
mod digests;
mod engine;
mod frames;
mod gossip;
mod hints;
mod log;
mod messages;
mod ring;
mod rows;
mod scan;
mod tables;

use criterion::{criterion_group, criterion_main};

/// The node's allocator: a figure with another one is of another program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(
    hot_paths,
    engine::put,
    engine::get,
    log::group_sync,
    tables::get,
    scan::hundred,
    compaction::rows,
    rows::encode,
    rows::merge,
    rows::digest,
    cql::request,
    cql::response,
    cql::plan,
    ring::lookup,
    messages::requests,
    messages::answers,
    frames::batch,
    frames::quic,
    coordinator::statements,
    hints::append_and_replay,
    digests::compare,
    gossip::round
);
criterion_main!(hot_paths);
