//! How the tables of a table id are compacted: what an operator chooses.

use std::{fmt, str::FromStr};

/// How one table's files are merged, and so what its writes, reads and space cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Levels of density, see [`unified`](super::unified). For everything that is not a time series.
    Unified(Scaling),
    /// One table for each window of time, see [`window`](super::window). For data that is written in the order
    /// of time, and expires.
    TimeWindow {
        /// Length of a window, in seconds; 0 is taken as 1.
        seconds: u32,
    },
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Unified(Scaling::default())
    }
}

/// The knob of each level between cheap writes and cheap reads (CEP-26's W).
///
/// With `W > 0` a level is *tiered*: it collects `W + 2` overlapping tables, then they are merged once. A byte
/// is written once a level, a read meets up to `W + 1` tables a level. With `W < 0` it is *leveled*: what comes
/// is merged with what is there, so that a read meets one table a level, and a byte is written up to `2 - W`
/// times. `W = 0` is where both meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    levels: [i8; Self::LEVELS],
}

impl Scaling {
    /// How many levels have a knob of their own; the last one's holds for all above it.
    pub const LEVELS: usize = 8;

    /// The largest distance from 0, which bounds the inputs of a merge.
    pub const MAX: i8 = 30;

    /// The same for all levels, cut to `-MAX..=MAX`.
    pub fn all(w: i8) -> Self {
        Self {
            levels: [w.clamp(-Self::MAX, Self::MAX); Self::LEVELS],
        }
    }

    /// How many times denser a level is than the one below it: at least 2.
    pub fn fan(self, level: usize) -> u64 {
        2 + u64::from(self.at(level).unsigned_abs())
    }

    /// How many overlapping tables a level has when they are merged: at least 2.
    pub fn threshold(self, level: usize) -> usize {
        2 + usize::try_from(self.at(level)).unwrap_or(0)
    }

    fn at(self, level: usize) -> i8 {
        self.levels[level.min(Self::LEVELS - 1)]
    }
}

impl Default for Scaling {
    /// T4: tiers of four.
    fn default() -> Self {
        Self::all(2)
    }
}

/// A scaling that can't be read. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no scaling: write one to 8 of T2..T32 (tiered), L2..L32 (leveled) or N, with commas between them"
)]
pub struct NotScaling(String);

impl FromStr for Scaling {
    type Err = NotScaling;

    /// Reads Cassandra's notation, `T4` or `T4, T4, L10`: one item a level, the last for all above.
    fn from_str(text: &str) -> Result<Self, NotScaling> {
        let mut levels = [0; Self::LEVELS];
        let mut last = None;
        for (level, item) in text.split(',').enumerate() {
            let w = knob(item.trim()).filter(|_| level < Self::LEVELS);
            let w = w.ok_or_else(|| NotScaling(text.to_owned()))?;
            levels[level..].fill(w);
            last = Some(w);
        }
        last.map(|_| Self { levels })
            .ok_or_else(|| NotScaling(text.to_owned()))
    }
}

fn knob(item: &str) -> Option<i8> {
    if item == "N" {
        return Some(0);
    }
    let (kind, fan) = item.split_at_checked(1)?;
    let w = fan.parse::<i8>().ok()?.checked_sub(2)?;
    let w = Some(w).filter(|w| (0..=Scaling::MAX).contains(w))?;
    match kind {
        "T" => Some(w),
        "L" => Some(-w),
        _ => None,
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.levels[Self::LEVELS - 1];
        let distinct = self
            .levels
            .iter()
            .rposition(|w| *w != last)
            .map_or(1, |at| at + 2);
        for (level, w) in self.levels[..distinct].iter().enumerate() {
            let comma = if level == 0 { "" } else { "," };
            match w {
                0 => write!(f, "{comma}N")?,
                1.. => write!(f, "{comma}T{}", 2 + w)?,
                _ => write!(f, "{comma}L{}", 2 - w)?,
            }
        }
        Ok(())
    }
}
