//! Positions on the ring.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A position on the ring: the signed 64-bit space of Cassandra's `Murmur3Partitioner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub i64);

impl Token {
    /// The smallest position. Partitioners never give it to a key, so "after `MIN`" is the whole ring.
    pub const MIN: Self = Self(i64::MIN);
    /// The largest position.
    pub const MAX: Self = Self(i64::MAX);

    /// Eight bytes that compare as the token does: big-endian with the sign bit flipped.
    pub fn ordered_bytes(self) -> [u8; 8] {
        ((self.0 as u64) ^ (1 << 63)).to_be_bytes()
    }

    /// The inverse of [`ordered_bytes`](Self::ordered_bytes).
    pub fn from_ordered_bytes(bytes: [u8; 8]) -> Self {
        Self((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An arc of the ring, `(start, end]` as Cassandra has it. Where `start >= end` it wraps around;
/// `start == end` is the whole ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenRange {
    /// Exclusive.
    pub start: Token,
    /// Inclusive.
    pub end: Token,
}

impl TokenRange {
    /// The whole ring, without wrapping: `(MIN, MAX]`.
    pub const ALL: Self = Self {
        start: Token::MIN,
        end: Token::MAX,
    };

    /// Whether the arc passes the end of the token space.
    pub fn wraps(&self) -> bool {
        self.start >= self.end && self.end != Token::MIN
    }

    /// Whether the arc holds `token`.
    pub fn contains(&self, token: Token) -> bool {
        if self.start < self.end {
            self.start < token && token <= self.end
        } else {
            token > self.start || token <= self.end
        }
    }

    /// The arc as one or two arcs that don't wrap, in token order.
    pub fn unwrapped(&self) -> Vec<Self> {
        if self.start < self.end {
            return vec![*self];
        }
        let mut parts = Vec::with_capacity(2);
        if self.end > Token::MIN {
            parts.push(Self {
                start: Token::MIN,
                end: self.end,
            });
        }
        if self.start < Token::MAX {
            parts.push(Self {
                start: self.start,
                end: Token::MAX,
            });
        }
        parts
    }
}

impl fmt::Display for TokenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}]", self.start, self.end)
    }
}
