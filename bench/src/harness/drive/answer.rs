//! What comes back for a statement, by either protocol.

use starling_client::{ColumnSpec, ErrorKind, Outcome};
use starling_cql::CqlType;

use super::super::workload::script::{Look, Prepared};
use crate::error::Error;

/// A statement was carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// How many rows it returned.
    pub rows: usize,
    /// What it read of the column that `--verify` follows, if it is the statement that does.
    pub version: Option<i64>,
    /// Of a conditional write: whether its condition held, so that it was carried out.
    pub applied: Option<bool>,
}

/// The column in which servers say whether a conditional write was carried out.
pub const APPLIED: &str = "[applied]";

/// Whether a statement that returns these columns gives what is looked at. Servers that do not say what it returns are
/// believed.
///
/// # Errors
/// A sentence: the version that `[verify]` names is not among them, or no bigint.
pub fn gives(statement: &Prepared, columns: &[ColumnSpec]) -> Result<(), Error> {
    let Look::Version(wanted) = &statement.look else {
        return Ok(());
    };
    let found = columns.iter().find(|column| column.name == *wanted);
    let fits = found.is_some_and(|column| column.cql_type == CqlType::Bigint);
    if fits || columns.is_empty() {
        return Ok(());
    }
    let is = found.map_or_else(
        || "does not return it".to_owned(),
        |column| format!("returns it as {}", column.cql_type),
    );
    Err(Error::Usage(format!(
        "[verify] follows the bigint column '{wanted}', and the statement '{}' {is}",
        statement.name
    )))
}

/// A statement failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of error: what the timeline counts.
    pub kind: String,
    /// The server's words.
    pub message: String,
    /// Whether a write may have been carried out.
    pub maybe_applied: bool,
    /// Whether the same may succeed a moment later.
    pub passing: bool,
}

impl Failure {
    /// The connection broke, or the node did not answer in time.
    pub fn lost(kind: &str, message: impl ToString) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.to_string(),
            maybe_applied: true,
            passing: true,
        }
    }

    /// The statement can't be sent, or its answer is wrong.
    pub fn wrong(kind: &str, message: impl ToString) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.to_string(),
            maybe_applied: false,
            passing: false,
        }
    }
}

impl From<starling_client::Error> for Failure {
    fn from(error: starling_client::Error) -> Self {
        let passing = matches!(
            error.kind(),
            ErrorKind::Unavailable
                | ErrorKind::Timeout
                | ErrorKind::Overloaded
                | ErrorKind::Connection
                | ErrorKind::Server
        );
        Self {
            kind: error.kind().to_string(),
            message: error.to_string(),
            maybe_applied: error.outcome() == Outcome::Unknown,
            passing,
        }
    }
}
