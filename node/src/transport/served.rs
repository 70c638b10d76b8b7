//! The serving side of a peer's streams.

use std::{net::SocketAddr, sync::Arc};

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{Semaphore, mpsc};

use super::{
    Inner,
    frame::{self, Frame, FrameError, FrameReader},
    inbound,
    lane::LANE_FRAME_BYTES,
    large,
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
        loop {
            let received = tokio::select! {
                biased;
                Some(()) = broken.recv() => return Err(ServeError::Malformed),
                received = frames.next() => received?,
            };
            let Some(request) = received else { return Ok(()) };
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return Ok(());
            };
            let (inner, answers, malformed) = (Arc::clone(&inner), answers.clone(), malformed.clone());
            let connection = connection.clone();
            tokio::spawn(async move {
                match inbound::answer(&inner, from, request.payload).await {
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
