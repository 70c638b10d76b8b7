//! Parts of the token space, taken out as whole tables: what another node fetches that becomes their replica.
//!
//! An export holds every write of a table id to some tokens that was accepted before it was asked for, deletions and
//! all: nothing is purged on the way. What is in memory is flushed first, so that an export, which may take long, keeps no
//! memtable. A table of which all tokens are wanted is linked. What is wanted of others becomes new tables, by a job, in
//! bounded steps: one for each large piece, [copied](Plan::copies) block by block as it is stored; small ones are merged, so that
//! files are few. Pieces need not be merged to be right, since nothing is forgotten. What is linked is not read: whoever gets it may
//! be the first one to find it damaged, and can have it made [anew](ExportOptions::anew). The files belong to whoever asked: they are
//! no part of the engine, and nothing of them need survive a crash.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use starling_model::{Seconds, TableId, Timestamp, TokenRange, TokenSet};

use super::{
    Engine,
    quarantine::MAX_REPORTS,
    snapshot::{MAX_WAITING, link},
    table_state::TableState,
};
use crate::{
    Error, PurgePolicy,
    compaction::{
        candidate::MAX_INPUTS,
        purge::Purging,
        rows,
        space::{Promise, Room},
        worker::{Input, Plan, Worker},
    },
    fs::Fs,
    log::Lsn,
    memtable::Pool,
    table::{Scrub, Table, WriterOptions, reader::file_name},
};

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Which of the parts that were asked for holds all its tokens.
    pub part: usize,
    /// The file.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The newest timestamp in it; `None` if it has none.
    pub newest: Option<Timestamp>,
}

/// How an export is made, and for how long.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// For whoever found such files damaged: what tables have of the tokens is checked first, with what it is read by, and then
    /// read and written anew, entry by entry; none is linked. What is damaged is quarantined, and whoever asked is told
    /// [`Error::Corrupt`]. Where that is nothing but what no reader needs, as the bytes between two parts of a file, the new
    /// tables are whole. It reads everything, and needs room for it.
    pub anew: bool,
    /// To be set by whoever asked, once he does not want the files any more. The export then ends with its next step, or before
    /// it begins, with [`Error::Invalid`].
    pub given_up: Arc<AtomicBool>,
}

impl ExportOptions {
    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

/// The most exports that have begun and not ended; later ones wait for their turn. Each needs room on the disk, and time of the
/// threads that all of them share.
pub(super) const MAX_BEGUN: usize = 4;

const GIVEN_UP: Error = Error::Invalid("the export was given up");

/// A piece of a table that is smaller than this part of a table's size is merged with others: a file for each would cost
/// readers more than the merge.
const LEAST_COPIED: u64 = 64;

/// Who is told how an export went.
type Done = Box<dyn FnOnce(Result<Vec<Exported>, Error>) + Send>;

/// A table that is taken as it is.
struct Whole {
    number: u64,
    part: usize,
    bytes: u64,
    newest: Option<Timestamp>,
}

/// A table of which a part is taken.
struct Cut {
    span: TokenRange,
    table: Arc<Table>,
    /// It is read entry by entry: some of it was damaged, or may be.
    marked: bool,
    /// How many of the tokens that are wanted were in its holes when the export began.
    in_holes: u64,
}

/// How new tables are made.
struct Making {
    options: WriterOptions,
    step_bytes: usize,
    /// Pieces of at least so many bytes are copied.
    least_copied: u64,
}

/// An export that was asked for.
pub(super) struct Wanted {
    table: TableId,
    tokens: TokenSet,
    parts: Vec<TokenRange>,
    dir: PathBuf,
    /// Writes up to this belong to it; they are to be in files first.
    last: Lsn,
    options: ExportOptions,
    done: Done,
}

impl Wanted {
    /// Tokens of a table were written anew, which belongs to it, too: files may say nothing of them any more.
    pub(super) fn take_healed(
        &mut self,
        (table, tokens): (TableId, TokenRange),
        state: &mut TableState,
        pool: &Arc<Pool>,
    ) {
        if self.table == table && self.tokens.touches(tokens) {
            self.last = self.last.max(state.rotate_if_it_holds(&self.tokens, pool));
        }
    }
}

/// An export on its way.
pub(super) struct Exporting {
    fs: Arc<dyn Fs>,
    from: PathBuf,
    dir: PathBuf,
    begun: bool,
    tokens: TokenSet,
    /// Tables that are checked before anything is made of them.
    checks: Vec<Scrub>,
    /// What is damaged there, as much of it as can be reported.
    found: Vec<Error>,
    whole: Vec<Whole>,
    cut: Vec<Cut>,
    /// The number of a file that got a hole while it was read.
    stepped_over: Option<u64>,
    merges: VecDeque<(usize, Worker)>,
    made: Vec<Exported>,
    /// Files that may exist.
    named: Vec<PathBuf>,
    complete: bool,
    options: ExportOptions,
    done: Done,
    /// Its turn.
    _begun: Arc<()>,
    /// The space for what is merged, until that is done.
    promise: Option<Promise>,
    /// No file is removed while this is held: until the links are made, if there are any to be made.
    pin: Option<Arc<()>>,
}

impl Engine {
    /// Asks for tables in a directory (which is made) that hold all that a table id has for some tokens. `parts` are
    /// ranges that don't wrap and don't overlap; no file holds tokens of two of them, and what is in none is left out.
    /// `done` is told, from [`finish`](Self::finish), which files there are, which may be none. After an error none
    /// is left, sooner or later. The files are not synced: they are to be read at once, and a crash may leave any part of them.
    /// Only a few are made at a time, the others wait.
    ///
    /// `done` may be told [`Error::Corrupt`] where a part of what is wanted was found damaged, also while it was read, and
    /// [`Error::NoSpace`]. [`Error::Invalid`] at once if too many exports wait.
    pub fn export(
        &mut self,
        table: TableId,
        tokens: &TokenSet,
        parts: &[TokenRange],
        dir: PathBuf,
        done: impl FnOnce(Result<Vec<Exported>, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.export_with(table, tokens, parts, dir, ExportOptions::default(), done)
    }

    /// The same as [`export`](Self::export), as the options say.
    pub fn export_with(
        &mut self,
        table: TableId,
        tokens: &TokenSet,
        parts: &[TokenRange],
        dir: PathBuf,
        options: ExportOptions,
        done: impl FnOnce(Result<Vec<Exported>, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        if self.bulk.exports.len() >= MAX_WAITING {
            return Err(Error::Invalid("too many exports wait to be made"));
        }
        let wanted: TokenSet = parts.iter().copied().collect();
        let tokens = wanted.intersection(tokens);
        let room = self.room();
        let Some(state) = self.tables.get_mut(&table) else {
            done(Ok(Vec::new()));
            return Ok(());
        };
        let last = state.rotate_if_it_holds(&tokens, &self.pool);
        if last > Lsn::ZERO && room.left() == 0 {
            // Nobody knows when there will be room for the flush.
            done(Err(self.no_room(room, 1)));
            return Ok(());
        }
        self.bulk.exports.push_back(Wanted {
            table,
            tokens,
            parts: parts.to_vec(),
            dir,
            last,
            options,
            done: Box::new(done),
        });
        Ok(())
    }

    /// The next export of which all that was in memory is in files, if there may be one more: it holds up no memory while it is
    /// sent. Those that were given up are told so.
    pub(super) fn next_export(&mut self) -> Option<Exporting> {
        let has_turn = Arc::strong_count(&self.bulk.exporting) <= MAX_BEGUN;
        while let Some(at) = self
            .bulk
            .exports
            .iter()
            .position(|wanted| wanted.options.is_given_up() || has_turn && self.is_flushed(wanted))
            && let Some(wanted) = self.bulk.exports.remove(at)
        {
            if let Some(exporting) = self.begin_export(wanted) {
                return Some(exporting);
            }
        }
        None
    }

    fn is_flushed(&self, wanted: &Wanted) -> bool {
        let state = self.tables.get(&wanted.table);
        let first = state.and_then(TableState::first_unflushed);
        first.is_none_or(|first| first > wanted.last)
    }

    /// Begins an export, or tells why it can't be.
    fn begin_export(&mut self, wanted: Wanted) -> Option<Exporting> {
        let Wanted {
            table,
            tokens,
            parts,
            dir,
            options,
            done,
            ..
        } = wanted;
        if options.is_given_up() {
            done(Err(GIVEN_UP));
            return None;
        }
        let room = self.room();
        let Some(state) = self.tables.get(&table) else {
            done(Ok(Vec::new()));
            return None;
        };
        let mut damaged = state.tables.quarantined();
        if let Some(damage) = damaged.find(|damage| tokens.touches(damage.range())) {
            let what = format!("it is damaged there: {}", damage.what);
            let file = self.dir.join(file_name(damage.file));
            done(Err(Error::corrupt(&file, damage.offset, what)));
            return None;
        }
        let mut exporting = Exporting {
            fs: Arc::clone(&self.fs),
            from: self.dir.clone(),
            dir,
            begun: false,
            tokens: TokenSet::default(),
            checks: Vec::new(),
            found: Vec::new(),
            whole: Vec::new(),
            cut: Vec::new(),
            stepped_over: None,
            merges: VecDeque::new(),
            made: Vec::new(),
            named: Vec::new(),
            complete: false,
            options,
            done,
            _begun: Arc::clone(&self.bulk.exporting),
            promise: None,
            pin: None,
        };
        let (cut, bytes) = exporting.sort_out(state, &tokens, &parts);
        // What is read stays mapped, whatever becomes of the file's name.
        exporting.pin = (!exporting.whole.is_empty()).then(|| Arc::clone(&self.bulk.pin));
        let Some(promise) = self.options.promises.promise(bytes, room) else {
            (exporting.done)(Err(self.no_room(room, bytes)));
            return None;
        };
        exporting.promise = Some(promise);
        let making = Making {
            options: state.writer_options(&self.options),
            step_bytes: self.options.step_bytes,
            least_copied: self.options.table_bytes / LEAST_COPIED,
        };
        let name = || self.files.fetch_add(1, Ordering::Relaxed);
        exporting.plan(&cut, (&tokens, &parts), &making, name);
        (exporting.tokens, exporting.cut) = (tokens, cut);
        Some(exporting)
    }

    fn no_room(&self, room: Room, bytes: u64) -> Error {
        Error::NoSpace {
            dir: self.dir.clone(),
            free: room.free,
            reserve: room.reserve + room.promised + bytes,
        }
    }

    /// About how many bytes a table id has for some tokens, in files and in memory.
    pub fn bytes_of(&self, table: TableId, tokens: &TokenSet) -> u64 {
        let Some(state) = self.tables.get(&table) else {
            return 0;
        };
        let files: u64 = state
            .tables
            .live()
            .iter()
            .map(|table| table.bytes_of(tokens))
            .sum();
        let whole = TokenSet::from(self.options.tokens);
        let share = tokens.intersection(&whole).width() as f64 / whole.width().max(1) as f64;
        let memory: usize = state.waiting.iter().map(|memtable| memtable.weight()).sum();
        let memory = memory
            + if state.active.is_empty() {
                0
            } else {
                state.active.weight()
            };
        files + (memory as f64 * share) as u64
    }

    /// Takes an export back, and tells who asked for it.
    pub(super) fn exported(&mut self, export: Exporting, failed: Option<Error>) {
        for error in &export.found {
            self.report(error);
        }
        self.look_at_reports();
        let failed = failed.or_else(|| {
            export
                .stepped_over
                .map(|file| self.stepped_over(file, &export.tokens))
        });
        if export.complete && failed.is_none() {
            (export.done)(Ok(export.made));
        } else {
            self.work.leftovers.files.extend(export.named);
            (export.done)(Err(failed.unwrap_or(GIVEN_UP)));
        }
    }

    fn stepped_over(&self, file: u64, tokens: &TokenSet) -> Error {
        let mut damage = self.tables.values().flat_map(|state| state.tables.damage());
        let damage = damage.find(|damage| damage.file == file && tokens.touches(damage.range()));
        let path = self.dir.join(file_name(file));
        let what = "it was found damaged while it was read for an export";
        Error::corrupt(&path, damage.map_or(0, |damage| damage.offset), what)
    }
}

impl Exporting {
    /// Takes the tables of which all is wanted; returns those that have to be cut, and how many bytes that makes, about.
    fn sort_out(&mut self, state: &TableState, wanted: &TokenSet, parts: &[TokenRange]) -> (Vec<Cut>, u64) {
        let anew = self.options.anew;
        let mut cut = Vec::new();
        let mut bytes = 0;
        for table in state.tables.live() {
            let (span, number) = (table.span(), table.number());
            let holder = |part: &TokenRange| part.start <= span.start && span.end <= part.end;
            let known = state.tables.damage().iter().any(|damage| damage.file == number);
            let marked = anew || known;
            match parts.iter().position(holder) {
                Some(part) if !marked && wanted.covers(span) => self.whole.push(Whole {
                    number,
                    part,
                    bytes: table.bytes(),
                    newest: table.properties().timestamps.map(|(_, newest)| newest),
                }),
                _ if wanted.touches(span) => {
                    bytes += table.bytes_of(wanted);
                    // What was healed is damaged still, and nobody reads it.
                    if anew && !known {
                        self.checks.extend(Scrub::with_frame(table, wanted));
                    }
                    cut.push(Cut {
                        span,
                        table: Arc::clone(table),
                        marked,
                        in_holes: table.in_holes(wanted),
                    });
                }
                _ => {}
            }
        }
        // Neighbours together: then those that are more than one merge takes become tables that don't overlap.
        cut.sort_by_key(|cut| cut.span.start);
        (cut, bytes)
    }

    /// Plans the new tables, of those that have some of each part; `name` gives the files their numbers.
    fn plan(
        &mut self,
        cut: &[Cut],
        (wanted, parts): (&TokenSet, &[TokenRange]),
        making: &Making,
        name: impl Fn() -> u64,
    ) {
        for (at, part) in parts.iter().enumerate() {
            let only = wanted.intersection(&TokenSet::from(*part));
            let holders = cut.iter().filter(|cut| only.touches(cut.span));
            // What was damaged elsewhere, or may be, is read entry by entry.
            let is_copied = |cut: &&Cut| !cut.marked && cut.table.bytes_of(&only) >= making.least_copied;
            let (copied, merged): (Vec<&Cut>, Vec<&Cut>) = holders.partition(is_copied);
            let mut groups: Vec<Vec<&Cut>> = copied.into_iter().map(|cut| vec![cut]).collect();
            let mut left = &merged[..];
            while !left.is_empty() {
                let most = left.len().min(MAX_INPUTS);
                let largest: Vec<u64> = left[..most].iter().map(|cut| cut.table.largest_row()).collect();
                let (group, behind) = left.split_at(rows::fitting(&largest));
                left = behind;
                groups.push(group.to_vec());
            }
            for group in groups {
                let inputs = group.iter().map(|cut| Input::Table(Arc::clone(&cut.table)));
                let plan = Plan {
                    inputs: inputs.collect(),
                    purging: Purging {
                        policy: PurgePolicy::Keep,
                        now: Seconds(0),
                        memory: None,
                        others: Vec::new(),
                    },
                    options: making.options,
                    step_bytes: making.step_bytes,
                    only: Some(only.clone()),
                    // Links of whole tables are not synced either: who makes the files removes them when it starts.
                    transient: true,
                    copies: matches!(group[..], [cut] if !cut.marked),
                };
                let (fs, dir) = (Arc::clone(&self.fs), self.dir.clone());
                let worker = Worker::new(fs, dir, name(), Arc::new(plan), *part);
                self.merges.push_back((at, worker));
            }
        }
    }

    /// Checks a stripe, makes a link, or goes on with a merge; `true` once all files are there, or nobody wants them.
    pub(super) fn step(&mut self) -> Result<bool, Error> {
        if self.options.is_given_up() {
            // Here, as at its end.
            self.checks.clear();
            self.merges.clear();
            self.cut.clear();
            return Ok(true);
        }
        if let Some(check) = self.checks.last_mut() {
            if !check.step(&mut self.found) {
                self.checks.pop();
            }
            if self.found.len() >= MAX_REPORTS {
                // The rest is found later: by who tries again, or by the scrub.
                self.found.truncate(MAX_REPORTS);
                self.checks.clear();
            }
            return Ok(false);
        }
        if let Some(error) = self.found.first() {
            return Err(error.clone());
        }
        if !self.begun {
            self.fs
                .create_dir_all(&self.dir)
                .map_err(Error::io("create", &self.dir))?;
            self.begun = true;
        }
        if let Some(whole) = self.whole.pop() {
            let name = file_name(whole.number);
            let path = self.dir.join(&name);
            self.named.push(path.clone());
            link(&*self.fs, &self.from.join(&name), &path)?;
            self.made.push(Exported {
                part: whole.part,
                path,
                bytes: whole.bytes,
                newest: whole.newest,
            });
            return Ok(false);
        }
        self.pin = None;
        let Some((part, worker)) = self.merges.front_mut() else {
            return Ok(self.end());
        };
        let over = worker.step();
        if worker.has_file() && self.named.last() != Some(&worker.path()) {
            self.named.push(worker.path());
        }
        if over? {
            let made = worker.output().map(|table| Exported {
                part: *part,
                path: worker.path(),
                bytes: table.bytes(),
                newest: table.properties().timestamps.map(|(_, newest)| newest),
            });
            self.made.extend(made);
            self.merges.pop_front();
        }
        Ok(self.merges.is_empty() && self.end())
    }

    /// All is made. Of what others found damaged meanwhile, or had forgotten, nothing may be in it. Where that is healed by now, too: what
    /// was written anew is newer than the export.
    fn end(&mut self) -> bool {
        // Here, because who lets go of a table may have to unmap it.
        let mut cut = self.cut.drain(..);
        let got_hole = cut.find(|cut| cut.table.in_holes(&self.tokens) > cut.in_holes);
        self.stepped_over = got_hole.map(|cut| cut.table.number());
        drop(cut);
        self.promise = None;
        self.complete = true;
        true
    }
}
