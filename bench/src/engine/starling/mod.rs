//! Our engine, driven as a node drives it: a thread that owns a shard, threads for its jobs, a thread that
//! syncs its log.

mod clients;
mod encoder;
mod jobs;
mod recovery;
mod shard;
mod syncer;

use starling_model::{
    ClusteringRange, KeyRange, Limits, ReadCommand, Token, TokenRange, ValueRef,
    encoding::{DecodeError, Input, RowView},
};
use starling_sstable::{ShardMap, read::Never};

use super::{
    error::Error,
    rows::Key,
    session::{Session, Settings},
};
use encoder::Encoder;
pub(crate) use encoder::TABLE;
use jobs::Jobs;
pub use recovery::recover;
pub(crate) use shard::Shard;
use shard::now;

pub(crate) fn failed(reason: impl std::fmt::Display) -> Error {
    Error::Store {
        store: "Starling",
        reason: reason.to_string(),
    }
}

/// Opens one engine alone, for a thread of its own.
pub(crate) fn open_shard(settings: &Settings) -> Result<Shard, Error> {
    let jobs = Jobs::start(settings.background)?;
    Shard::open(settings, ShardMap::new(1), 0, jobs)
}

/// Opens one engine for each shard, each with its slice of the tokens and of the budgets. Of as many threads as
/// shards each has a shard of its own; more are clients of the shards, which then have threads of their own.
pub fn open(settings: &Settings) -> Result<Vec<Box<dyn Session>>, Error> {
    let map = ShardMap::new(settings.shards);
    let jobs = Jobs::start(settings.background)?;
    let shards: Vec<Shard> = (0..settings.shards)
        .map(|number| Shard::open(settings, map, number, jobs.clone()))
        .collect::<Result<_, _>>()?;
    if settings.threads > settings.shards {
        return Ok(clients::open(settings, map, shards)?);
    }
    Ok(shards
        .into_iter()
        .map(|shard| {
            let encoder = Encoder::new(settings);
            Box::new(Direct { shard, encoder }) as Box<dyn Session>
        })
        .collect())
}

/// A shard on the thread that uses it.
struct Direct {
    shard: Shard,
    encoder: Encoder,
}

impl Session for Direct {
    fn put(&mut self, key: Key, update: u64) -> Result<(), Error> {
        self.shard.apply(self.encoder.encode(key, update))
    }

    fn put_durably(&mut self, keys: &[Key]) -> Result<(), Error> {
        for key in keys {
            self.shard.apply(self.encoder.encode(*key, 0))?;
        }
        self.shard.log.sync().map(drop).map_err(failed)
    }

    fn get(&mut self, key: Key, see: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        let answer = self
            .shard
            .engine
            .get(TABLE, &encoder::decorated(key), &[], None)
            .map_err(failed)?;
        let Some(row) = answer.row else {
            return Ok(false);
        };
        see_first(RowView::new(&row).map_err(failed)?, see).map_err(failed)?;
        Ok(true)
    }

    fn scan(&mut self, from: Key, rows: usize, see: &mut dyn FnMut(&[u8])) -> Result<usize, Error> {
        let range = TokenRange {
            start: Token(encoder::decorated(from).token.0 - 1),
            end: self.shard.slice.end,
        };
        let command = command(KeyRange::Tokens(range), rows as u32);
        let answer = self
            .shard
            .engine
            .read_encoded(&command, &mut Never)
            .map_err(failed)?;
        let mut seen = 0;
        for partition in answer.page.partitions() {
            seen += see_all(partition.content, see).map_err(failed)?;
        }
        Ok(seen)
    }

    fn settle(&mut self) -> Result<(), Error> {
        self.shard.settle()
    }

    fn compact(&mut self) -> Result<(), Error> {
        self.shard.compact()
    }
}

/// Shows the first column of an encoded row.
fn see_first(row: RowView<'_>, see: &mut dyn FnMut(&[u8])) -> Result<(), DecodeError> {
    if let Some(cell) = row.cells().next().transpose()?
        && let ValueRef::Live { value, .. } = cell.value
    {
        see(value);
    }
    Ok(())
}

/// Shows the first column of each row of an encoded partition that has nothing but rows.
fn see_all(partition: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<usize, DecodeError> {
    let mut input = Input::new(partition);
    input.flags(0)?;
    if input.count()? > 0 {
        return Err(DecodeError::NotCanonical);
    }
    let rows = input.count()?;
    for left in (0..rows).rev() {
        input.bytes()?;
        if left == 0 {
            // The last row ends with the partition, so the way behind it need not be found.
            see_first(RowView::new(input.rest())?, see)?;
        } else {
            see_first(RowView::take(&mut input)?, see)?;
        }
    }
    Ok(rows)
}

fn command(keys: KeyRange, rows: u32) -> ReadCommand {
    ReadCommand {
        table: TABLE,
        keys,
        slices: vec![ClusteringRange::ALL],
        reversed: false,
        after: None,
        limits: Limits { rows, ..Limits::NONE },
        now: now(),
    }
}
