//! One native client.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use quinn::{Connection, SendStream};
use starling_cql::{
    Error, ErrorKind,
    native::{self, Event, Request, Response},
};
use starling_replication::budget::{Pool, SMALL_BYTES, hold};
use tokio::{
    sync::{Semaphore, broadcast, mpsc},
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::debug;

use super::{NativeBackend, Shared};
use crate::{
    transport::frame::{self, Frame, FrameError, FrameReader, Patience, Received},
    weight,
};

/// Requests of one connection that are worked on at a time.
pub(super) const MAX_IN_FLIGHT: usize = 1024;
/// Answers that wait to be written.
const QUEUE_FRAMES: usize = 256;
/// How long a client may take for its first frame.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take none of its answers, and how long while others wait for the room they take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const PRESSED_TIMEOUT: Duration = Duration::from_secs(5);
/// How the connection of a client that breaks the protocol is closed.
const CLOSE_PROTOCOL: u32 = 2;

/// Serves the streams that a client opens, until its connection ends.
pub(super) async fn serve<B: NativeBackend>(shared: &Arc<Shared<B>>, connection: &Connection) {
    let room = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_bi() => {
                let Ok((send, receive)) = stream else { break };
                let frames = FrameReader::new(receive, native::MAX_FRAME_BYTES)
                    .with_budget(shared.budget.requests.clone());
                let client = Client { shared: Arc::clone(shared), room: Arc::clone(&room) };
                streams.spawn(client.stream(frames, send));
            }
            Some(ended) = streams.join_next() => {
                if let Ok(Err(error)) = ended {
                    let client = connection.remote_address();
                    debug!(%client, %error, "closing the client's connection");
                    connection.close(CLOSE_PROTOCOL.into(), error.to_string().as_bytes());
                }
            }
        }
    }
    // Requests in flight are dropped with their streams: reads end, and writes go on by themselves.
}

/// Why a client's stream is no longer served.
#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Protocol(String),
    #[error("the connection broke, or the client did not take its answers")]
    Write,
}

struct Client<B> {
    shared: Arc<Shared<B>>,
    room: Arc<Semaphore>,
}

impl<B: NativeBackend> Client<B> {
    async fn stream(self, mut frames: FrameReader, mut send: SendStream) -> Result<(), ClientError> {
        let events = self.shared.events.subscribe();
        let (answers, mut queue) = mpsc::channel(QUEUE_FRAMES);
        self.hello(&mut frames, &answers).await?;
        let patience = Patience {
            pool: self.shared.budget.replies.clone(),
            usual: WRITE_TIMEOUT,
            pressed: PRESSED_TIMEOUT,
        };
        let write = async {
            frame::write(&mut send, &mut queue, |_| (), Some(&patience))
                .await
                .map_err(|_| ClientError::Write)
        };
        let read = async move {
            tokio::select! {
                ended = self.requests(&mut frames, &answers) => ended,
                () = tell(events, answers.clone()) => Ok(()),
            }?;
            drop(answers);
            Ok(())
        };
        tokio::try_join!(read, write).map(|_| ())
    }

    async fn hello(
        &self,
        frames: &mut FrameReader,
        answers: &mpsc::Sender<Frame>,
    ) -> Result<(), ClientError> {
        let first = timeout(HELLO_TIMEOUT, frames.next())
            .await
            .map_err(|_| ClientError::Protocol("the first frame did not come in time".to_owned()))??;
        let Some(first) = first else { return Ok(()) };
        match native::decode(&first.payload) {
            Ok(Request::Hello { version: 1.., client }) => {
                debug!(client, "a client says hello");
                let welcome = Response::Welcome {
                    version: native::VERSION,
                    release: self.shared.release.clone(),
                };
                let _ = answers
                    .send(Frame {
                        id: first.id,
                        payload: encode(&welcome).into(),
                    })
                    .await;
                Ok(())
            }
            Ok(_) => Err(ClientError::Protocol(
                "the first frame must be a Hello of version 1 or later".to_owned(),
            )),
            Err(error) => Err(ClientError::Protocol(error.message)),
        }
    }

    /// Starts each request that comes, until the client ends the stream.
    async fn requests(
        &self,
        frames: &mut FrameReader,
        answers: &mpsc::Sender<Frame>,
    ) -> Result<(), ClientError> {
        while let Some(received) = frames.next().await? {
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
                return Ok(());
            };
            let (shared, answers) = (Arc::clone(&self.shared), answers.clone());
            let mut work = Box::pin(async move {
                serve_one(&shared, &answers, received).await;
                drop(permit);
            });
            // Most requests are answered at once; a task of its own, which another thread may take, costs more than they do.
            if work.as_mut().now_or_never().is_none() {
                tokio::spawn(work);
            }
        }
        Ok(())
    }
}

/// Carries a request out, and hands its answer on.
async fn serve_one<B: NativeBackend>(shared: &Shared<B>, answers: &mpsc::Sender<Frame>, received: Received) {
    let response = match native::decode(&received.payload) {
        Ok(request) => tokio::select! {
            biased;
            response = AssertUnwindSafe(carry_out(shared, request, received.arrived)).catch_unwind() => {
                response.unwrap_or_else(|_| Err(panicked(received.id)))
            }
            // The backend knows what must go on though the client has gone.
            () = answers.closed() => return,
        },
        Err(error) => Err(error),
    };
    let response = response.unwrap_or_else(Response::Error);
    drop((received.payload, received.share));
    let payload = tokio::select! {
        biased;
        payload = answer(&shared.budget.replies, response) => payload,
        // A client that is gone needs no answer, and no room for one.
        () = answers.closed() => return,
    };
    let frame = Frame {
        id: received.id,
        payload: payload.into(),
    };
    let _ = answers.send(frame).await;
}

/// What is told of a request that panicked: one bug does not cost the client its connection.
fn panicked(id: u64) -> Error {
    tracing::error!(id, "a native client's request panicked");
    Error::server("A bug in the server ended this request; whether it changed anything is unknown.")
}

async fn carry_out<B: NativeBackend>(
    shared: &Shared<B>,
    request: Request,
    arrived: Instant,
) -> Result<Response, Error> {
    let executed = match request {
        Request::Hello { .. } => {
            return Err(Error::new(
                ErrorKind::Protocol,
                "Hello is the first request of a connection only",
            ));
        }
        Request::Topology => return Ok(Response::Topology(shared.backend.topology())),
        Request::Prepare { query, keyspace } => {
            return shared
                .backend
                .prepare(&query, keyspace.as_deref())
                .map(Response::Prepared);
        }
        Request::Execute {
            statement,
            parameters,
            tracing,
        } => {
            let waited = arrived.elapsed();
            let executed = shared.backend.execute(statement, parameters, tracing, waited);
            executed.await?
        }
        Request::Batch(batch) => shared.backend.batch(batch, false, arrived.elapsed()).await?,
    };
    Ok(Response::Result {
        result: executed.result,
        trace: executed.trace,
        warnings: executed.warnings,
    })
}

/// Tells the client of events, until the connection ends.
async fn tell(mut events: broadcast::Receiver<Event>, answers: mpsc::Sender<Frame>) {
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            // Some were missed: what they were about is asked for anew.
            Err(broadcast::error::RecvError::Lagged(_)) => Event::Topology,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if answers
            .send(Frame {
                id: 0,
                payload: encode(&Response::Event(event)).into(),
            })
            .await
            .is_err()
        {
            return;
        }
    }
}

/// A response's bytes. Large ones wait for room before they are made, and count until the client has them.
async fn answer(room: &Pool, response: Response) -> Bytes {
    let weight = match &response {
        Response::Result { result, .. } => weight::of_result(result),
        _ => 0,
    };
    if weight < SMALL_BYTES {
        return encode(&response);
    }
    let mut charge = room.take(weight).await;
    let bytes = encode(&response);
    charge.resize(bytes.len());
    hold(bytes, charge)
}

/// A response's bytes; one that is too large for a frame becomes an error that says what to do.
fn encode(response: &Response) -> Bytes {
    match rmp_serde::to_vec(response) {
        Ok(bytes) if bytes.len() <= native::MAX_FRAME_BYTES => bytes.into(),
        Ok(bytes) => encode(&Response::Error(Error::invalid(format!(
            "the answer has {} bytes and a frame holds {}; ask for smaller pages",
            bytes.len(),
            native::MAX_FRAME_BYTES
        )))),
        Err(error) => encode(&Response::Error(Error::server(format!(
            "the answer can't be written: {error}"
        )))),
    }
}
