//! Which tables are merged, and what a merge does.

mod behind;
mod choices;
mod copy;
mod costs;
mod lost;
mod overlap;
mod pace;
mod ranges;
mod rows;
mod scaling;
mod slices;
mod tombstones;

use std::sync::Arc;

use starling_model::{Seconds, TokenRange};

use super::{
    purge::Purging,
    worker::{Input, Plan, Worker},
};
use crate::{
    Compression, PurgePolicy,
    fs::{Fs, MemoryFs},
    table::WriterOptions,
};

/// A merge of these into one table, which keeps all tombstones. No step was made.
fn merge_of(inputs: Vec<Input>) -> Worker {
    let fs: Arc<dyn Fs> = Arc::new(MemoryFs::new());
    fs.create_dir_all("/merge".as_ref()).unwrap();
    let plan = Plan {
        inputs,
        purging: Purging {
            policy: PurgePolicy::Keep,
            now: Seconds(10),
            memory: None,
            others: Vec::new(),
        },
        options: WriterOptions {
            block_bytes: 4096,
            compression: Compression::None,
            filter_bits: 10,
        },
        step_bytes: 1 << 20,
        only: None,
        transient: false,
        copies: false,
    };
    Worker::new(fs, "/merge".into(), 1, Arc::new(plan), TokenRange::ALL)
}
