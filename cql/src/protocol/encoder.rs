//! Messages to bytes: both versions, before and after the handshake.

use super::{
    compression::Compression,
    header::{Flags, HEADER_BYTES, Opcode, PROTOCOL_MAX_BODY_BYTES, RESPONSE_BIT, RawHeader},
    request::RequestFrame,
    response::ResponseFrame,
    segment::{self, MAX_PAYLOAD_BYTES},
    version::Version,
    writer::{TooLarge, Writer},
};

/// Bodies shorter than this are not worth the work of compressing them, in bytes.
const MIN_COMPRESSED_BYTES: usize = 128;

/// Appends messages to a connection's output.
///
/// In segments, small messages gather until [`finish`](Self::finish) or until a segment is full, so that
/// many replies share one pair of checksums. Nothing that was pushed is sure to be in the output before
/// `finish`.
#[derive(Debug)]
pub struct Encoder {
    version: Version,
    compression: Option<Compression>,
    segments: bool,
    /// The payload of the segment that is being filled.
    payload: Vec<u8>,
    /// For a body while it is compressed.
    scratch: Vec<u8>,
}

impl Encoder {
    /// An encoder at the start of a connection.
    pub fn new(version: Version) -> Self {
        Self {
            version,
            compression: None,
            segments: false,
            payload: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The version it writes.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Writes this version from now on.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// What the handshake agreed on.
    pub fn set_compression(&mut self, compression: Option<Compression>) {
        self.compression = compression;
    }

    /// From now on everything goes in segments (v5, after READY or AUTHENTICATE).
    pub fn use_segments(&mut self) {
        self.segments = true;
    }

    /// Appends a request. After an error nothing was appended.
    pub fn request(&mut self, out: &mut Vec<u8>, stream: i16, frame: &RequestFrame) -> Result<(), TooLarge> {
        let opcode = frame.request.opcode();
        let may_compress = !matches!(opcode, Opcode::Startup | Opcode::Options);
        let head = Head {
            version: self.version.number(),
            flags: frame.flags(),
            stream,
            opcode,
            may_compress,
        };
        self.push(out, head, |body, version| frame.write(body, version))
    }

    /// Appends a response. After an error nothing was appended.
    pub fn response(
        &mut self,
        out: &mut Vec<u8>,
        stream: i16,
        frame: &ResponseFrame,
    ) -> Result<(), TooLarge> {
        let opcode = frame.response.opcode();
        let version = self.version.number() | RESPONSE_BIT;
        let head = Head {
            version,
            flags: frame.flags(),
            stream,
            opcode,
            may_compress: true,
        };
        self.push(out, head, |body, version| frame.write(body, version))
    }

    /// Closes the segment that is being filled. Call it before the output is sent.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.payload.is_empty() {
            segment::encode(&self.payload, true, self.compression.is_some(), out);
            self.payload.clear();
            // One large reply should not keep its memory for the connection's life.
            self.payload.shrink_to(MAX_PAYLOAD_BYTES);
        }
    }

    fn push(
        &mut self,
        out: &mut Vec<u8>,
        head: Head,
        write: impl FnOnce(&mut Writer<'_>, Version),
    ) -> Result<(), TooLarge> {
        if !self.segments {
            let start = out.len();
            append_envelope(out, self.version, head, write)?;
            if let Some(compression) = self.compression.filter(|_| head.may_compress) {
                compress_envelope(out, start, head, compression, &mut self.scratch);
            }
            return Ok(());
        }
        let start = self.payload.len();
        append_envelope(&mut self.payload, self.version, head, write)?;
        if self.payload.len() <= MAX_PAYLOAD_BYTES {
            return Ok(());
        }
        let envelope = self.payload.split_off(start);
        self.finish(out);
        if envelope.len() <= MAX_PAYLOAD_BYTES {
            self.payload = envelope;
            return Ok(());
        }
        for piece in envelope.chunks(MAX_PAYLOAD_BYTES) {
            segment::encode(piece, false, self.compression.is_some(), out);
        }
        Ok(())
    }
}

/// What an envelope's header needs but the length.
#[derive(Debug, Clone, Copy)]
struct Head {
    version: u8,
    flags: Flags,
    stream: i16,
    opcode: Opcode,
    may_compress: bool,
}

impl Head {
    fn to_bytes(self, length: usize) -> [u8; HEADER_BYTES] {
        let Self {
            version,
            flags,
            stream,
            opcode,
            ..
        } = self;
        let length = u32::try_from(length).expect("a body is at most 256 MiB long");
        RawHeader {
            version,
            flags,
            stream,
            opcode: opcode as u8,
            length,
        }
        .to_bytes()
    }
}

fn append_envelope(
    out: &mut Vec<u8>,
    version: Version,
    head: Head,
    write: impl FnOnce(&mut Writer<'_>, Version),
) -> Result<(), TooLarge> {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    let mut body = Writer::new(out);
    write(&mut body, version);
    let written = body.finish();
    let length = out.len() - start - HEADER_BYTES;
    let fits = if length > PROTOCOL_MAX_BODY_BYTES {
        Err(TooLarge("the message"))
    } else {
        written
    };
    if fits.is_err() {
        out.truncate(start);
        return fits;
    }
    out[start..start + HEADER_BYTES].copy_from_slice(&head.to_bytes(length));
    Ok(())
}

/// Compresses the body of the v4 envelope at `start`, if that makes it smaller.
fn compress_envelope(
    out: &mut Vec<u8>,
    start: usize,
    mut head: Head,
    compression: Compression,
    scratch: &mut Vec<u8>,
) {
    let body = start + HEADER_BYTES;
    if out.len() - body < MIN_COMPRESSED_BYTES {
        return;
    }
    scratch.clear();
    compression.compress_body(&out[body..], scratch);
    if scratch.len() < out.len() - body {
        head.flags.0 |= Flags::COMPRESSED;
        out.truncate(start);
        out.extend_from_slice(&head.to_bytes(scratch.len()));
        out.extend_from_slice(scratch);
    }
    scratch.shrink_to(MAX_PAYLOAD_BYTES);
}
