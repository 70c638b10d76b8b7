//! Frames on a QUIC stream.
//!
//! ```text
//! length   4 bytes, big-endian: of the payload alone
//! id       8 bytes, big-endian: pairs an answer with its request; 0 on casts
//! payload
//! ```
//!
//! The same layout serves peers and native clients (`starling_cql::native`).

use std::{pin::pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use starling_cql::native;
use starling_replication::{
    Charge,
    budget::{Pool, SMALL_BYTES},
    message::Encoded,
};
use tokio::{sync::mpsc, time::Instant};

/// A frame to be written.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Of the request.
    pub id: u64,
    /// At most the stream's maximum.
    pub payload: Encoded,
}

/// How many frames go out in one write.
const BATCH_FRAMES: usize = 64;

/// Payloads up to this size are copied together; larger ones are handed over as they are.
const COALESCED_BYTES: usize = 8 << 10;

/// How long a frame that has a share of the budget may take to arrive: who announces much and sends little
/// would keep others waiting for ever.
const LARGE_FRAME_TIMEOUT: Duration = Duration::from_mins(1);

/// The same while others do wait, beside the time that it takes at [`PRESSED_BYTES_PER_SECOND`].
const PRESSED_TIMEOUT: Duration = Duration::from_secs(5);
const PRESSED_BYTES_PER_SECOND: u64 = 1 << 20;

/// How often it is looked whether others wait.
const PRESSED_INTERVAL: Duration = Duration::from_secs(1);

/// How much is asked of the stream at a time.
const READ_BYTES: usize = 64 << 10;

/// How long a receiver may take nothing before its stream is given up. While others wait for room in the
/// pool the shorter time holds, beside what its bytes take at 1 MiB a second.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Where what is written takes its room.
    pub pool: Pool,
    /// While nobody waits.
    pub usual: Duration,
    /// While somebody does.
    pub pressed: Duration,
}

/// How long so many bytes may take while others wait for room.
fn at_slowest(bytes: usize) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / PRESSED_BYTES_PER_SECOND)
}

/// With which a stream is reset whose receiver takes nothing.
const STALLED: VarInt = VarInt::from_u32(3);

/// Writes chunks, until their receiver takes nothing for too long.
async fn write_chunks(
    stream: &mut SendStream,
    mut chunks: &mut [Bytes],
    patience: &Patience,
) -> Result<(), WriteError> {
    let mut moved = Instant::now();
    // Up to when it has taken what it took, were it as slow as is still borne.
    let mut paced = moved;
    while !chunks.is_empty() {
        if let Ok(written) = tokio::time::timeout(PRESSED_INTERVAL, stream.write_chunks(chunks)).await {
            let written = written?;
            moved = Instant::now();
            paced = (paced + at_slowest(written.bytes)).min(moved);
            chunks = &mut chunks[written.chunks..];
        }
        let late = moved.elapsed() >= patience.usual;
        if late || paced.elapsed() >= patience.pressed && patience.pool.waiting() > 0 {
            let _ = stream.reset(STALLED);
            return Err(WriteError::ClosedStream);
        }
    }
    Ok(())
}

/// Writes frames as they come, all that wait at a time together, until the queue is closed. `leaving` is
/// given the frames that are about to be written, and may take out what need not be. A receiver that takes
/// nothing is borne with as long as `patience` says, or for ever.
pub async fn write(
    stream: &mut SendStream,
    frames: &mut mpsc::Receiver<Frame>,
    mut leaving: impl FnMut(&mut Vec<Frame>),
    patience: Option<&Patience>,
) -> Result<(), WriteError> {
    let mut batch = Vec::new();
    let mut chunks = Vec::new();
    while let Some(first) = frames.recv().await {
        batch.push(first);
        // Whatever else can run now may have more to send: frames that leave together cost one packet, not one each.
        tokio::task::yield_now().await;
        while batch.len() < BATCH_FRAMES
            && let Ok(more) = frames.try_recv()
        {
            batch.push(more);
        }
        leaving(&mut batch);
        lay_out(batch.drain(..), &mut chunks);
        match patience {
            Some(patience) => write_chunks(stream, &mut chunks, patience).await?,
            None => stream.write_all_chunks(&mut chunks).await?,
        }
        chunks.clear();
    }
    Ok(())
}

/// Writes one frame.
pub async fn write_one(stream: &mut SendStream, frame: Frame) -> Result<(), WriteError> {
    let mut chunks = Vec::new();
    lay_out(std::iter::once(frame), &mut chunks);
    stream.write_all_chunks(&mut chunks).await
}

/// Turns frames into as few chunks as copying is worth, behind those that there are.
pub fn lay_out(frames: impl Iterator<Item = Frame>, chunks: &mut Vec<Bytes>) {
    let mut small = BytesMut::new();
    for frame in frames {
        small.extend_from_slice(&(frame.payload.len() as u32).to_be_bytes());
        small.extend_from_slice(&frame.id.to_be_bytes());
        for piece in std::iter::once(frame.payload.head).chain(frame.payload.rest) {
            if piece.len() <= COALESCED_BYTES {
                small.extend_from_slice(&piece);
            } else {
                chunks.push(small.split().freeze());
                chunks.push(piece);
            }
        }
    }
    if !small.is_empty() {
        chunks.push(small.freeze());
    }
}

/// Why no more frames come from a stream.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream or its connection ended in the middle of a frame.
    #[error("the stream ended inside a frame")]
    Torn,
    /// A frame is longer than is allowed: the connection is to be closed.
    #[error("a frame of {length} bytes; at most {limit} are accepted")]
    TooLong {
        /// What its header says.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A large frame was announced and did not come.
    #[error("a frame of {length} bytes did not arrive in time")]
    TooSlow {
        /// What its header says.
        length: usize,
    },
    /// The connection broke.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads frames from a stream. What is buffered is at most one frame and one read.
pub struct FrameReader {
    stream: RecvStream,
    buffer: BytesMut,
    limit: usize,
    budget: Option<Pool>,
    /// When the newest of what is buffered, or was, came in.
    read_at: Instant,
    /// When the header came in that was read last.
    announced: Instant,
}

/// A frame that was read.
#[derive(Debug)]
pub struct Received {
    /// Of the request.
    pub id: u64,
    /// When its header came in. The rest may have waited for room since.
    pub announced: Instant,
    /// When the last of it came in. It may have waited in the reader's buffer since.
    pub arrived: Instant,
    /// What it says.
    pub payload: Bytes,
    /// Its share of the budget, to be held until the request is answered.
    pub share: Option<Charge>,
}

impl FrameReader {
    /// Reads frames of at most `limit` bytes.
    pub fn new(stream: RecvStream, limit: usize) -> Self {
        let now = Instant::now();
        Self {
            stream,
            buffer: BytesMut::new(),
            limit,
            budget: None,
            read_at: now,
            announced: now,
        }
    }

    /// Large frames wait for room in `budget` before they are read: many senders together can't make the
    /// node buffer more than that.
    pub fn with_budget(mut self, budget: Pool) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The next frame; `None` at the orderly end of the stream.
    pub async fn next(&mut self) -> Result<Option<Received>, FrameError> {
        match self.header().await? {
            Some((id, length)) => self.payload(id, length).await.map(Some),
            None => Ok(None),
        }
    }

    /// The id and length of the next frame; [`payload`](Self::payload) must follow.
    pub async fn header(&mut self) -> Result<Option<(u64, usize)>, FrameError> {
        if !self.fill(native::HEADER_BYTES).await? {
            return if self.buffer.is_empty() {
                Ok(None)
            } else {
                Err(FrameError::Torn)
            };
        }
        self.announced = self.read_at;
        let mut header = [0; native::HEADER_BYTES];
        self.buffer.copy_to_slice(&mut header);
        let (length, id) = native::decode_header(header);
        if length > self.limit {
            return Err(FrameError::TooLong {
                length,
                limit: self.limit,
            });
        }
        Ok(Some((id, length)))
    }

    /// The rest of a frame of which [`header`](Self::header) was read.
    pub async fn payload(&mut self, id: u64, length: usize) -> Result<Received, FrameError> {
        if length < SMALL_BYTES {
            if !self.fill(length).await? {
                return Err(FrameError::Torn);
            }
            let payload = self.buffer.split_to(length).freeze();
            return Ok(self.received(id, payload, None));
        }
        let share = self.room(length).await?;
        self.buffer.reserve(length.saturating_sub(self.buffer.len()));
        if !self.fill_in_time(length).await? {
            return Err(FrameError::Torn);
        }
        let payload = self.buffer.split_to(length).freeze();
        // What came behind it shares its memory, and would keep all of it.
        self.buffer = BytesMut::from(&self.buffer[..]);
        Ok(self.received(id, payload, share))
    }

    /// The frame that was read last.
    fn received(&self, id: u64, payload: Bytes, share: Option<Charge>) -> Received {
        Received {
            id,
            announced: self.announced,
            arrived: self.read_at,
            payload,
            share,
        }
    }

    /// Room for a large frame. A sender that gives it up leaves the queue.
    async fn room(&mut self, length: usize) -> Result<Option<Charge>, FrameError> {
        let Some(budget) = self.budget.clone() else {
            return Ok(None);
        };
        let given_up = async {
            match self.stream.received_reset().await {
                Ok(Some(_)) | Err(_) => {}
                // All of it is here.
                Ok(None) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            share = budget.take(length) => Ok(Some(share)),
            () = given_up => Err(FrameError::Torn),
        }
    }

    /// As [`fill`](Self::fill), for a large frame.
    async fn fill_in_time(&mut self, length: usize) -> Result<bool, FrameError> {
        let latest = Instant::now() + LARGE_FRAME_TIMEOUT;
        let mut look = Instant::now() + PRESSED_TIMEOUT + at_slowest(length);
        let budget = self.budget.clone();
        let mut whole = pin!(self.fill(length));
        loop {
            match tokio::time::timeout_at(look.min(latest), &mut whole).await {
                Ok(whole) => return Ok(whole?),
                Err(_) => {
                    let pressed = budget.as_ref().is_some_and(|budget| budget.waiting() > 0);
                    if pressed || Instant::now() >= latest {
                        return Err(FrameError::TooSlow { length });
                    }
                    look = Instant::now() + PRESSED_INTERVAL;
                }
            }
        }
    }

    /// Reads until `length` bytes are buffered; whether they came before the end. Memory grows with what
    /// has arrived, not with what a header promises.
    async fn fill(&mut self, length: usize) -> Result<bool, ReadError> {
        while self.buffer.len() < length {
            match self.stream.read_chunk(READ_BYTES, true).await? {
                Some(chunk) => {
                    self.read_at = Instant::now();
                    self.buffer.extend_from_slice(&chunk.bytes);
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
