//! Merging inputs into one new table, in bounded steps.

use std::{path::PathBuf, sync::Arc};

use starling_model::{DecoratedKey, TokenRange, TokenSet};

pub use super::input::Input;
use super::{
    behind::Behind,
    copy,
    pass::{Partition, Pass},
    purge::{PurgePolicy, Purging},
};
use crate::{
    Error,
    fs::{self, Fs},
    log::Lsn,
    read::lanes::start_of,
    table::{Cursor, Table, TableWriter, WriterOptions, key, properties::LARGE_ROW_BYTES, reader},
};

/// What is merged, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// At most [`MAX_INPUTS`](super::candidate::MAX_INPUTS).
    pub inputs: Vec<Input>,
    /// What may be forgotten.
    pub purging: Purging,
    /// How the output is written.
    pub options: WriterOptions,
    /// How much is read in one step, in bytes, about.
    pub step_bytes: usize,
    /// What is left out: all but these tokens. `None`: nothing is.
    pub only: Option<TokenSet>,
    /// The output is read at once and does not outlive the process: it is not synced.
    pub transient: bool,
    /// What is wanted of the only input, a table, is taken block by block as it is stored, in the compression that it has. Only
    /// where nothing is forgotten.
    pub copies: bool,
}

impl Plan {
    /// The table that is copied; `None`: inputs are merged.
    fn copied(&self) -> Option<&Arc<Table>> {
        match &self.inputs[..] {
            [Input::Table(table)] if self.copies => Some(table),
            _ => None,
        }
    }

    /// Fails if there is something of a table among the inputs that the disk could not deliver.
    #[cold]
    fn all_was_read(&self) -> Result<(), Error> {
        self.inputs.iter().try_for_each(|input| match input {
            Input::Memory(_) => Ok(()),
            Input::Table(table) => table.all_was_read(),
        })
    }
}

/// A merge in progress: of those tokens of its inputs that it was given.
///
/// Contract:
/// 1. Nothing is seen of it before it is installed; inputs are only read.
/// 2. Each step reads about `step_bytes`, or one row where that is more.
/// 3. The output, once [`step`](Self::step) said that it is complete, is durable, its name included, unless it is transient,
///    and open.
/// 4. An output with nothing in it is no file at all.
pub struct Worker {
    plan: Arc<Plan>,
    tokens: TokenRange,
    sink: Sink,
    /// The first key that was not merged yet.
    next: Vec<u8>,
    /// The partition that `next` is in, if its head says something.
    partition: Option<Partition>,
    begun: bool,
    done: bool,
    /// The inputs, if they were not in memory.
    behind: Option<Behind>,
    output: Option<Arc<Table>>,
    read: u64,
    searches: u64,
}

/// The table in the making. It is begun with the first entry.
pub(super) struct Sink {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    number: u64,
    newest: Lsn,
    options: WriterOptions,
    /// Whose blocks it takes as they are.
    origin: Option<Arc<Table>>,
    writer: Option<TableWriter>,
    begun: bool,
    /// Nobody is expected to read it soon.
    cold: bool,
    transient: bool,
    /// A row with so many bytes, or more, is remembered.
    least_told: usize,
    largest: Option<LargeRow>,
}

/// A row that people should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeRow {
    /// Its partition.
    pub key: DecoratedKey,
    /// Its clustering; empty for a static row.
    pub clustering: Vec<u8>,
    /// Its encoding, in bytes.
    pub bytes: usize,
}

impl Sink {
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        if value.len() >= self.least_told {
            self.tell(key, value.len());
        }
        match &mut self.writer {
            Some(writer) => writer.push(key, value),
            None => self.begin()?.push(key, value),
        }
    }

    /// Takes the block of the [origin](Self::origin) that a cursor stands at the beginning of; returns the bytes of its entries.
    /// Large rows in it, which are not new, are not remembered.
    pub(super) fn take_over(&mut self, cursor: &mut Cursor) -> Result<u64, Error> {
        match &mut self.writer {
            Some(writer) => writer.take_over(cursor),
            None => self.begin()?.take_over(cursor),
        }
    }

    /// Remembers the largest row.
    #[cold]
    fn tell(&mut self, key: &[u8], bytes: usize) {
        self.least_told = bytes + 1;
        self.largest = key::parts(key).and_then(|parts| {
            Some(LargeRow {
                key: key::partition_key(parts.prefix)?,
                clustering: parts.clustering.to_vec(),
                bytes,
            })
        });
    }

    #[cold]
    fn begin(&mut self) -> Result<&mut TableWriter, Error> {
        // It is mapped once it is whole: better to know before, for it is tried again and again.
        self.fs
            .may_map()
            .map_err(|error| Error::io("open", &self.path())(error))?;
        self.begun = true;
        let (path, options) = (self.path(), self.options);
        let mut writer = match &self.origin {
            Some(origin) => TableWriter::part_of(&self.fs, path, origin, options)?,
            None => TableWriter::new(&self.fs, path, self.newest, options)?,
        };
        if self.cold {
            writer.drop_behind();
        } else if !self.transient {
            writer.sync_in_pieces();
        }
        Ok(self.writer.insert(writer))
    }

    fn path(&self) -> PathBuf {
        self.dir.join(reader::file_name(self.number))
    }
}

impl Worker {
    /// A merge into the table `number` of a directory, of those `tokens` of the inputs. Touches nothing yet.
    ///
    /// # Panics
    ///
    /// If what is to be copied is not one table, or something may be forgotten.
    pub fn new(fs: Arc<dyn Fs>, dir: PathBuf, number: u64, plan: Arc<Plan>, tokens: TokenRange) -> Self {
        let keeps = plan.purging.policy == PurgePolicy::Keep;
        assert!(
            !plan.copies || plan.copied().is_some() && keeps,
            "one table can be copied"
        );
        let newest = plan.inputs.iter().map(|input| match input {
            Input::Memory(memtable) => memtable.last(),
            Input::Table(table) => table.properties().last,
        });
        // A range excludes its start; no key has the smallest token.
        let first = tokens.start.0.saturating_add(1);
        Self {
            tokens,
            sink: Sink {
                fs,
                dir,
                number,
                newest: newest.max().unwrap_or_default(),
                options: plan.options,
                origin: plan.copied().cloned(),
                writer: None,
                begun: false,
                cold: false,
                transient: plan.transient,
                least_told: LARGE_ROW_BYTES as usize,
                largest: None,
            },
            behind: None,
            begun: false,
            plan,
            next: starling_model::Token(first).ordered_bytes().to_vec(),
            partition: None,
            done: false,
            output: None,
            read: 0,
            searches: 0,
        }
    }

    /// The number of the output.
    pub fn number(&self) -> u64 {
        self.sink.number
    }

    /// The tokens that the output is made for.
    pub fn tokens(&self) -> TokenRange {
        self.tokens
    }

    /// The file of the output.
    pub fn path(&self) -> PathBuf {
        self.sink.path()
    }

    /// Whether there is a file, complete or not.
    pub fn has_file(&self) -> bool {
        self.sink.begun
    }

    /// Whether the merge is complete.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The output of a complete merge; `None` if nothing was left.
    pub fn output(&self) -> Option<Arc<Table>> {
        self.output.clone()
    }

    /// The largest row of the output so far, if it is [large](LARGE_ROW_BYTES).
    pub fn large_row(&self) -> Option<&LargeRow> {
        self.sink.largest.as_ref()
    }

    /// Bytes read and written so far, before compression, about.
    pub fn worked(&self) -> u64 {
        2 * self.read
    }

    /// How often an input was searched for the range tombstones of a partition: a block, or two, are read each time.
    pub fn searches(&self) -> u64 {
        self.searches
    }

    /// Goes on for a step; `true` once the merge is complete. After an error, the merge is to be given up.
    pub fn step(&mut self) -> Result<bool, Error> {
        if self.done {
            return Ok(true);
        }
        let plan = Arc::clone(&self.plan);
        if !std::mem::replace(&mut self.begun, true) {
            self.behind = Behind::of(&plan.inputs, self.tokens);
            self.sink.cold = self.behind.is_some() && !plan.transient;
        }
        let lost = fs::lost_pages();
        let over = match plan.copied() {
            Some(table) => self.copy(&plan, table)?,
            None => self.merge(&plan)?,
        };
        // A block is checked once, and what lies in it uncompressed is read again when it is written.
        if fs::lost_pages() != lost {
            plan.all_was_read()?;
        }
        if over {
            self.complete()?;
        }
        if let Some(behind) = &mut self.behind {
            let come_to = if over {
                &self.tokens.end.ordered_bytes()
            } else {
                &self.next[..]
            };
            behind.forget(start_of(come_to));
        }
        Ok(self.done)
    }

    fn merge(&mut self, plan: &Plan) -> Result<bool, Error> {
        let mut pass = Pass::new(plan, &self.next, self.partition.take())?;
        let over = pass.run(&mut self.sink, self.tokens.end)?;
        self.read += pass.read();
        self.searches += pass.searches();
        if !over {
            (self.next, self.partition) = pass.stop();
        }
        Ok(over)
    }

    fn copy(&mut self, plan: &Plan, table: &Arc<Table>) -> Result<bool, Error> {
        let copied = copy::step(plan, table, &self.next, &mut self.sink, self.tokens.end)?;
        self.read += copied.read;
        let over = copied.next.is_none();
        self.next = copied.next.unwrap_or_default();
        Ok(over)
    }

    fn complete(&mut self) -> Result<(), Error> {
        if let Some(writer) = self.sink.writer.take() {
            let Sink { fs, dir, number, .. } = &self.sink;
            if self.plan.transient {
                writer.finish_transient()?;
            } else {
                writer.finish()?;
                fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
            }
            self.output = Some(Arc::new(Table::open(&**fs, dir, *number)?));
        }
        self.done = true;
        Ok(())
    }
}
