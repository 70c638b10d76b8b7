//! The side that has the data: makes files of what is wanted, and hands them out piece by piece.
//!
//! A stream that nobody asks about is given up after a while, so a newcomer that went away costs nothing. Files are
//! made beside requests; of how fast they are fetched the newcomer decides, but while many requests are under way
//! here each piece waits a little.
//!
//! A stream counts until all that is done for it has ended, also when it was closed before. So there is never more to do
//! than for [`MAX_OPEN`] of them, however often streams are opened and closed. One that is closed while its files are made can be
//! asked for again: they are not begun twice.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use starling_model::{TableId, TokenSet};
use starling_sstable::{
    ExportOptions,
    fs::{Fs, Map},
};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    StreamFile, StreamReply, StreamRequest,
    wire::{MAX_PIECE_BYTES, MAX_SETS},
};
use crate::{
    env::{Env, Store, StoreError},
    message::Failure,
};

/// Where files are made.
pub(super) const DIRECTORY: &str = "streams/out";

/// How many bytes a part should have, and how many it may have where more of it then goes as it is.
const PART_BYTES: RangeInclusive<u64> = 64 << 20..=2 << 30;

/// The most streams at a time, those that are closed and still being made included; more are refused as overloaded.
pub(super) const MAX_OPEN: usize = 16;

/// A stream that nobody asked about for so long is given up.
const IDLE: Duration = Duration::from_mins(1);

/// The same of one that was closed while its files were made. Who closed it because he got no answer asks again earlier.
const CLOSED: Duration = Duration::from_secs(15);

/// The streams that are open, or not over yet.
pub(super) struct Source<E: Env> {
    env: E,
    open: Arc<Mutex<BTreeMap<u128, Stream>>>,
}

struct Stream {
    table: TableId,
    /// Where its files are; one of the same name that is opened later has another place.
    dir: PathBuf,
    state: State,
    /// When it was last asked about, or closed.
    used: Duration,
}

enum State {
    Making(Making),
    Ready(Arc<Vec<Ready>>),
    Failed(StoreError),
}

/// Files that are being made.
struct Making {
    /// They are not wanted any more, and nobody gets them. The stream is over once they are gone.
    given_up: Arc<AtomicBool>,
    /// Who asked for them closed the stream, and has not asked again.
    closed: bool,
}

/// A file that is there.
struct Ready {
    file: StreamFile,
    content: Map,
}

impl<E: Env> Source<E> {
    pub(super) fn new(env: E) -> Self {
        Self {
            env,
            open: Arc::default(),
        }
    }

    /// How many streams are open, or not over yet.
    pub(super) fn streams(&self) -> usize {
        self.open.lock().len()
    }

    pub(super) async fn answer(&self, request: StreamRequest) -> Result<StreamReply, Failure> {
        match request {
            StreamRequest::Sizes { table, sets } => {
                if sets.len() > MAX_SETS {
                    return Err(Failure::Invalid(format!("more than {MAX_SETS} sets of tokens")));
                }
                let sizes = self.env.store().sizes(table, sets).await;
                sizes.map(StreamReply::Sizes).map_err(failure)
            }
            StreamRequest::Parts {
                table,
                tokens,
                shards,
            } => {
                check_shards(shards)?;
                let parts = self.env.store().parts(table, tokens, shards, PART_BYTES);
                let parts = parts.await.map_err(failure)?;
                Ok(StreamReply::Parts(joined(parts, *PART_BYTES.start())))
            }
            StreamRequest::Open {
                stream,
                table,
                tokens,
                shards,
            } => self.open(stream, (table, tokens, shards), false),
            StreamRequest::OpenAnew {
                stream,
                table,
                tokens,
                shards,
            } => self.open(stream, (table, tokens, shards), true),
            StreamRequest::Piece {
                stream,
                file,
                offset,
                bytes,
            } => self.piece(stream, file, offset, bytes).await,
            StreamRequest::Close { stream } => {
                self.close(stream);
                Ok(StreamReply::Closed)
            }
            StreamRequest::Status => Err(Failure::Invalid("a source has no status".to_owned())),
        }
    }

    fn open(
        &self,
        stream: u128,
        (table, tokens, shards): (TableId, TokenSet, u32),
        anew: bool,
    ) -> Result<StreamReply, Failure> {
        check_shards(shards)?;
        let mut open = self.open.lock();
        if let Some(known) = open.get_mut(&stream) {
            return match &mut known.state {
                // What it would get may be what a truncation removed. It is begun anew once this is gone.
                State::Making(making) if making.given_up.load(Ordering::Relaxed) => Ok(StreamReply::Making),
                State::Making(making) => {
                    making.closed = false;
                    known.used = self.env.monotonic();
                    Ok(StreamReply::Making)
                }
                State::Ready(files) => {
                    known.used = self.env.monotonic();
                    Ok(StreamReply::Files(files.iter().map(|ready| ready.file).collect()))
                }
                State::Failed(error) => {
                    let error = error.clone();
                    open.remove(&stream);
                    Err(failure(error))
                }
            };
        }
        if open.len() >= MAX_OPEN {
            return Err(Failure::Overloaded);
        }
        let dir = Path::new(DIRECTORY).join(format!("{stream:032x}-{:016x}", self.env.random()));
        let options = ExportOptions {
            anew,
            given_up: Arc::default(),
        };
        let made = Stream {
            table,
            dir: dir.clone(),
            state: State::Making(Making {
                given_up: Arc::clone(&options.given_up),
                closed: false,
            }),
            used: self.env.monotonic(),
        };
        open.insert(stream, made);
        drop(open);
        self.make(stream, dir, (table, tokens, shards), options);
        Ok(StreamReply::Making)
    }

    /// Has the storage make the files.
    fn make(
        &self,
        stream: u128,
        dir: PathBuf,
        (table, tokens, shards): (TableId, TokenSet, u32),
        options: ExportOptions,
    ) {
        let (env, open) = (self.env.clone(), Arc::clone(&self.open));
        self.env.spawn(async move {
            let store = env.store();
            let exported = store.export(table, tokens, shards, dir.clone(), options).await;
            let fs = Arc::clone(env.fs());
            let ready = env.blocking(move || {
                let files = exported?.into_iter().map(|file| {
                    let content = fs
                        .map(&file.path)
                        .map_err(|error| StoreError::Disk(error.to_string()))?;
                    let file = StreamFile {
                        shard: file.shard,
                        bytes: content.len() as u64,
                        newest: file.newest,
                    };
                    Ok(Ready { file, content })
                });
                files.collect::<Result<Vec<_>, StoreError>>()
            });
            let state = match ready.await {
                Ok(files) => State::Ready(Arc::new(files)),
                Err(error) => {
                    // Some of its files may be there, and nobody fetches them.
                    let (fs, dir) = (Arc::clone(env.fs()), dir.clone());
                    env.blocking(move || remove_all(&*fs, &dir)).await;
                    State::Failed(error)
                }
            };
            let is_wanted = match open.lock().get_mut(&stream).map(|stream| &mut stream.state) {
                Some(State::Making(making)) if making.closed || making.given_up.load(Ordering::Relaxed) => {
                    making.given_up.store(true, Ordering::Relaxed);
                    false
                }
                Some(making) => {
                    *making = state;
                    true
                }
                None => false,
            };
            if !is_wanted {
                let fs = Arc::clone(env.fs());
                env.blocking(move || remove_all(&*fs, &dir)).await;
                open.lock().remove(&stream);
            }
        });
    }

    async fn piece(&self, stream: u128, file: u32, offset: u64, bytes: u32) -> Result<StreamReply, Failure> {
        let files = match self.open.lock().get_mut(&stream) {
            Some(Stream {
                state: State::Ready(files),
                used,
                ..
            }) => {
                *used = self.env.monotonic();
                Arc::clone(files)
            }
            _ => return Ok(StreamReply::Unknown),
        };
        let read = self.env.blocking(move || {
            let ready = files.get(file as usize)?;
            let length = ready.content.len();
            let from = usize::try_from(offset).ok().filter(|from| *from <= length)?;
            let to = length.min(from + bytes.min(MAX_PIECE_BYTES) as usize);
            let piece = ready.content.bytes().slice(from..to);
            // Reads it from the disk, here where that holds up nobody.
            let checksum = xxh3_64(&piece);
            Some((piece, checksum, ready.content.is_poisoned()))
        });
        match read.await {
            Some((bytes, checksum, false)) => Ok(StreamReply::Piece { bytes, checksum }),
            Some(_) => Err(Failure::Storage(
                "the disk could not deliver a part of the file".to_owned(),
            )),
            None => Err(Failure::Invalid("there is no such part of the stream".to_owned())),
        }
    }

    /// Ends the streams of a table: what it had is not to be sent any more.
    pub(super) fn forget_table(&self, table: TableId) {
        self.end(|_, stream| stream.table == table);
    }

    /// Ends what nobody asks about.
    pub(super) fn end_idle(&self) {
        let now = self.env.monotonic();
        self.end(|_, stream| {
            let is_closed = matches!(&stream.state, State::Making(making) if making.closed);
            stream.used + if is_closed { CLOSED } else { IDLE } < now
        });
    }

    /// Ends a stream that is not wanted any more. While its files are made it waits whether it is asked for again.
    fn close(&self, name: u128) {
        if let Some(Stream {
            state: State::Making(making),
            used,
            ..
        }) = self.open.lock().get_mut(&name)
        {
            if !making.closed {
                making.closed = true;
                *used = self.env.monotonic();
            }
            return;
        }
        self.end(|other, _| *other == name);
    }

    /// Ends streams: at once, or, where files are made, as soon as the storage has let go of them.
    fn end(&self, is_over: impl Fn(&u128, &Stream) -> bool) {
        let mut open = self.open.lock();
        let mut over = Vec::new();
        open.retain(|name, stream| {
            if !is_over(name, stream) {
                return true;
            }
            if let State::Making(making) = &stream.state {
                making.given_up.store(true, Ordering::Relaxed);
                return true;
            }
            over.push(stream.dir.clone());
            false
        });
        drop(open);
        for dir in over {
            let (env, fs) = (self.env.clone(), Arc::clone(self.env.fs()));
            self.env
                .spawn(async move { env.blocking(move || remove_all(&*fs, &dir)).await });
        }
    }
}

/// Removes a directory and what is in it, as far as that can be done: what stays is removed at the next start.
pub(super) fn remove_all(fs: &dyn Fs, dir: &Path) {
    for path in fs.list(dir).unwrap_or_default() {
        if fs.list(&path).is_ok() {
            remove_all(fs, &path);
        } else if let Err(error) = fs.remove(&path) {
            ::tracing::warn!(file = %path.display(), %error, "cannot remove a file of a stream that is over");
        }
    }
    // One that is not there is as good as one that was removed.
    let _ = fs.remove_dir(dir);
}

fn check_shards(shards: u32) -> Result<(), Failure> {
    if (1..=1024).contains(&shards) {
        return Ok(());
    }
    Err(Failure::Invalid(format!("{shards} shards; a node has 1 to 1024")))
}

/// Neighbours that have at most so many bytes together become one part.
pub(super) fn joined(parts: Vec<(TokenSet, u64)>, bytes: u64) -> Vec<(TokenSet, u64)> {
    let mut joined: Vec<(TokenSet, u64)> = Vec::new();
    for (tokens, size) in parts {
        match joined.last_mut() {
            Some(last) if last.1 + size <= bytes => {
                last.0 = last.0.union(&tokens);
                last.1 += size;
            }
            _ => joined.push((tokens, size)),
        }
    }
    joined
}

fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Overloaded => Failure::Overloaded,
        StoreError::Stopping => Failure::NotServing,
        StoreError::Late => Failure::Late,
        StoreError::Corrupt(what) => Failure::Damaged(what),
        StoreError::Disk(what) => Failure::Storage(what),
        StoreError::RowTooLarge { .. } => Failure::Storage(error.to_string()),
    }
}
