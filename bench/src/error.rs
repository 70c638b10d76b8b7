//! Why a measurement could not be made.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a measurement could not be made. Nothing it would have reported is reported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's binary did not start, or did not become ready.
    #[error("the server did not start: {0}")]
    Server(String),
    /// A connection failed, or the server did not answer in time. Names the address.
    #[error("the connection to the server failed: {0}")]
    Connection(String),
    /// A file can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// This machine refused something that the harness needs: a process, a socket, a directory.
    #[error("this machine: {0}")]
    Machine(#[from] io::Error),
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
    /// The run was made, and a fault that was asked for did not happen in it.
    #[error("a fault was not carried out: {0}")]
    Fault(String),
    /// The run was made, and not one operation succeeded in it.
    #[error("nothing was done: {0}")]
    Nothing(String),
}

impl Error {
    /// Of a file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |error| Self::File { path, error }
    }

    /// What the process ends with: 2 if the command line does not fit, as of wrong options, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Usage(_)) { 2 } else { 1 }
    }
}

impl From<crate::harness::workload::file::Problem> for Error {
    fn from(problem: crate::harness::workload::file::Problem) -> Self {
        Self::Usage(problem.0)
    }
}
