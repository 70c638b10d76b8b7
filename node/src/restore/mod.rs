//! Writing what a snapshot holds into the cluster, whatever its ring is now.
//!
//! Each row and each deletion is written to its present replicas with the timestamps that it had
//! ([`Node::write_again`](starling_replication::Node::write_again)). So the merge law decides what comes of it, twice is as good
//! as once, and it can be broken off and begun anew. What was deleted or overwritten later stays so; who wants the state
//! of then empties the tables first (TRUNCATE). Deletions count as made when they are restored, so that none is purged before what it
//! covers is restored too (`age`). Dismissed: taking the files in as they are, which is cheaper but wants the
//! same shards, and replicas that each take their own part.

mod age;
mod matching;
mod pieces;
mod room;
mod source;

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use starling_cql::schema::Schema;
use starling_model::{DecoratedKey, Mutation, Seconds, TableId};
use starling_replication::Node;
use starling_sstable::{
    fs::{Fs, RealFs},
    table::Table,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc},
};

use crate::{
    env::TokioEnv,
    snapshots::{Selection, SnapshotError},
};
use age::Age;
use matching::{Places, Target};
use room::Room;
use source::{File, Source};

/// Writes that are under way at a time: enough to share syncs, few beside those of clients.
const AT_ONCE: usize = 64;

/// Pieces that are read ahead.
const AHEAD: usize = 64;

/// Bytes of pieces that are read ahead or being written.
const AHEAD_BYTES: u32 = 64 << 20;

/// Progress that may wait to be read.
const WAITING: usize = 16;

/// How a restore is getting on. Each says what holds so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProgress {
    /// Files that are done.
    pub done: u64,
    /// Files in all.
    pub files: u64,
    /// Bytes of those that are done.
    pub done_bytes: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Rows that were written, the same one in several files each time.
    pub rows: u64,
    /// Files that could not be read to their end.
    pub incomplete: u64,
    /// What is to be told of the last file; absent if nothing.
    pub message: Option<String>,
    /// It has ended.
    pub finished: bool,
}

/// A restore that can be begun; nothing was written yet.
#[derive(Debug)]
pub struct Restore {
    files: Vec<(File, Target)>,
    /// What is left out, in sentences.
    notes: Vec<String>,
}

impl Restore {
    /// Looks what there is in a directory of this machine, and where it belongs in the present schema. Blocks.
    ///
    /// [`SnapshotError::Wrong`] if it is no snapshot, has nothing of what is selected, or a table of it has no place.
    pub fn plan(dir: &Path, selection: &Selection, schema: &Schema) -> Result<Self, SnapshotError> {
        let source = Source::open(&RealFs, dir)?;
        let mut selected = source.tables.values().filter(|table| selection.includes(table));
        if let (Some(name), None) = (selection.name(), selected.next()) {
            return Err(SnapshotError::Wrong(format!(
                "the snapshot has nothing of {name}"
            )));
        }
        // Definitions without files need no place.
        let is_wanted = |id: &TableId| {
            let table = source.tables.get(id);
            table.is_some_and(|table| selection.includes(table))
        };
        let wanted = source
            .files
            .iter()
            .map(|file| file.table)
            .filter(is_wanted)
            .collect();
        let everything = selection.name().is_none();
        let Places { targets, mut notes } =
            Places::find(&wanted, &source.tables, schema, everything).map_err(SnapshotError::Wrong)?;
        let unknown = |file: &&File| !source.tables.contains_key(&file.table);
        let dropped = source.files.iter().filter(unknown).count();
        if dropped > 0 {
            notes.push(format!(
                "{dropped} files are of tables that were dropped before the snapshot was made; they are left out"
            ));
        }
        let files = source.files.into_iter();
        Ok(Self {
            files: files
                .filter_map(|file| Some((file.clone(), targets.get(&file.table)?.clone())))
                .collect(),
            notes,
        })
    }

    /// Does it; ends early when nobody wants to hear of it any more. After a write that fails for good it ends without
    /// being [finished](RestoreProgress::finished), with the reason as its message.
    pub fn run(self, node: Arc<Node<TokioEnv>>) -> mpsc::Receiver<RestoreProgress> {
        let (told, progress) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut so_far = RestoreProgress {
                files: self.files.len() as u64,
                bytes: self.files.iter().map(|(file, _)| file.bytes).sum(),
                message: (!self.notes.is_empty()).then(|| self.notes.join("; ")),
                ..RestoreProgress::default()
            };
            for (file, target) in self.files {
                if told.send(so_far.clone()).await.is_err() {
                    return;
                }
                so_far.message = None;
                let bytes = file.bytes;
                match one(&node, file, target, &told).await {
                    Ok(Some(done)) => {
                        so_far.rows += done.rows;
                        so_far.incomplete += u64::from(done.damage.is_some());
                        so_far.message = done.damage;
                    }
                    Ok(None) => return,
                    Err(reason) => {
                        so_far.message = Some(reason);
                        let _ = told.send(so_far).await;
                        return;
                    }
                }
                so_far.done += 1;
                so_far.done_bytes += bytes;
            }
            so_far.finished = true;
            let _ = told.send(so_far).await;
        });
        progress
    }
}

/// What became of a file.
struct Done {
    rows: u64,
    /// Why not all of it could be read.
    damage: Option<String>,
}

/// Writes what a file holds; `None`: nobody listens any more. An error is a write that failed.
async fn one(
    node: &Arc<Node<TokioEnv>>,
    file: File,
    target: Target,
    told: &mpsc::Sender<RestoreProgress>,
) -> Result<Option<Done>, String> {
    let (pieces, mut ahead) = mpsc::channel(AHEAD);
    let place = file.path.display().to_string();
    let keys = Arc::clone(node);
    let reading = tokio::task::spawn_blocking(move || read(&file.path, &target, &keys, &pieces));
    let pieces = stream::poll_fn(|context| ahead.poll_recv(context));
    let written = pieces.map(|piece| async move {
        let written = node.write_again(piece.mutation).await;
        drop(piece.room);
        written.map(|()| piece.rows).map_err(|error| error.to_string())
    });
    let mut written = std::pin::pin!(written.buffer_unordered(AT_ONCE));
    let mut rows = 0;
    while let Some(outcome) = written.next().await {
        rows += outcome.map_err(|error| format!("a write failed: {error}"))?;
        if told.is_closed() {
            return Ok(None);
        }
    }
    let damage = match reading.await {
        Ok(Ok(())) => None,
        Ok(Err(
            error @ (starling_sstable::Error::Corrupt { .. } | starling_sstable::Error::Version { .. }),
        )) => Some(format!(
            "{error}; what lies behind that in the file is left out: snapshots of the other replicas have it"
        )),
        Ok(Err(error)) => return Err(format!("{place} can't be read: {error}")),
        Err(panic) => return Err(format!("reading {place} broke off: {panic}")),
    };
    Ok(Some(Done { rows, damage }))
}

/// What waits to be written.
struct Piece {
    mutation: Mutation,
    rows: u64,
    room: Option<OwnedSemaphorePermit>,
}

/// Reads a file on a thread that may wait, until its end or until nobody takes what it gives.
fn read(
    path: &Path,
    target: &Target,
    node: &Node<TokioEnv>,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), starling_sstable::Error> {
    let fs: &dyn Fs = &RealFs;
    let number = starling_sstable::table::reader::file_number(path).unwrap_or_default();
    let table = Arc::new(Table::open_file(fs, PathBuf::from(path), number)?);
    let decorate = |key: DecoratedKey| node.decorate(key.key);
    let (room, runtime) = (Room::new(AHEAD_BYTES), Handle::current());
    let age = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Age::at(Seconds(u32::try_from(now.as_secs()).unwrap_or(u32::MAX)))
    };
    pieces::cut(&table, target, &age, &decorate, &mut |mutation, rows| {
        let room = runtime.block_on(room.take(mutation.partition.weight()));
        match pieces.blocking_send(Piece { mutation, rows, room }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })
}
