//! What nodes say to each other to move data.

use super::StreamStatus;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_model::{TableId, Timestamp, TokenSet};

/// The most bytes of a file in one answer.
pub const MAX_PIECE_BYTES: u32 = 1 << 20;

/// What a node is asked that has data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamRequest {
    /// Tell about how many bytes each of these sets has. Answered with [`StreamReply::Sizes`].
    Sizes {
        /// Of which table.
        table: TableId,
        /// At most [`MAX_SETS`].
        sets: Vec<TokenSet>,
    },
    /// Cut tokens into parts, to be fetched one by one. Answered with [`StreamReply::Parts`].
    Parts {
        /// Of which table.
        table: TableId,
        /// Which tokens.
        tokens: TokenSet,
        /// How many shards the asking node has, 1 to 1024.
        shards: u32,
    },
    /// Make files of some tokens, to be fetched by the name of the stream. Asked again it tells how far that is. Answered
    /// with [`StreamReply::Making`] or [`StreamReply::Files`].
    Open {
        /// Names the stream; another table or other tokens have another name.
        stream: u128,
        /// Of which table.
        table: TableId,
        /// Which tokens.
        tokens: TokenSet,
        /// How many shards the asking node has, 1 to 1024: no file is for two of them.
        shards: u32,
    },
    /// Send a piece of a file. Answered with [`StreamReply::Piece`] or [`StreamReply::Unknown`].
    Piece {
        /// Of which stream.
        stream: u128,
        /// Of which file, by its place in [`StreamReply::Files`].
        file: u32,
        /// From which byte.
        offset: u64,
        /// How many bytes, at most [`MAX_PIECE_BYTES`]; fewer at the end of the file.
        bytes: u32,
    },
    /// The files are not wanted any more. Where they are still being made it can be opened again for some seconds. Answered with
    /// [`StreamReply::Closed`].
    Close {
        /// Of which stream.
        stream: u128,
    },
    /// Tell what is moved. Answered with [`StreamReply::Status`].
    Status,
    /// The same as [`Open`](Self::Open), for who found damaged what came of it, though every piece came as it was read:
    /// check what is stored, and make the files of what was read. Answered as that is. Older releases do not know it.
    OpenAnew {
        /// Names the stream; it is not one that was opened otherwise.
        stream: u128,
        /// Of which table.
        table: TableId,
        /// Which tokens.
        tokens: TokenSet,
        /// How many shards the asking node has, 1 to 1024.
        shards: u32,
    },
}

/// The most sets in one question for sizes.
pub const MAX_SETS: usize = 4096;

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamReply {
    /// In the order of the sets.
    Sizes(Vec<u64>),
    /// The parts, and about how many bytes each has. Together they have exactly the tokens that were asked for.
    Parts(Vec<(TokenSet, u64)>),
    /// The files are being made: ask again soon.
    Making,
    /// The files are there, until the stream is closed or nobody asked for a while.
    Files(Vec<StreamFile>),
    /// A piece.
    Piece {
        /// Its bytes.
        bytes: Bytes,
        /// XXH3-64 of them, made where they were read.
        checksum: u64,
    },
    /// There is no such stream (any more): open it again.
    Unknown,
    /// It is gone.
    Closed,
    /// What the node moves.
    Status(StreamStatus),
}

/// A file of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFile {
    /// For which shard of the node that asked.
    pub shard: u32,
    /// How long it is.
    pub bytes: u64,
    /// The newest timestamp in it; `None` if it has none.
    pub newest: Option<Timestamp>,
}
