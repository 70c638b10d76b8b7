//! Damage: which tokens of which table are not to be believed.
//!
//! A block that fails its checks is not lost data as long as other replicas have it, but it must never look like
//! data that was not there. So the tokens that the block was for are *quarantined* in its table: reads of them
//! fail and name the table, compactions leave the table alone, everything else goes on around the hole that the table
//! has there ([`table::holes`](crate::table::holes)). Once the data was written anew from elsewhere, the damage is
//! *healed*: reads go on without the hole's content, and the next compaction leaves the damaged file behind. Where that was
//! done for a part of the tokens, that part is healed, and the rest waits.
//!
//! The manifest keeps both, so that a restart knows. A file that can't be opened, because its header, footer, directory
//! or properties are damaged, is quarantined with all the tokens that it was made for, and given up once they are healed.
//!
//! A damaged file that holds tokens which do not belong here any more can't be written anew without them. It gets holes there, as
//! where damage was healed, so that nobody finds them, and the compaction that comes once it is healed leaves them behind.
//!
//! What a hole can't bring back is a deletion that only the damaged block held and that every other replica has
//! purged already; what it hid here may show again. Purging only what was repaired does not change that, so damage
//! should be healed within the grace period, which is counted in days.

use starling_model::{
    DecodeError, Seconds, Token, TokenRange,
    encoding::{Reader, Writer},
};

use crate::table::Table;

/// The most pieces of damage that are told apart in one table. With one more, the two that are closest to each other are taken for
/// one, with what lies between them.
pub const MAX_PIECES: usize = 512;

/// The most pieces that a table's damage is cut into by healing parts of it. What would need more waits until all of
/// its piece can be healed.
pub const MAX_PARTS: usize = 2 * MAX_PIECES;

/// The longest description that is kept, in bytes.
const MAX_WHAT_BYTES: usize = 256;

/// A piece of a table that was found damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The number of the table's file.
    pub file: u64,
    /// The tokens that may be concerned: from this one,
    pub from: Token,
    /// to this one, both included.
    pub to: Token,
    /// Where in the file it was found, in bytes.
    pub offset: u64,
    /// What was wrong.
    pub what: String,
    /// When it was found.
    pub since: Seconds,
    /// The data was written anew or is not wanted, and the table has a hole there.
    pub healed: bool,
}

impl Damage {
    /// Damage of a table, found at an offset of its file.
    pub fn at(table: &Table, offset: u64, what: &str, since: Seconds) -> Self {
        let (from, to) = table.tokens_at(offset);
        Self {
            file: table.number(),
            from,
            to,
            offset,
            what: shortened(what),
            since,
            healed: false,
        }
    }

    /// Damage of a whole file that can't be opened, and was made for some tokens. When it was found is not known yet.
    pub fn of_all(file: u64, tokens: TokenRange, what: &str) -> Self {
        Self {
            file,
            from: Token(tokens.start.0.saturating_add(1)),
            to: tokens.end,
            offset: 0,
            what: shortened(what),
            since: Seconds(0),
            healed: false,
        }
    }

    /// Tokens that a damaged file is to say nothing of any more.
    pub fn forgotten(file: u64, tokens: TokenRange, since: Seconds) -> Self {
        Self {
            since,
            healed: true,
            ..Self::of_all(file, tokens, "not stored here any more")
        }
    }

    /// The tokens as a range, whose start is excluded. (No key has the smallest token.)
    pub fn range(&self) -> TokenRange {
        TokenRange {
            start: Token(self.from.0.saturating_sub(1)),
            end: self.to,
        }
    }

    /// This and one that was found before it, as one piece.
    pub fn with(&self, earlier: &Self) -> Self {
        Self {
            from: self.from.min(earlier.from),
            to: self.to.max(earlier.to),
            ..earlier.clone()
        }
    }

    /// What of this lies outside of some tokens, which it touches: at most two pieces.
    pub fn outside(&self, range: TokenRange) -> impl Iterator<Item = Self> {
        let own = self.range();
        let sides = [
            (own.start, own.end.min(range.start)),
            (own.start.max(range.end), own.end),
        ];
        let sides = sides.into_iter().filter(|(start, end)| start < end);
        sides.map(|(start, to)| Self {
            from: Token(start.0.saturating_add(1)),
            to,
            ..self.clone()
        })
    }

    /// Whether some of these tokens, both included, are concerned.
    pub fn touches(&self, from: Token, to: Token) -> bool {
        self.from <= to && from <= self.to
    }

    pub(super) fn encode(&self, out: &mut Writer) {
        out.varint(self.file);
        out.fixed(&self.from.0.to_be_bytes());
        out.fixed(&self.to.0.to_be_bytes());
        out.varint(self.offset);
        out.varint(u64::from(self.since.0));
        out.byte(u8::from(self.healed));
        out.bytes(self.what.as_bytes());
    }

    pub(super) fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let damage = Self {
            file: input.varint()?,
            from: Token(i64::from_be_bytes(input.fixed()?)),
            to: Token(i64::from_be_bytes(input.fixed()?)),
            offset: input.varint()?,
            since: Seconds(u32::try_from(input.varint()?).map_err(|_| DecodeError::NotCanonical)?),
            healed: input.flags(1)? == 1,
            what: String::from_utf8(input.bytes()?.to_vec()).map_err(|_| DecodeError::NotCanonical)?,
        };
        if damage.from > damage.to {
            return Err(DecodeError::NotCanonical);
        }
        Ok(damage)
    }
}

fn shortened(what: &str) -> String {
    let mut end = what.len().min(MAX_WHAT_BYTES);
    while !what.is_char_boundary(end) {
        end -= 1;
    }
    what[..end].to_owned()
}
