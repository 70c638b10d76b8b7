//! Why a measurement could not be made.

use std::io;

/// Why a measurement could not be made. Nothing it would have reported is reported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's binary did not start, or did not become ready.
    #[error("the server did not start: {0}")]
    Server(String),
    /// The connection failed.
    #[error("the connection to the server failed: {0}")]
    Connection(#[from] io::Error),
    /// The server's bytes are not the native protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// A statement failed. A figure with failed statements in it is no figure.
    #[error("the server refused a statement: {0}")]
    Statement(String),
    /// The command line, the workload or a report does not fit. Nothing was done.
    #[error("{0}")]
    Usage(String),
    /// The run was made, and what `--verify` checks did not hold.
    #[error("the verification failed: {0}")]
    Verification(String),
}

impl From<crate::harness::workload::file::Problem> for Error {
    fn from(problem: crate::harness::workload::file::Problem) -> Self {
        Self::Usage(problem.0)
    }
}
