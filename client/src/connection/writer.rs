//! Writes requests: all that have queued up go out in one write per wake-up.

use bytes::Bytes;
use quinn::SendStream;
use tokio::sync::mpsc;

/// Frames are gathered until this many bytes, then written.
const BATCH_BYTES: usize = 64 << 10;

/// Ends when the connection does or when nobody can send any more.
pub(super) async fn run(mut stream: SendStream, mut queue: mpsc::Receiver<Bytes>, quic: quinn::Connection) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    while let Some(first) = queue.recv().await {
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < BATCH_BYTES {
            match queue.try_recv() {
                Ok(frame) => batch.extend_from_slice(&frame),
                Err(_) => break,
            }
        }
        if stream.write_all(&batch).await.is_err() {
            // The reader learns of it from the connection, and tells everyone.
            quic.close(1u32.into(), b"the stream can't be written");
            return;
        }
        batch.shrink_to(BATCH_BYTES);
    }
}
