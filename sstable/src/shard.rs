//! Which shard of a node owns which part of the token space.

use starling_model::{Token, TokenRange};

/// The token space cut into equal slices, one for each shard.
///
/// Contract: every token belongs to exactly one shard; `slice(shard_of(t))` contains `t` (but for
/// [`Token::MIN`], which no key has, and which goes to shard 0); slices are in token order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardMap {
    shards: u32,
}

impl ShardMap {
    /// A map of `shards` shards; 0 is taken as 1.
    pub fn new(shards: u32) -> Self {
        Self {
            shards: shards.max(1),
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// The shard that owns a token: `0..shards()`.
    pub fn shard_of(&self, token: Token) -> u32 {
        // Slices exclude their start, so a token counts as the place just before it.
        let place = ordinal(token).saturating_sub(1);
        ((u128::from(place) * u128::from(self.shards)) >> 64) as u32
    }

    /// The slice of a shard, which does not wrap. Shards at or past `shards()` get the last one's.
    pub fn slice(&self, shard: u32) -> TokenRange {
        let shard = shard.min(self.shards - 1);
        TokenRange {
            start: self.boundary(shard),
            end: self.boundary(shard + 1),
        }
    }

    /// All slices, in token order.
    pub fn slices(&self) -> impl Iterator<Item = TokenRange> + use<> {
        let map = *self;
        (0..map.shards).map(move |shard| map.slice(shard))
    }

    /// What of each slice lies within a range that does not wrap, in token order.
    pub fn within(&self, range: TokenRange) -> Vec<TokenRange> {
        let parts = self.slices().map(|slice| TokenRange {
            start: slice.start.max(range.start),
            end: slice.end.min(range.end),
        });
        parts.filter(|part| part.start < part.end).collect()
    }

    /// Where slice `shard` starts: the number of places before it is the least that maps to it.
    fn boundary(self, shard: u32) -> Token {
        if shard >= self.shards {
            return Token::MAX;
        }
        let places = (u128::from(shard) << 64).div_ceil(u128::from(self.shards)) as u64;
        Token((places ^ (1 << 63)) as i64)
    }
}

/// The number of tokens before this one.
fn ordinal(token: Token) -> u64 {
    (token.0 as u64) ^ (1 << 63)
}

#[cfg(test)]
mod tests;
