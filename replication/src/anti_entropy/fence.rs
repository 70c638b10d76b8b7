//! Only replicas take part in sessions.
//!
//! Who has given tokens away forgets them file by file. In the midst of that a deletion may be gone and what it deletes may not,
//! while the replicas have purged both: a session that believed such a node would bring deleted data back. And what a session
//! writes to it after that stays there for ever. Its coordinator ends a session when it hears of another ring, but may hear late; so
//! whoever is asked looks too, before it answers and after it has read.

use starling_model::{KeyRange, TableId, Token, TokenRange, TokenSet};

use super::{
    AntiEntropy,
    wire::{Piece, SessionRequest},
};
use crate::{env::Env, message::Failure, placements::Placements};

impl SessionRequest {
    /// What is read of which table to answer this.
    pub(super) fn reads(&self) -> Option<(TableId, TokenSet)> {
        match self {
            Self::Digests { table, pieces, .. } | Self::Read { table, pieces, .. } => {
                Some((*table, pieces.iter().map(tokens_of).collect()))
            }
            Self::Parts { table, ranges, .. } | Self::Prints { table, ranges, .. } => {
                Some((*table, ranges.iter().copied().collect()))
            }
            Self::Split { table, piece, .. } => Some((*table, tokens_of(piece).into())),
            Self::Write { .. } | Self::Repaired { .. } => None,
        }
    }
}

impl<E: Env> AntiEntropy<E> {
    /// Refuses tokens that this node is no replica of, now or after the change of the ring that is under way.
    pub(super) fn check_own(&self, table: TableId, tokens: &TokenSet) -> Result<(), Failure> {
        let snapshot = self.coordinator.views.load();
        let known = snapshot
            .schema
            .table_by_id(table)
            .ok_or(Failure::UnknownTable(table))?;
        let placements = snapshot.placements(&known.keyspace).ok();
        let is_own =
            |placements: &Placements| tokens.ranges().iter().all(|range| placements.own.covers(*range));
        if placements.is_some_and(is_own) {
            return Ok(());
        }
        Err(Failure::OldRing {
            epoch: snapshot.cluster.stamp.epoch,
        })
    }
}

/// The tokens of a piece, which may be one alone.
fn tokens_of(piece: &Piece) -> TokenRange {
    match &piece.keys {
        KeyRange::Tokens(range) => *range,
        KeyRange::Partition(key) => only(key.token),
    }
}

/// One token alone.
pub(super) fn only(token: Token) -> TokenRange {
    TokenRange {
        start: Token(token.0.saturating_sub(1)),
        end: token,
    }
}
