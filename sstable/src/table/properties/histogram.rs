//! When the deletions and the expiring values of a table fall due, in bounded memory.

use std::collections::BTreeMap;

use starling_model::{
    DecodeError, Seconds,
    encoding::{Reader, Writer},
};

/// The most bins.
const MAX_BINS: usize = 64;

/// How many things fall due when: counts in bins of equal width, a power of two of seconds. The width doubles
/// whenever there are too many bins, so any span of time fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    shift: u32,
    bins: BTreeMap<u32, u64>,
    /// Counted, but not in its bin yet: the same second mostly comes again at once.
    pending: Option<(u32, u64)>,
}

impl Histogram {
    /// Counts one more.
    pub fn add(&mut self, at: Seconds) {
        match &mut self.pending {
            Some((second, count)) if *second == at.0 => *count += 1,
            _ => {
                self.settle();
                self.pending = Some((at.0, 1));
            }
        }
    }

    /// Puts what is pending into its bin.
    pub(super) fn settle(&mut self) {
        let Some((second, count)) = self.pending.take() else {
            return;
        };
        *self.bins.entry(second >> self.shift).or_default() += count;
        while self.bins.len() > MAX_BINS {
            self.shift += 1;
            let narrow = std::mem::take(&mut self.bins);
            for (bin, count) in narrow {
                *self.bins.entry(bin >> 1).or_default() += count;
            }
        }
    }

    /// How many fall due before a second: at least the true number less those of one bin, at most the true
    /// number.
    pub fn before(&self, second: Seconds) -> u64 {
        let whole = u64::from(second.0) >> self.shift;
        let bins = self.bins.iter().take_while(|(bin, _)| u64::from(**bin) < whole);
        let pending = self.pending.filter(|(due, _)| *due < second.0);
        bins.map(|(_, count)| count).sum::<u64>() + pending.map_or(0, |(_, count)| count)
    }

    /// The bins with something in them, in order: the first second, how many seconds it spans, how many things.
    pub fn bins(&self) -> impl Iterator<Item = (Seconds, u64, u64)> {
        let bin = |(bin, count): (&u32, &u64)| (Seconds(bin << self.shift), 1 << self.shift, *count);
        self.bins.iter().map(bin)
    }

    /// Appends it: varint logarithm of the width, varint bins, for each: varint number, varint count.
    pub(super) fn encode(&self, out: &mut Writer) {
        let mut settled = self.clone();
        settled.settle();
        out.varint(settled.shift.into());
        out.varint(settled.bins.len() as u64);
        for (bin, count) in &settled.bins {
            out.varint(u64::from(*bin));
            out.varint(*count);
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(super) fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let shift = u32::try_from(input.varint()?).map_err(|_| DecodeError::Number)?;
        let count = input.count()?;
        if shift >= u32::BITS || count > MAX_BINS {
            return Err(DecodeError::Number);
        }
        let mut bins = BTreeMap::new();
        for _ in 0..count {
            let bin = u32::try_from(input.varint()?).map_err(|_| DecodeError::Number)?;
            bins.insert(bin, input.varint()?);
        }
        Ok(Self {
            shift,
            bins,
            pending: None,
        })
    }
}
