//! Messages that are too long for a lane, each on a stream of its own.
//!
//! ```text
//! request   a bidirectional stream, after the lanes': one frame; its answer comes back on the same stream
//! answer    of a request on a lane: a unidirectional stream that the answering side opens: one frame
//! ```
//!
//! The receiver reads the frame's header, waits until its budget has room, and then reads the rest; until
//! then QUIC's flow control holds the sender. Since every stream has its own window, and the connection's is
//! the sum of them, a message that waits holds up neither the lanes nor gossip. Who has stopped waiting for
//! an answer, or for its request to be taken, resets the stream, and both sides forget the message.

use std::{net::SocketAddr, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use quinn::{Connection, RecvStream, SendStream, VarInt, WriteError};
use starling_replication::{budget::Pool, message::MAX_MESSAGE_BYTES};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Inner,
    frame::{self, Frame, FrameError, FrameReader},
    inbound,
    pending::Pending,
    served::ServeError,
    traffic::{Count, Traffic},
};

/// How many large requests, and how many large answers, a peer has on their way to another at a time.
pub(super) const LARGE_STREAMS: u32 = 8;

/// Below the lanes.
const PRIORITY: i32 = -1;

/// With which a stream is reset that nobody waits for any more.
const ABANDONED: VarInt = VarInt::from_u32(0);

/// A request that takes its own stream.
pub(super) struct LargeCall {
    pub(super) frame: Frame,
    /// When its caller gives up.
    pub(super) until: Instant,
}

/// Sends requests as they come, a few at a time, and hands on their answers. Ends with the connection's
/// queue.
pub(super) async fn send(
    connection: &Connection,
    queue: &mut mpsc::Receiver<LargeCall>,
    pending: &Pending,
    budget: &Pool,
    traffic: &Traffic,
) -> String {
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = calls.next(), if !calls.is_empty() => {}
            next = queue.recv(), if calls.len() < LARGE_STREAMS as usize => match next {
                Some(large) if pending.waits_for(large.frame.id) => {
                    calls.push(call(connection, large, pending, budget, traffic));
                }
                Some(_) => {}
                None => return "stopping".to_owned(),
            },
        }
    }
}

async fn call(
    connection: &Connection,
    large: LargeCall,
    pending: &Pending,
    budget: &Pool,
    traffic: &Traffic,
) {
    let LargeCall { frame, until } = large;
    let id = frame.id;
    // If the connection breaks, all calls are told at one place.
    let Ok(Ok((mut send, receive))) = tokio::time::timeout_at(until, connection.open_bi()).await else {
        return;
    };
    if !pending.mark_sent(id) {
        return;
    }
    let exchange = async {
        if write(&mut send, frame, &traffic.requests_sent).await.is_err() {
            return;
        }
        let mut answer = FrameReader::new(receive, MAX_MESSAGE_BYTES).with_budget(budget.clone());
        if let Ok(Some(mut answer)) = answer.next().await {
            traffic.answers_received.came(answer.payload.len());
            answer.id = id;
            pending.answer(answer);
        }
    };
    if tokio::time::timeout_at(until, exchange).await.is_err() {
        // Fails if all was sent already.
        let _ = send.reset(ABANDONED);
    }
}

/// Serves one request.
pub(super) async fn serve(
    inner: Arc<Inner>,
    from: SocketAddr,
    mut send: SendStream,
    receive: RecvStream,
) -> Result<(), ServeError> {
    let budget = inner.budget.peer_requests.clone();
    let mut frames = FrameReader::new(receive, MAX_MESSAGE_BYTES).with_budget(budget);
    let request = match frames.next().await {
        Ok(Some(request)) => request,
        Err(error @ FrameError::TooLong { .. }) => return Err(error.into()),
        // The peer gave up.
        Ok(None) | Err(_) => return Ok(()),
    };
    inner.traffic.requests_received.came(request.payload.len());
    let share = request.share;
    let payload = inbound::answer(&inner, from, request.payload, request.announced)
        .await
        .ok_or(ServeError::Malformed)?;
    drop(share);
    // The peer may have given up.
    let _ = write(
        &mut send,
        Frame {
            id: request.id,
            payload,
        },
        &inner.traffic.answers_sent,
    )
    .await;
    Ok(())
}

/// Sends a large answer to a request that came on a lane; ends when the peer has taken it, or does not want
/// it any more.
pub(super) async fn answer(connection: &Connection, frame: Frame, sent: &Count) {
    if let Ok(mut send) = connection.open_uni().await {
        let _ = write(&mut send, frame, sent).await;
    }
}

/// Takes large answers to requests that went on the lanes. Ends, with the reason, when the connection does.
pub(super) async fn receive(
    connection: &Connection,
    pending: &Pending,
    budget: &Pool,
    traffic: &Traffic,
) -> String {
    let mut arriving = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = arriving.next(), if !arriving.is_empty() => {}
            stream = connection.accept_uni() => match stream {
                Ok(stream) => arriving.push(take_answer(stream, pending, budget, traffic)),
                Err(error) => return error.to_string(),
            },
        }
    }
}

/// Dropping the stream tells the peer that the rest is not wanted.
async fn take_answer(stream: RecvStream, pending: &Pending, budget: &Pool, traffic: &Traffic) {
    let mut frames = FrameReader::new(stream, MAX_MESSAGE_BYTES);
    let Ok(Some((id, length))) = frames.header().await else {
        return;
    };
    let Some(terms) = pending.terms(id) else {
        return;
    };
    let arrival = async {
        let share = match terms.claim {
            Some(claim) => budget.take_for(claim, length).await,
            None => budget.take(length).await,
        };
        if pending.waits_for(id)
            && let Ok(mut received) = frames.payload(id, length).await
        {
            traffic.answers_received.came(length);
            received.share = Some(share);
            pending.answer(received);
        }
    };
    // Whoever waited for it has gone by then, and its place in the queue is the next one's.
    let _ = tokio::time::timeout_at(terms.until, arrival).await;
}

async fn write(stream: &mut SendStream, frame: Frame, sent: &Count) -> Result<(), WriteError> {
    sent.leave(std::slice::from_ref(&frame));
    // Fails only on a stream that is closed, which writing finds out as well.
    let _ = stream.set_priority(PRIORITY);
    frame::write_one(stream, frame).await?;
    let _ = stream.finish();
    // What it stands for in the budget is held until the peer has it.
    let _ = stream.stopped().await;
    Ok(())
}
