//! Bytes in place to numbers and slices, without allocating.

use super::{DecodeError, stamp};
use crate::{
    cell::Expiry,
    time::{Deletion, Seconds, Timestamp},
};

/// Reads borrowed bytes from their start; the counterpart of [`Reader`](super::Reader) for those who only look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Fails if anything is left.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing(self.rest.len()))
        }
    }

    /// As many bytes as the caller's array has.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A byte of flags, of which only `known` may be set.
    #[inline]
    pub fn flags(&mut self, known: u8) -> Result<u8, DecodeError> {
        let flags = self.byte()?;
        if flags & !known == 0 {
            Ok(flags)
        } else {
            Err(DecodeError::Flags(flags))
        }
    }

    /// An unsigned number.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        match self.rest {
            [byte @ ..0x80, rest @ ..] => {
                self.rest = rest;
                Ok((*byte).into())
            }
            _ => self.long_varint(),
        }
    }

    /// A number of several bytes: up to eight of them at once, which timestamps have.
    fn long_varint(&mut self) -> Result<u64, DecodeError> {
        const CONTINUED: u64 = 0x8080_8080_8080_8080;
        if let Some(chunk) = self.rest.first_chunk() {
            let word = u64::from_le_bytes(*chunk);
            let stops = !word & CONTINUED;
            if stops != 0 {
                let bits = stops.trailing_zeros() + 1;
                self.rest = &self.rest[(bits / 8) as usize..];
                return Ok(pack(word & (u64::MAX >> (64 - bits))));
            }
        }
        let mut value = 0_u64;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            let part = u64::from(byte & 0x7f);
            let shifted = part << (7 * at);
            if shifted >> (7 * at) != part {
                return Err(DecodeError::Number);
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            DecodeError::Truncated
        } else {
            DecodeError::Number
        })
    }

    #[inline]
    pub(crate) fn number<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.varint()?).map_err(|_| DecodeError::Number)
    }

    /// A length and that many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length: usize = self.number()?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A count of things that take at least one byte each.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        let count: usize = self.number()?;
        if count > self.rest.len() {
            Err(DecodeError::Truncated)
        } else {
            Ok(count)
        }
    }

    /// A timestamp.
    #[inline]
    pub fn timestamp(&mut self) -> Result<Timestamp, DecodeError> {
        let zigzag = self.varint()?;
        Ok(Timestamp((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)))
    }

    /// A timestamp of a row.
    #[inline]
    pub(crate) fn stamp(&mut self) -> Result<Timestamp, DecodeError> {
        let word = if let Some(chunk) = self.rest.first_chunk() {
            let word = u64::from_le_bytes(*chunk) & stamp::FAR;
            self.rest = &self.rest[stamp::BYTES..];
            word
        } else {
            let mut word = [0; 8];
            word[..stamp::BYTES].copy_from_slice(&self.fixed::<{ stamp::BYTES }>()?);
            u64::from_le_bytes(word)
        };
        if word == stamp::FAR {
            let timestamp = Timestamp(i64::from_le_bytes(self.fixed()?));
            return if stamp::is_far(timestamp) {
                Ok(timestamp)
            } else {
                Err(DecodeError::NotCanonical)
            };
        }
        Ok(stamp::of_word(word))
    }

    /// A deletion.
    pub fn deletion(&mut self) -> Result<Deletion, DecodeError> {
        Ok(Deletion {
            timestamp: self.timestamp()?,
            at: self.seconds()?,
        })
    }

    pub(crate) fn seconds(&mut self) -> Result<Seconds, DecodeError> {
        Ok(Seconds(self.number()?))
    }

    pub(crate) fn expiry(&mut self) -> Result<Expiry, DecodeError> {
        Ok(Expiry {
            at: self.seconds()?,
            ttl: self.number()?,
        })
    }
}

/// Drops the top bit of each byte and closes the gaps.
fn pack(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let word = (word & 0x0000_3fff_0000_3fff) | ((word & 0x3fff_0000_3fff_0000) >> 2);
    (word & 0x0fff_ffff) | ((word & 0x0fff_ffff_0000_0000) >> 4)
}
