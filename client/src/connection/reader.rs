//! Reads answers and events until the connection ends.

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use quinn::RecvStream;
use starling_cql::native::{Event, Response};
use tokio::sync::broadcast;

use super::{
    frame,
    pending::{Pending, broken},
};
use crate::error::{Error, ErrorKind};

/// How much is taken from the stream at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Ends with the reason, which all pending requests have been told.
pub(super) async fn run(
    address: SocketAddr,
    mut stream: RecvStream,
    pending: Arc<Pending>,
    events: broadcast::Sender<Event>,
) -> Error {
    let mut received = BytesMut::new();
    let reason = loop {
        match stream.read_chunk(CHUNK_BYTES, true).await {
            Ok(Some(chunk)) => received.extend_from_slice(&chunk.bytes),
            Ok(None) => break broken(address, "the node closed it"),
            Err(error) => break broken(address, &error).with_source(error),
        }
        if let Err(error) = dispatch(&mut received, &pending, &events) {
            break error;
        }
    };
    pending.fail(reason.clone());
    reason
}

/// Hands out all whole frames that have come.
fn dispatch(
    received: &mut BytesMut,
    pending: &Pending,
    events: &broadcast::Sender<Event>,
) -> Result<(), Error> {
    while let Some((id, value)) = frame::take(received)? {
        let response: Response = frame::decode(&value)?;
        match response {
            Response::Event(event) if id == 0 => {
                // Nobody may be listening.
                let _ = events.send(event);
            }
            // Before it hangs up a node says why, to no request in particular.
            Response::Error(error) if id == 0 => {
                return Err(Error::unknown(ErrorKind::Protocol, error.message.clone()).with_source(error));
            }
            response => pending.settle(id, response)?,
        }
    }
    Ok(())
}
