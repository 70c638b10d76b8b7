//! The style of the house, as a test (the idea is TigerBeetle's `tidy`).
//!
//! `clippy` and `rustfmt` see one crate at a time. What concerns the house as a whole is checked here:
//! which crate may know which, how long a file or a function may grow, which names say nothing, files
//! that no `mod` line reaches, tests that are switched off. `tests/house.rs` runs the rules on the tree.

#![forbid(unsafe_code)]

pub mod dependencies;
pub mod names;
pub mod reach;
pub mod source;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The crates of the house, by folder.
pub const CRATES: [&str; 10] = [
    "model",
    "ring",
    "gossip",
    "sstable",
    "cql",
    "replication",
    "node",
    "client",
    "sim",
    "bench",
];

/// All Rust files below `dir`, sorted.
pub fn rust_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file holds tests only: it lies in a `tests` or `benches` folder, or is called `tests.rs`.
pub fn is_test_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
}
