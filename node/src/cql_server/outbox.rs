//! Replies on their way to a client.

use starling_cql::{
    Error, ErrorKind,
    protocol::{Compression, Encoder, Response, ResponseFrame, Version},
};
use starling_replication::{Charge, budget::Pool};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Memory that an outbox keeps when it is empty, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// Encoded replies that wait to be written.
pub(super) struct Outbox {
    encoder: Encoder,
    bytes: Vec<u8>,
    /// How much of `bytes` is written.
    sent: usize,
    /// What `bytes` takes in the node's budget.
    charge: Charge,
    /// How many copies of a reply exist while it is encoded.
    copies: usize,
}

impl Outbox {
    /// An empty one, whose bytes are counted in `pool`.
    pub(super) fn new(pool: &Pool) -> Self {
        Self {
            charge: pool.owe(0),
            copies: 1,
            encoder: Encoder::new(Version::HIGHEST),
            bytes: Vec::new(),
            sent: 0,
        }
    }

    /// The version that replies are written in.
    pub(super) fn set_version(&mut self, version: Version) {
        self.encoder.set_version(version);
    }

    /// What the handshake agreed on holds for everything that is pushed from now on.
    pub(super) fn begin(&mut self, version: Version, compression: Option<Compression>) {
        self.encoder.set_compression(compression);
        self.copies = match version {
            Version::V5 => 3,
            Version::V4 => 1 + usize::from(compression.is_some()),
        };
        if version >= Version::V5 {
            self.encoder.use_segments();
        }
    }

    /// Adds a reply. One that the protocol has no room for becomes an error.
    pub(super) fn push(&mut self, stream: i16, frame: &ResponseFrame) {
        let Err(too_large) = self.encoder.response(&mut self.bytes, stream, frame) else {
            return;
        };
        let message = format!("The reply can't be sent: {too_large}. Ask for smaller pages.");
        let error = Response::Error(Error::new(ErrorKind::Server, message));
        self.encoder
            .response(&mut self.bytes, stream, &error.into())
            .expect("a message without a length of its own fits");
    }

    /// How much room a reply of about `weight` bytes needs while it is encoded.
    pub(super) fn room_for(&self, weight: usize) -> usize {
        weight * self.copies
    }

    /// Adds a large reply, for which there is `room`.
    pub(super) fn push_large(&mut self, stream: i16, frame: &ResponseFrame, weight: usize, room: Charge) {
        self.forget_sent();
        self.charge.merge(room);
        // To the byte: growing by doubling would take room that nobody gave.
        self.bytes.reserve_exact(weight);
        self.push(stream, frame);
        self.seal();
    }

    /// Makes everything that was pushed ready to be written.
    pub(super) fn seal(&mut self) {
        self.encoder.finish(&mut self.bytes);
        self.count();
    }

    /// Has the budget know how much memory this takes.
    fn count(&mut self) {
        let held = Some(self.bytes.capacity())
            .filter(|&held| held > KEPT_BYTES)
            .unwrap_or(0);
        if held != self.charge.bytes() {
            self.charge.resize(held);
        }
    }

    /// Bytes that wait, once [sealed](Self::seal).
    pub(super) fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Writes as much as the client takes now, and says how much that was. Safe to cancel.
    pub(super) async fn write_some(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<usize> {
        let written = socket.write(&self.bytes[self.sent..]).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        self.sent += written;
        if self.sent == self.bytes.len() || self.sent > KEPT_BYTES.max(self.bytes.len() / 2) {
            self.forget_sent();
        }
        Ok(written)
    }

    /// Gives back the memory of what is written.
    fn forget_sent(&mut self) {
        self.bytes.drain(..self.sent);
        self.sent = 0;
        self.bytes.shrink_to(KEPT_BYTES);
        self.count();
    }
}
