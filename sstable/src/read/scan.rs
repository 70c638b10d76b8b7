//! One page of a range of tokens.

use starling_model::{Clustering, ClusteringRange, DecodeError, TokenRange, ordered};

use super::{
    Head, Source, Stream,
    lanes::{Lanes, start_of},
    name::Name,
    page::{End, PageReader},
};
use crate::{
    Error,
    log::Lsn,
    table::key::{self, Kind},
};

impl PageReader<'_> {
    /// Reads partitions in the order of tokens.
    pub(super) fn tokens(&mut self, sources: &[Source<'_>], range: TokenRange) -> Result<(), Error> {
        // A range excludes its start; no key has the smallest token.
        let mut from = starling_model::Token(range.start.0.saturating_add(1))
            .ordered_bytes()
            .to_vec();
        let mut names = Names::default();
        if let Some(after) = &self.command.after {
            if after.key.token <= range.start || after.key.token > range.end {
                return Err(Error::Invalid(
                    "the position to go on from is outside of the range",
                ));
            }
            if after.clustering.is_some() && self.key(sources, &after.key, Some(after))? == End::Full {
                return Ok(());
            }
            let prefix = key::prefix(&after.key);
            from = key::after_partition(&prefix);
            names.this = Name::new(&after.key, &prefix);
            names.done();
        }
        self.assembly.expect(&self.command.limits);
        let mut lanes = Lanes::new(sources.iter().copied(), &from)?;
        let last = u64::from_be_bytes(range.end.ordered_bytes());
        let whole = self.command.slices == [ClusteringRange::ALL] && !self.command.reversed;
        while lanes.token().is_some_and(|token| token <= last) {
            if self.is_full() {
                self.assembly.next = names.is_done.then(|| names.last.position(None, 0));
                return Ok(());
            }
            // What lies before the next stream's partition is in one stream only.
            let below = lanes.next_token().min(last.saturating_add(1));
            let alone = whole && lanes.token().is_some_and(|token| token < below);
            let end = match lanes.first_mut(1).next() {
                Some(stream) if alone => self.run(stream, below, &mut names)?,
                _ => None,
            };
            let end = match end {
                Some(end) => {
                    lanes.arrange(1);
                    end
                }
                None => self.meeting(&mut lanes, &mut names)?,
            };
            if end == End::Full {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the partition that comes next, whatever it has and in how many streams, and goes past it.
    fn meeting(&mut self, lanes: &mut Lanes<'_>, names: &mut Names) -> Result<End, Error> {
        let Some(stream) = lanes.least() else {
            return Ok(End::Complete);
        };
        names.this.read(stream)?;
        let name = &names.this;
        let count = lanes.under(&name.prefix);
        let mut streams: Vec<&mut Stream<'_>> = lanes.first_mut(count).collect();
        let mut heads = Vec::with_capacity(count);
        for stream in &mut streams {
            heads.push(Head::take(stream, &name.prefix)?);
        }
        let end = self.partition(&mut streams, &heads, name, None)?;
        if end == End::Complete {
            for stream in &mut streams {
                leave(stream, &name.prefix, self.command.reversed)?;
            }
            lanes.arrange(count);
            names.done();
        }
        Ok(end)
    }

    /// Reads partitions that only this stream has, as long as their tokens are less than `below`, they have rows
    /// only, and the page has room: their rows go from the stream into the page. `None` if the first one is not
    /// such a partition.
    fn run(&mut self, stream: &mut Stream<'_>, below: u64, names: &mut Names) -> Result<Option<End>, Error> {
        let mut run = Run {
            reader: self,
            names,
            below,
            rows: 0,
            live: 0,
            last: None,
            outcome: Outcome::Through,
            taken: false,
        };
        let mut failed = None;
        stream.each(|key, value, written| {
            let taken = run.take(key, value, written);
            taken.unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        })?;
        if let Some(error) = failed {
            return Err(stream.unreadable(error));
        }
        let (outcome, taken) = (run.outcome, run.taken);
        if outcome == Outcome::Through {
            run.end(None);
        }
        match outcome {
            Outcome::Through => Ok(taken.then_some(End::Complete)),
            Outcome::Share => {
                leave(stream, &names.last.prefix, false)?;
                Ok(Some(End::Complete))
            }
            Outcome::Full => Ok(Some(End::Full)),
        }
    }
}

/// Goes past a partition.
fn leave(stream: &mut Stream<'_>, prefix: &[u8], reversed: bool) -> Result<(), Error> {
    // Most partitions are small: the next entry may be the next partition's.
    if !reversed && stream.under(prefix).is_some() {
        stream.next()?;
    }
    if reversed || stream.under(prefix).is_some() {
        stream.seek(&key::after_partition(prefix))?;
    }
    Ok(())
}

/// Which partition is being read, and which was complete before.
#[derive(Debug, Default)]
struct Names {
    this: Name,
    last: Name,
    is_done: bool,
}

impl Names {
    fn done(&mut self) {
        std::mem::swap(&mut self.this, &mut self.last);
        self.is_done = true;
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Between partitions.
    Through,
    /// In a partition whose share of rows is reached.
    Share,
    /// In a partition, because the page is full.
    Full,
}

/// Partitions that one stream has, and rows only.
struct Run<'r, 'c> {
    reader: &'r mut PageReader<'c>,
    names: &'r mut Names,
    below: u64,
    /// Rows of the partition that is in the page; 0: none is begun.
    rows: usize,
    /// The live ones.
    live: u32,
    /// The row at which the partition has to end, if more follow.
    last: Option<(Clustering, Outcome)>,
    outcome: Outcome,
    /// Something was.
    taken: bool,
}

impl Run<'_, '_> {
    /// Takes an entry; `false` if it does not belong to the run.
    #[inline]
    fn take(&mut self, key: &[u8], row: &[u8], written: Lsn) -> Result<bool, DecodeError> {
        if self.rows > 0
            && let Some(rest) = key.strip_prefix(&self.names.this.prefix[..])
        {
            // Rows come last in a partition.
            let Some((_, clustering)) = rest.split_first() else {
                return Err(DecodeError::Truncated);
            };
            if let Some((last, outcome)) = self.last.take() {
                self.cut(last, outcome);
                return Ok(false);
            }
            self.row(clustering, row)?;
            return Ok(true);
        }
        self.end(None);
        let token = start_of(key);
        if token >= self.below || (self.taken && self.reader.is_full()) {
            return Ok(false);
        }
        let name = &mut self.names.this;
        name.token = token;
        name.key.clear();
        let mut rest = key.get(8..).unwrap_or_default();
        ordered::take_bytes_into(&mut rest, &mut name.key).map_err(|_| DecodeError::NotCanonical)?;
        let (kind, clustering) = rest.split_first().ok_or(DecodeError::Truncated)?;
        if *kind != Kind::Row as u8 {
            return Ok(false);
        }
        name.prefix.clear();
        name.prefix.extend_from_slice(&key[..key.len() - rest.len()]);
        self.reader.newest = self.reader.newest.max(written);
        self.reader.assembly.begin_rows(name);
        self.reader.bytes += size_of::<starling_model::Partition>() + name.key.len();
        self.taken = true;
        self.row(clustering, row)?;
        Ok(true)
    }

    #[inline]
    fn row(&mut self, clustering: &[u8], row: &[u8]) -> Result<(), DecodeError> {
        let reader = &mut *self.reader;
        let live = reader.count(clustering, row)?;
        reader.assembly.next_row(clustering, row)?;
        reader.visited += 1;
        self.rows += 1;
        self.live += u32::from(live);
        let share = self.live >= reader.command.limits.rows_per_partition;
        if share || reader.is_full() {
            let outcome = if share { Outcome::Share } else { Outcome::Full };
            self.last = Some((Clustering::from(clustering.to_vec()), outcome));
        }
        Ok(())
    }

    /// Ends the partition at a row that is not its last.
    #[cold]
    fn cut(&mut self, last: Clustering, outcome: Outcome) {
        self.outcome = outcome;
        if outcome == Outcome::Full {
            self.reader.assembly.next = Some(self.names.this.position(Some(last.clone()), self.live));
        }
        self.end(Some(&last));
    }

    /// Ends the partition, if one is begun.
    #[inline]
    fn end(&mut self, cut: Option<&Clustering>) {
        if self.rows == 0 {
            return;
        }
        self.reader.assembly.end_rows(self.rows, cut);
        if self.outcome != Outcome::Full {
            self.reader.visited += 1;
        }
        self.rows = 0;
        self.live = 0;
        self.last = None;
        self.names.done();
    }
}
