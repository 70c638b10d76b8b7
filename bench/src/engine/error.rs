//! Why a comparison could not be made.

use std::io;

/// Why a comparison could not be made. Nothing it would have reported is reported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A store refused an operation.
    #[error("{store} failed: {reason}")]
    Store {
        /// Which one.
        store: &'static str,
        /// What it said.
        reason: String,
    },
    /// A store gave a wrong answer: its figures would be worth nothing.
    #[error("{store} answered wrongly: {what}")]
    Wrong {
        /// Which one.
        store: &'static str,
        /// What was wrong.
        what: String,
    },
    /// The store is not part of this build.
    #[error("{0} is not part of this build; build with `--features peers`")]
    Missing(&'static str),
    /// The process that runs one store failed.
    #[error("the run of one store failed: {0}")]
    Run(String),
    /// Files, processes or threads.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// A report that can't be written or read.
    #[error("the report is malformed: {0}")]
    Report(#[from] serde_json::Error),
}
