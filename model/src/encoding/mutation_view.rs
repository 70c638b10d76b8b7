//! Mutations as they are encoded, looked at in place.

use super::{DecodeError, Input, RowView};
use crate::{
    ids::TableId,
    key::{DecoratedKey, MAX_PARTITION_KEY_BYTES},
    token::Token,
};

/// An encoded mutation: whose it is, and what of its content can be taken without decoding it.
#[derive(Debug, Clone, Copy)]
pub struct MutationView<'a> {
    /// The table.
    pub table: TableId,
    /// Where the partition lies.
    pub token: Token,
    /// The partition's key.
    pub key: &'a [u8],
    /// The encoded partition.
    pub content: &'a [u8],
}

impl<'a> MutationView<'a> {
    /// Looks at what [`Mutation::encode`](crate::Mutation::encode) wrote. Its content is not checked yet.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        let table = TableId(u128::from_be_bytes(input.fixed()?));
        let token = Token(i64::from_be_bytes(input.fixed()?));
        let key = input.bytes()?;
        if key.len() > MAX_PARTITION_KEY_BYTES {
            return Err(DecodeError::KeyTooLong(key.len()));
        }
        Ok(Self {
            table,
            token,
            key,
            content: input.rest(),
        })
    }

    /// The key, copied.
    pub fn decorated_key(&self) -> DecoratedKey {
        DecoratedKey {
            token: self.token,
            key: self.key.to_vec().into(),
        }
    }

    /// The rows, if rows are all there is: no deletion of the partition, no static row, no deleted ranges. What
    /// has more must be decoded.
    pub fn rows(&self) -> Result<Option<Rows<'a>>, DecodeError> {
        let mut input = Input::new(self.content);
        if input.flags(3)? != 0 || input.count()? != 0 {
            return Ok(None);
        }
        Ok(Some(Rows {
            left: input.count()?,
            last: None,
            input,
        }))
    }
}

/// The rows of an encoded partition that has nothing else, checked as they come.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    left: usize,
    last: Option<&'a [u8]>,
    input: Input<'a>,
}

/// One of [`Rows`].
#[derive(Debug, Clone, Copy)]
pub struct RowEntry<'a> {
    /// Its clustering.
    pub clustering: &'a [u8],
    /// The row, looked at.
    pub row: RowView<'a>,
    /// The row as it is encoded.
    pub encoded: &'a [u8],
}

impl<'a> Rows<'a> {
    /// How many rows follow.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next row; `None` at the end, where nothing may follow.
    #[allow(
        clippy::should_implement_trait,
        reason = "an error ends it, and so may the end"
    )]
    pub fn next(&mut self) -> Result<Option<RowEntry<'a>>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            self.input.end()?;
            return Ok(None);
        };
        self.left = left;
        let clustering = self.input.bytes()?;
        let start = self.input.rest();
        let row = RowView::take(&mut self.input)?;
        if row.is_empty() || self.last.is_some_and(|last| last >= clustering) {
            return Err(DecodeError::NotCanonical);
        }
        self.last = Some(clustering);
        Ok(Some(RowEntry {
            clustering,
            row,
            encoded: &start[..start.len() - self.input.rest().len()],
        }))
    }
}
