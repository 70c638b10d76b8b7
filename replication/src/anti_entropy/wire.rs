//! What replicas say to each other to find out where they differ.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_model::{
    ClusteringRange, DecoratedKey, KeyRange, NodeId, Position, Seconds, TableId, Token, TokenRange,
};

use super::{digest::Digest, prints::Prints, tree::MOST_PARTS};

/// A part of a table: partitions by token, or rows of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Which partitions. A token range does not wrap.
    pub keys: KeyRange,
    /// Which rows of them. The partition's deletion and its static row belong to the piece in which the rows begin.
    pub rows: ClusteringRange,
    /// What lies up to here was summed already.
    pub after: Option<Position>,
}

impl Piece {
    pub(crate) fn tokens(range: TokenRange) -> Self {
        Self {
            keys: KeyRange::Tokens(range),
            rows: ClusteringRange::ALL,
            after: None,
        }
    }

    pub(crate) fn rows_of(key: DecoratedKey, rows: ClusteringRange) -> Self {
        Self {
            keys: KeyRange::Partition(key),
            rows,
            after: None,
        }
    }
}

/// The moment of a session, for every replica the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The second at which expiry and purging are judged.
    pub now: Seconds,
    /// The table's `gc_grace_seconds`.
    pub grace: u32,
    /// For how many milliseconds the session has been under way: digests must not be older.
    pub age_ms: u64,
}

/// What a replica is asked for in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionRequest {
    /// The digests of these pieces.
    Digests {
        /// The table.
        table: TableId,
        /// When.
        moment: Moment,
        /// Nobody waits for it: the replica rests between the parts of its work.
        patient: bool,
        /// At most `MAX_PIECES`.
        pieces: Vec<Piece>,
    },
    /// Where a piece can be cut into parts of about as many rows each.
    Split {
        /// The table.
        table: TableId,
        /// When.
        moment: Moment,
        /// The piece.
        piece: Piece,
    },
    /// Apply what the replica lacks (mutations as `Mutation::encode` wrote them), unless the table was truncated
    /// since the session began.
    Write {
        /// The table of all of them.
        table: TableId,
        /// For how many milliseconds the session has been under way.
        age_ms: u64,
        /// The mutations.
        mutations: Vec<Bytes>,
    },
    /// All replicas of a range had the same data.
    Repaired {
        /// The table.
        table: TableId,
        /// The range; does not wrap.
        tokens: TokenRange,
        /// Who the replicas are.
        replicas: Vec<NodeId>,
        /// All that was written before this second was compared.
        at: Seconds,
    },
    /// The digests of the parts of these ranges, as the grid of tokens cuts them: sixteenfold, about. How it does never
    /// changes. Answered with [`SessionAnswer::Digests`].
    Parts {
        /// The table.
        table: TableId,
        /// When.
        moment: Moment,
        /// Nobody waits for it: the replica rests between the parts of its work.
        patient: bool,
        /// At most [`MAX_RANGES`]; none wraps.
        ranges: Vec<TokenRange>,
    },
    /// The digest of each partition of these ranges.
    Prints {
        /// The table.
        table: TableId,
        /// When.
        moment: Moment,
        /// Nobody waits for it: the replica rests when it is done.
        patient: bool,
        /// At most [`MAX_RANGES`]; none wraps.
        ranges: Vec<TokenRange>,
    },
    /// A page of each of these pieces. The replica answers with those of the first few, one at least.
    Read {
        /// The table.
        table: TableId,
        /// When.
        moment: Moment,
        /// Nobody waits for it: the replica rests when it is done.
        patient: bool,
        /// At most `MAX_PIECES`.
        pieces: Vec<Piece>,
    },
}

/// The most pieces of one request.
pub(crate) const MAX_PIECES: usize = 1024;

/// The most ranges of one request: their parts are `MAX_PIECES` at most.
pub const MAX_RANGES: usize = MAX_PIECES / MOST_PARTS;

/// A replica's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionAnswer {
    /// For each piece in order.
    Digests {
        /// What the replica's wall clock read when it was asked.
        wall: Seconds,
        /// The digests.
        sums: Vec<Summed>,
    },
    /// To [`SessionRequest::Split`].
    Cuts(Cuts),
    /// For each range in order; `None` where they are too many.
    Prints(Vec<Option<Prints>>),
    /// Encoded pages of the first pieces, in order.
    Pages(Vec<Bytes>),
}

/// A piece's digest, as far as the replica got in the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summed {
    /// The wrapping sum of the hashes.
    pub sum: u128,
    /// How many rows.
    pub rows: u64,
    /// What is left to be asked for; to be added.
    pub rest: Option<Piece>,
    /// Whether there is something besides that may be purged and is not in the sum.
    pub leaves_out: bool,
}

impl Summed {
    pub(crate) fn of(digest: &Digest, rest: Option<Piece>) -> Self {
        Self {
            sum: digest.sum,
            rows: digest.rows,
            rest,
            leaves_out: digest.leaves_out(),
        }
    }
}

/// Where a piece can be cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuts {
    /// The last tokens of parts, ascending, all within the piece; of a piece of many partitions.
    pub tokens: Vec<Token>,
    /// The first clusterings of parts but the first, ascending; of a piece of one partition.
    pub rows: Vec<Bytes>,
}

impl Cuts {
    /// The parts of a range of tokens.
    pub(crate) fn by_tokens(&self, range: TokenRange) -> Vec<Piece> {
        let mut parts = Vec::with_capacity(self.tokens.len() + 1);
        let mut start = range.start;
        let inner = self.tokens.iter().copied().filter(|cut| *cut < range.end);
        for end in inner.chain([range.end]) {
            if end > start {
                parts.push(Piece::tokens(TokenRange { start, end }));
                start = end;
            }
        }
        parts
    }

    /// The parts of some rows of a partition.
    pub(crate) fn by_rows(&self, key: &DecoratedKey, rows: &ClusteringRange) -> Vec<Piece> {
        let mut parts = Vec::with_capacity(self.rows.len() + 1);
        let mut start = rows.start.clone();
        let ends = self.rows.iter().cloned().map(Some).chain([rows.end.clone()]);
        for end in ends {
            let part = ClusteringRange {
                start: start.clone(),
                end,
            };
            let within = rows.end.is_none()
                || part
                    .end
                    .as_ref()
                    .is_some_and(|end| Some(end) <= rows.end.as_ref());
            if part.is_empty() || !within {
                continue;
            }
            start = part.end.clone().unwrap_or_default();
            parts.push(Piece::rows_of(key.clone(), part));
        }
        parts
    }
}
