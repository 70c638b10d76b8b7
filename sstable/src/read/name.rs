//! Which partition is being read.

use starling_model::{Clustering, DecoratedKey, Position, Token, ordered};

use super::Stream;
use crate::Error;

/// A partition's key, and what the keys of its entries begin with. Keeps its memory from one to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Name {
    pub(super) token: u64,
    pub(super) key: Vec<u8>,
    pub(super) prefix: Vec<u8>,
}

impl Name {
    /// The name of the partition that has this key, and entries that begin with `prefix`.
    pub(super) fn new(key: &DecoratedKey, prefix: &[u8]) -> Self {
        Self {
            token: u64::from_be_bytes(key.token.ordered_bytes()),
            key: key.key.to_vec(),
            prefix: prefix.to_vec(),
        }
    }

    /// Becomes the name of the partition that a stream stands in.
    pub(super) fn read(&mut self, stream: &Stream<'_>) -> Result<(), Error> {
        self.prefix.clear();
        self.prefix
            .extend_from_slice(stream.prefix()?.unwrap_or_default());
        self.key.clear();
        let malformed = || stream.malformed("malformed key");
        let (token, mut rest) = self.prefix.split_first_chunk().ok_or_else(malformed)?;
        self.token = u64::from_be_bytes(*token);
        ordered::take_bytes_into(&mut rest, &mut self.key).map_err(|_| malformed())
    }

    pub(super) fn token(&self) -> Token {
        Token::from_ordered_bytes(self.token.to_be_bytes())
    }

    /// The partition's key.
    pub(super) fn decorated(&self) -> DecoratedKey {
        DecoratedKey {
            token: self.token(),
            key: bytes::Bytes::copy_from_slice(&self.key),
        }
    }

    /// A position in the partition; without a clustering, after it.
    pub(super) fn position(&self, clustering: Option<Clustering>, rows: u32) -> Position {
        Position {
            key: self.decorated(),
            clustering,
            rows,
        }
    }
}
