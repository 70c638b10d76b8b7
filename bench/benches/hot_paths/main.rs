//! What a request costs in each part that it goes through, one function at a time.
//!
//! ```sh
//! cargo bench -p starling-bench --bench hot_paths -- --save-baseline before
//! cargo bench -p starling-bench --bench hot_paths -- --baseline before
//! ```

mod cql;
mod engine;
mod ring;
mod rows;

use criterion::{criterion_group, criterion_main};

/// The node's allocator: a figure with another one is of another program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(
    hot_paths,
    engine::put,
    engine::get,
    rows::encode,
    rows::merge,
    rows::digest,
    cql::request,
    cql::response,
    cql::plan,
    ring::lookup
);
criterion_main!(hot_paths);
