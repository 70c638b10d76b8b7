//! What nodes ask each other about what is damaged there.

use serde::{Deserialize, Serialize};
use starling_model::{ReadCommand, TableId, TokenRange};

/// About what is damaged there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DamageRequest {
    /// Tell which tokens of a table can't be read there. Answered with [`Response::Damaged`](super::Response::Damaged).
    Tell(TableId),
    /// Read one page of what is left, past what is damaged. Answered with
    /// [`Response::Page`](super::Response::Page).
    ReadRest(ReadCommand),
    /// An operator has accepted that what is damaged within these tokens, which do not wrap, is lost, as far as it is not
    /// among what was written there just before: give it up. Answered with [`Response::Done`](super::Response::Done).
    GiveUp {
        /// The table.
        table: TableId,
        /// The tokens.
        tokens: TokenRange,
    },
}
