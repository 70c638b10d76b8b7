//! The serving side of a peer's streams.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
};

use futures::{
    StreamExt,
    future::{AbortHandle, AbortRegistration, Abortable},
    stream,
};
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    Inner,
    frame::{self, Frame, FrameError, FrameReader, Received},
    inbound,
    lane::LANE_FRAME_BYTES,
    large,
    pending::REVOCABLE,
};

/// Requests of one stream that are worked on at a time.
pub(super) const MAX_SERVED: usize = 4096;

/// Requests of one stream that are read and wait for their turn, and their bytes; the next ones stay in the stream. Together
/// with those that are worked on they are all that a peer sends without an answer, so that what takes calls back is read, and
/// gives room, however much a node has to do.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 4 << 20;

/// Answers that wait to be written.
const QUEUE_FRAMES: usize = 1024;

/// Why a stream is no longer served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a request that can't be understood")]
    Malformed,
    #[error("the connection broke")]
    Write,
}

impl ServeError {
    /// Whether the peer is to blame, rather than the network.
    pub(super) fn is_violation(&self) -> bool {
        matches!(self, Self::Malformed | Self::Frame(FrameError::TooLong { .. }))
    }
}

/// The calls of one stream that may be taken back, while they are worked on. Dropped with the stream: then nobody
/// waits for any of them.
#[derive(Default)]
struct Revocable(Handles);

type Handles = Arc<Mutex<HashMap<u64, AbortHandle>>>;

/// A call's place among them.
struct Listed {
    calls: Handles,
    id: u64,
}

impl Revocable {
    fn list(&self, id: u64) -> (Listed, AbortRegistration) {
        let (handle, registration) = AbortHandle::new_pair();
        self.0.lock().insert(id, handle);
        let listed = Listed {
            calls: Arc::clone(&self.0),
            id,
        };
        (listed, registration)
    }

    /// Nobody waits for this call any more: the work on it ends.
    fn revoke(&self, id: u64) {
        let call = self.0.lock().remove(&id);
        if let Some(call) = call {
            call.abort();
        }
    }
}

impl Drop for Revocable {
    fn drop(&mut self) {
        for (_, call) in self.0.lock().drain() {
            call.abort();
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

/// Requests that wait for their turn.
#[derive(Default)]
struct Waiting {
    requests: VecDeque<Received>,
    bytes: usize,
}

impl Waiting {
    fn has_room(&self) -> bool {
        self.requests.len() < MAX_WAITING && self.bytes < MAX_WAITING_BYTES
    }

    fn push(&mut self, request: Received) {
        self.bytes += request.payload.len();
        self.requests.push_back(request);
    }

    fn pop(&mut self) -> Option<Received> {
        let request = self.requests.pop_front()?;
        self.bytes -= request.payload.len();
        Some(request)
    }

    /// Whether this call waited; it does not any more.
    fn revoke(&mut self, id: u64) -> bool {
        let at = self.requests.iter().position(|request| request.id == id);
        let request = at.and_then(|at| self.requests.remove(at));
        self.bytes -= request.as_ref().map_or(0, |request| request.payload.len());
        request.is_some()
    }
}

/// Works on the calls of one stream.
struct Desk {
    inner: Arc<Inner>,
    from: SocketAddr,
    connection: Connection,
    answers: mpsc::Sender<Frame>,
    malformed: mpsc::Sender<()>,
    revocable: Revocable,
}

impl Desk {
    /// Begins to work on a request. The permit is given back when that ends.
    fn begin(&self, request: Received, permit: OwnedSemaphorePermit) {
        let (inner, from, connection) = (Arc::clone(&self.inner), self.from, self.connection.clone());
        let (answers, malformed) = (self.answers.clone(), self.malformed.clone());
        let listed = (request.id & REVOCABLE != 0).then(|| self.revocable.list(request.id));
        tokio::spawn(async move {
            let _permit = permit;
            let work = inbound::answer(&inner, from, request.payload, request.announced);
            let answer = match listed {
                None => work.await,
                Some((_listed, registration)) => match Abortable::new(work, registration).await {
                    Ok(answer) => answer,
                    Err(_) => return,
                },
            };
            match answer {
                // The stream may be gone: then nobody waits for the answer.
                Some(payload) => {
                    let id = request.id;
                    let frame = Frame { id, payload };
                    if frame.payload.len() > LANE_FRAME_BYTES {
                        large::answer(&connection, frame, &inner.traffic.answers_sent).await;
                    } else {
                        let _ = answers.send(frame).await;
                    }
                }
                None => drop(malformed.try_send(())),
            }
        });
    }
}

/// Answers calls, each in its own task, in the order in which they are done.
pub(super) async fn calls(
    inner: Arc<Inner>,
    from: SocketAddr,
    connection: Connection,
    mut send: SendStream,
    receive: RecvStream,
) -> Result<(), ServeError> {
    let (answers, mut queue) = mpsc::channel(QUEUE_FRAMES);
    let traffic = Arc::clone(&inner.traffic);
    let leaving = |batch: &mut Vec<Frame>| traffic.answers_sent.leave(batch);
    let write = async {
        frame::write(&mut send, &mut queue, leaving, None)
            .await
            .map_err(|_| ServeError::Write)
    };
    let (malformed, broken) = mpsc::channel(1);
    let desk = Desk {
        inner,
        from,
        connection,
        answers,
        malformed,
        revocable: Revocable::default(),
    };
    let read = take_calls(desk, FrameReader::new(receive, LANE_FRAME_BYTES), broken);
    tokio::try_join!(read, write).map(|_| ())
}

/// Takes calls from a stream, in its order, as many at a time as may be worked on. What takes them back goes past those that
/// wait.
async fn take_calls(
    desk: Desk,
    frames: FrameReader,
    mut broken: mpsc::Receiver<()>,
) -> Result<(), ServeError> {
    // A frame that was begun is read on, whatever happens meanwhile.
    let mut frames = pin!(stream::unfold(frames, |mut frames| async move {
        let received = frames.next().await.transpose()?;
        Some((received, frames))
    }));
    let traffic = Arc::clone(&desk.inner.traffic);
    let count = |request: &Received| traffic.requests_received.came(request.payload.len());
    let room = Arc::new(Semaphore::new(MAX_SERVED));
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            biased;
            Some(()) = broken.recv() => return Err(ServeError::Malformed),
            Ok(permit) = Arc::clone(&room).acquire_owned(), if !waiting.requests.is_empty() => {
                if let Some(request) = waiting.pop() {
                    desk.begin(request, permit);
                }
            }
            received = frames.next(), if waiting.has_room() => match received.transpose()?.inspect(count) {
                None => return Ok(()),
                Some(request) if request.payload.is_empty() && request.id & REVOCABLE != 0 => {
                    if !waiting.revoke(request.id) {
                        desk.revocable.revoke(request.id);
                    }
                }
                Some(request) => waiting.push(request),
            },
        }
    }
}

/// Takes casts, one after the other.
pub(super) async fn casts(
    inner: Arc<Inner>,
    from: SocketAddr,
    receive: RecvStream,
) -> Result<(), ServeError> {
    let mut frames = FrameReader::new(receive, LANE_FRAME_BYTES);
    while let Some(cast) = frames.next().await? {
        inner.traffic.casts_received.came(cast.payload.len());
        inbound::answer(&inner, from, cast.payload, cast.announced)
            .await
            .ok_or(ServeError::Malformed)?;
    }
    Ok(())
}
