//! The serving side of a peer's streams.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use futures::future::{AbortHandle, AbortRegistration, Abortable};
use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{Semaphore, mpsc};

use super::{
    Inner,
    frame::{self, Frame, FrameError, FrameReader},
    inbound,
    lane::LANE_FRAME_BYTES,
    large,
    pending::REVOCABLE,
};

/// Requests of one stream that are worked on at a time; the next ones stay in the stream.
const MAX_SERVED: usize = 4096;

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

/// Answers calls, each in its own task, in the order in which they are done.
pub(super) async fn calls(
    inner: Arc<Inner>,
    from: SocketAddr,
    connection: Connection,
    mut send: SendStream,
    receive: RecvStream,
) -> Result<(), ServeError> {
    let (answers, mut queue) = mpsc::channel(QUEUE_FRAMES);
    let write = async {
        frame::write(&mut send, &mut queue, |_| (), None)
            .await
            .map_err(|_| ServeError::Write)
    };
    let read = async {
        let mut frames = FrameReader::new(receive, LANE_FRAME_BYTES);
        let room = Arc::new(Semaphore::new(MAX_SERVED));
        let (malformed, mut broken) = mpsc::channel(1);
        let revocable = Revocable::default();
        loop {
            let received = tokio::select! {
                biased;
                Some(()) = broken.recv() => return Err(ServeError::Malformed),
                received = frames.next() => received?,
            };
            let Some(request) = received else { return Ok(()) };
            if request.payload.is_empty() && request.id & REVOCABLE != 0 {
                revocable.revoke(request.id);
                continue;
            }
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return Ok(());
            };
            let (inner, answers, malformed) = (Arc::clone(&inner), answers.clone(), malformed.clone());
            let connection = connection.clone();
            let listed = (request.id & REVOCABLE != 0).then(|| revocable.list(request.id));
            tokio::spawn(async move {
                let work = inbound::answer(&inner, from, request.payload);
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
                            large::answer(&connection, frame).await;
                        } else {
                            let _ = answers.send(frame).await;
                        }
                    }
                    None => drop(malformed.try_send(())),
                }
                drop(permit);
            });
        }
    };
    tokio::try_join!(read, write).map(|_| ())
}

/// Takes casts, one after the other.
pub(super) async fn casts(
    inner: Arc<Inner>,
    from: SocketAddr,
    receive: RecvStream,
) -> Result<(), ServeError> {
    let mut frames = FrameReader::new(receive, LANE_FRAME_BYTES);
    while let Some(cast) = frames.next().await? {
        inbound::answer(&inner, from, cast.payload)
            .await
            .ok_or(ServeError::Malformed)?;
    }
    Ok(())
}
