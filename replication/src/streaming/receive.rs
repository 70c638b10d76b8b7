//! One part of a table from one source: its files are made there, fetched piece by piece, and taken in.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt,
    channel::mpsc,
    future,
    stream::{self, FuturesUnordered, StreamExt},
};
use starling_model::{NodeId, TableId, Timestamp, TokenRange, TokenSet};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{
    StreamFile, StreamReply, StreamRequest, Streaming, landing::Landing, source::remove_all,
    wire::MAX_PIECE_BYTES,
};
use crate::{
    env::{CallError, Env, Store, StoreError},
    message::{Failure, Request, Response},
    peers::AskError,
    snapshot::Peer,
    tracing::Tracer,
};

/// Pieces of a part that are asked for at a time.
const PIECES_AT_ONCE: usize = 8;

/// Pieces that came and wait to be written.
const PIECES_BEFORE_DISK: usize = 3;

/// Files of a part that are synced while the next one comes.
const SYNCS_AT_ONCE: usize = 4;

/// How often a piece is asked for before its part is given up.
const PIECE_TRIES: u32 = 3;

/// How long a question to a source may take.
const ASK: Duration = Duration::from_secs(10);

/// The pause before a source is asked again whether its files are ready: it grows up to the second one.
const POLLS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// The pause before a piece is asked for again.
const PIECE_PAUSE: Duration = Duration::from_millis(250);

/// Where files come in.
const DIRECTORY: &str = "streams/in";

/// Something to be fetched from one node.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) table: TableId,
    pub(super) from: NodeId,
    pub(super) tokens: TokenSet,
    /// About how much it is.
    pub(super) bytes: u64,
    /// If it can't be had from there, others have the range too.
    pub(super) is_partner: bool,
}

/// Why a part did not come.
#[derive(Debug)]
pub(super) enum Miss {
    /// The table was dropped.
    Dropped,
    /// The source has too much to do.
    Busy,
    /// The source is away, or can't now.
    Away(String),
    /// What the source has is damaged.
    Damaged(String),
    /// It could not be kept here.
    Here(String),
}

impl<E: Env> Streaming<E> {
    /// Fetches a part and takes it in. Where what came is damaged though every piece came as it was read, the source is asked to
    /// look at what it stores, which it has not read, and to make the files of that.
    pub(super) async fn bring(&self, part: &Part, change: u128) -> Result<(), Miss> {
        let (came, outcome) = self.bring_files(part, change, false).await;
        let why = match outcome {
            Err(Miss::Damaged(why)) if came => why,
            outcome => return outcome,
        };
        ::tracing::warn!(table = %part.table, from = %part.from, why, "a part of a table came damaged; its source is to check it");
        let (_, outcome) = self.bring_files(part, change, true).await;
        let anew = match outcome {
            Err(Miss::Damaged(anew) | Miss::Away(anew)) => anew,
            Err(Miss::Busy) => "the source has too much to do".to_owned(),
            outcome => return outcome,
        };
        Err(Miss::Damaged(format!("{why}; and when it was made anew: {anew}")))
    }

    /// Fetches a part as it is stored, or made anew, and takes it in; whether all came, and what became of it.
    async fn bring_files(&self, part: &Part, change: u128, anew: bool) -> (bool, Result<(), Miss>) {
        let stream = name_of((change, anew), self.id, part);
        // A fetch that was given up may still be about to remove what it made.
        let dir = Path::new(DIRECTORY).join(format!("{stream:032x}-{:016x}", self.env.random()));
        let truncated = self.truncations(part.table);
        let mut newest = None;
        let came = match self.files(part, stream, anew).await {
            Ok(files) => {
                newest = files.iter().filter_map(|file| file.newest).max();
                self.receive(part.from, stream, &files, &dir).await
            }
            Err(miss) => Err(miss),
        };
        let all_came = came.is_ok();
        let taken = match came {
            Ok(files) if self.truncations(part.table) == truncated => {
                self.take_in(part.table, change, files, newest).await
            }
            Ok(_) => Err(Miss::Away("the table was truncated meanwhile".to_owned())),
            Err(miss) => Err(miss),
        };
        let fs = Arc::clone(self.env.fs());
        self.blocking(move || remove_all(&*fs, &dir)).await;
        // One that does not hear it closes the stream after a while.
        let _ = self.ask(part.from, StreamRequest::Close { stream }).await;
        (all_came, taken)
    }

    /// Takes files in for a change that is still under way: what comes later would be nobody's, and nobody would clean it up.
    /// What is stamped from now on prevails over what comes.
    async fn take_in(
        &self,
        table: TableId,
        change: u128,
        files: Vec<(u32, PathBuf)>,
        newest: Option<Timestamp>,
    ) -> Result<(), Miss> {
        // Counted before it looks: either it sees that the change is over, or who cleans up after that sees it.
        let _arriving = self.cleanup.arriving.enter();
        let snapshot = self.views.load();
        let now = snapshot.cluster.change.as_ref();
        if now.is_none_or(|(now, _)| now.id != change) {
            return Err(Miss::Away("the change of the ring is over".to_owned()));
        }
        if let Some(newest) = newest {
            let counted = self.replica.count_as_written(newest).await;
            counted.map_err(|failure| Miss::Here(failure.to_string()))?;
        }
        let ingested = self.env.store().ingest(table, files).await;
        ingested.map_err(|error| match error {
            StoreError::Corrupt(what) => Miss::Damaged(what),
            other => Miss::Here(other.to_string()),
        })
    }

    fn truncations(&self, table: TableId) -> u64 {
        self.truncated.lock().get(&table).copied().unwrap_or(0)
    }

    /// Has the source make the files, and waits for them.
    async fn files(&self, part: &Part, stream: u128, anew: bool) -> Result<Vec<StreamFile>, Miss> {
        let (table, tokens, shards) = (part.table, part.tokens.clone(), self.shards);
        let open = if anew {
            StreamRequest::OpenAnew {
                stream,
                table,
                tokens,
                shards,
            }
        } else {
            StreamRequest::Open {
                stream,
                table,
                tokens,
                shards,
            }
        };
        let mut pause = POLLS.0;
        loop {
            match self.ask(part.from, open.clone()).await? {
                StreamReply::Files(files) => return Ok(files),
                StreamReply::Making => self.env.sleep(pause).await,
                _ => return Err(Miss::Away("its answer does not fit the question".to_owned())),
            }
            pause = (pause * 2).min(POLLS.1);
        }
    }

    /// Fetches the files of a stream into a directory, durably. While pieces are written the next ones come, and what is
    /// written of a file is synced while the next file comes.
    async fn receive(
        &self,
        from: NodeId,
        stream: u128,
        files: &[StreamFile],
        dir: &Path,
    ) -> Result<Vec<(u32, PathBuf)>, Miss> {
        let fits = |file: &StreamFile| file.shard < self.shards && file.bytes > 0;
        if !files.iter().all(fits) {
            return Err(Miss::Away(
                "it sent an empty file, or one for a shard that is not here".to_owned(),
            ));
        }
        let landing = Landing::new(Arc::clone(self.env.fs()), dir.to_path_buf(), files);
        let paths = landing.paths();
        let lengths: Vec<u64> = files.iter().map(|file| file.bytes).collect();
        let pieces = (0_u32..).zip(lengths).flat_map(|(number, length)| {
            let offsets = (0..length).step_by(MAX_PIECE_BYTES as usize);
            offsets.map(move |offset| (number, offset, length))
        });
        let pieces = stream::iter(pieces)
            .map(|(number, offset, length)| self.piece(from, (stream, number, offset), length).boxed())
            .buffered(PIECES_AT_ONCE);
        let (came, coming) = mpsc::channel(PIECES_BEFORE_DISK);
        // If they can't be written any more, nobody takes them.
        let received = pieces.map(Ok).forward(came);
        let (_, landed) = future::join(received, self.land(landing, coming)).await;
        landed?;
        Ok(files.iter().map(|file| file.shard).zip(paths).collect())
    }

    /// Writes pieces as they come, as many at a time as there are, and makes the files durable.
    async fn land(
        &self,
        mut landing: Landing,
        coming: mpsc::Receiver<Result<Bytes, Miss>>,
    ) -> Result<(), Miss> {
        let here = |error: std::io::Error| Miss::Here(error.to_string());
        let mut coming = coming.ready_chunks(PIECES_BEFORE_DISK + 1);
        let mut syncs = FuturesUnordered::new();
        while let Some(pieces) = coming.next().await {
            let pieces = pieces.into_iter().collect::<Result<Vec<Bytes>, Miss>>()?;
            self.count(pieces.iter().map(|piece| piece.len() as u64).sum());
            let written = self.blocking(move || landing.write(&pieces).map(|whole| (landing, whole)));
            let whole;
            (landing, whole) = written.await.map_err(here)?;
            for mut file in whole {
                syncs.push(self.blocking(move || file.sync()));
            }
            while syncs.len() > SYNCS_AT_ONCE {
                if let Some(synced) = syncs.next().await {
                    synced.map_err(here)?;
                }
            }
        }
        while let Some(synced) = syncs.next().await {
            synced.map_err(here)?;
        }
        Ok(())
    }

    fn count(&self, bytes: u64) {
        self.counters.streamed_in_bytes.add(bytes);
        self.progress.lock().came(bytes, self.env.monotonic());
    }

    /// One piece, as it was read at the source.
    async fn piece(
        &self,
        from: NodeId,
        (stream, file, offset): (u128, u32, u64),
        length: u64,
    ) -> Result<Bytes, Miss> {
        let wanted = u64::from(MAX_PIECE_BYTES).min(length - offset);
        self.throttle.take(wanted).await;
        let piece = StreamRequest::Piece {
            stream,
            file,
            offset,
            bytes: MAX_PIECE_BYTES,
        };
        let mut tries = 1;
        let reply = loop {
            match self.ask(from, piece.clone()).await {
                Err(Miss::Away(_) | Miss::Busy) if tries < PIECE_TRIES => {}
                reply => break reply?,
            }
            tries += 1;
            self.env.sleep(PIECE_PAUSE).await;
        };
        match reply {
            StreamReply::Piece { bytes, checksum } if bytes.len() as u64 == wanted => {
                if xxh3_64(&bytes) == checksum {
                    Ok(bytes)
                } else {
                    Err(Miss::Away("what came is not what it sent".to_owned()))
                }
            }
            StreamReply::Unknown => Err(Miss::Away("it has closed the stream".to_owned())),
            _ => Err(Miss::Away("its answer does not fit the question".to_owned())),
        }
    }

    pub(super) async fn ask_peer(
        &self,
        peer: &Peer,
        request: StreamRequest,
    ) -> Result<StreamReply, AskError> {
        let body = Request::Stream(request);
        match self.peers.ask(peer, body, ASK, &Tracer::OFF).await? {
            Response::Stream(reply) => Ok(reply),
            _ => Err(AskError::Confused),
        }
    }

    pub(super) async fn ask(&self, from: NodeId, request: StreamRequest) -> Result<StreamReply, Miss> {
        let table = match &request {
            StreamRequest::Open { table, .. } | StreamRequest::OpenAnew { table, .. } => Some(*table),
            _ => None,
        };
        let peer = self.views.load().cluster.peers.get(&from).cloned();
        let peer = peer.ok_or_else(|| Miss::Away("its address is not known".to_owned()))?;
        self.ask_peer(&peer, request).await.map_err(|error| {
            let is_dropped = |table: TableId| self.views.load().schema.table_by_id(table).is_none();
            match error {
                _ if table.is_some_and(is_dropped) => Miss::Dropped,
                AskError::Failed(Failure::Damaged(what)) => Miss::Damaged(what),
                AskError::Failed(Failure::Overloaded) | AskError::Call(CallError::Overloaded(_)) => {
                    Miss::Busy
                }
                other => Miss::Away(other.to_string()),
            }
        })
    }
}

/// The same part of the same change has the same name, also after a restart: then its files may be there already.
fn name_of((change, anew): (u128, bool), node: NodeId, part: &Part) -> u128 {
    let mut bytes = vec![u8::from(anew)];
    for number in [change, node.0, part.table.0, part.from.0] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    for TokenRange { start, end } in part.tokens.ranges() {
        bytes.extend_from_slice(&start.0.to_be_bytes());
        bytes.extend_from_slice(&end.0.to_be_bytes());
    }
    xxh3_128(&bytes)
}
