//! Bytes to envelopes: both versions, before and after the handshake.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    compression::{Compression, DecompressError},
    header::{Envelope, Flags, HEADER_BYTES, Opcode, PROTOCOL_MAX_BODY_BYTES, RESPONSE_BIT, RawHeader},
    segment::{self, Segment, SegmentError},
    version::Version,
};

/// Which side's messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Requests: this is a server.
    Requests,
    /// Responses: this is a client.
    Responses,
}

/// An envelope that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct FrameError {
    /// The stream that an answer goes to; 0 if there is none to know.
    pub stream: i16,
    /// What is wrong.
    pub kind: FrameErrorKind,
}

/// What is wrong with an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameErrorKind {
    /// A version that is not spoken here.
    #[error("{}", Version::unsupported(*.0))]
    Version(u8),
    /// Not the version that the connection began with.
    #[error("a message of version {found} on a connection of version {expected}")]
    VersionChanged {
        /// The connection's.
        expected: u8,
        /// The message's.
        found: u8,
    },
    /// A request came from a server, or a response from a client.
    #[error("the direction bit of the header is wrong")]
    Direction,
    /// A length that is negative or beyond the protocol's bound.
    #[error("a body of {0} bytes is beyond the protocol's bound of 256 MiB")]
    Length(u32),
    /// An opcode that the protocol does not define.
    #[error("{0:#04x} is not an opcode of the protocol")]
    Opcode(u8),
    /// A body that is larger than this side accepts.
    #[error("a message of {length} bytes is larger than the {limit} bytes accepted; nothing was done")]
    TooLarge {
        /// Its length, in bytes.
        length: usize,
        /// What is accepted, in bytes.
        limit: usize,
    },
    /// A compressed body on a connection without compression.
    #[error("a compressed message, and the handshake agreed on no compression")]
    NotNegotiated,
    /// A body that does not decompress.
    #[error("a message can't be decompressed: {0}")]
    Decompress(DecompressError),
    /// A segment that is damaged.
    #[error("{0}")]
    Segment(#[from] SegmentError),
    /// Envelopes that don't fit the segments they are in.
    #[error("the segments do not hold whole messages: {0}")]
    Split(&'static str),
}

impl FrameError {
    /// Whether the bytes that follow can't be understood any more: the connection must be closed.
    pub fn fatal(&self) -> bool {
        match self.kind {
            FrameErrorKind::Version(_)
            | FrameErrorKind::VersionChanged { .. }
            | FrameErrorKind::Direction
            | FrameErrorKind::Length(_)
            | FrameErrorKind::Segment(_)
            | FrameErrorKind::Split(_) => true,
            FrameErrorKind::Opcode(_)
            | FrameErrorKind::TooLarge { .. }
            | FrameErrorKind::NotNegotiated
            | FrameErrorKind::Decompress(_) => false,
        }
    }
}

/// An envelope that has begun to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// Its stream.
    pub stream: i16,
    /// How long its body will be, in bytes, as it comes.
    pub length: usize,
    /// How many bytes it takes until it is taken apart: with what it decompresses to.
    pub held: usize,
    /// Whether it waits to be [allowed](Decoder::allow_incoming).
    pub waits: bool,
}

/// A checked header.
#[derive(Debug, Clone, Copy)]
struct Header {
    version: Version,
    opcode: Opcode,
    flags: Flags,
    stream: i16,
    length: usize,
}

/// How far the decoder is.
#[derive(Debug)]
enum State {
    /// At the start of an envelope.
    Start,
    /// A header was read; its body is arriving. In segments the pieces gather in `body`.
    Body {
        header: Header,
        body: BytesMut,
        /// What it decompresses to; 0 until that is known, and for a body that is not compressed.
        plain: usize,
        allowed: bool,
    },
    /// The rest of a body is passed over.
    Skip { left: usize },
}

/// Takes envelopes from bytes as they arrive.
///
/// Before the handshake ends, and always in v4, envelopes follow each other bare; after
/// [`use_segments`](Self::use_segments) they are in segments.
#[derive(Debug)]
pub struct Decoder {
    direction: Direction,
    max_body: usize,
    /// Bodies that take more must be allowed first.
    free_bytes: usize,
    compression: Option<Compression>,
    version: Option<Version>,
    segments: bool,
    /// What is left of a self-contained segment.
    payload: Bytes,
    state: State,
}

impl Decoder {
    /// A decoder at the start of a connection. `max_body` bounds a body in bytes, after decompression
    /// too.
    pub fn new(direction: Direction, max_body: usize) -> Self {
        Self {
            direction,
            max_body: max_body.min(PROTOCOL_MAX_BODY_BYTES),
            free_bytes: usize::MAX,
            compression: None,
            version: None,
            segments: false,
            payload: Bytes::new(),
            state: State::Start,
        }
    }

    /// From now on every envelope must be of this version.
    pub fn expect_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// What the handshake agreed on.
    pub fn set_compression(&mut self, compression: Option<Compression>) {
        self.compression = compression;
    }

    /// The bytes that follow are segments (v5, after READY or AUTHENTICATE).
    pub fn use_segments(&mut self) {
        self.segments = true;
    }

    /// Bodies that take more than this, in bytes, wait until [`allow_incoming`](Self::allow_incoming): so
    /// that room can be found before they are read, or decompressed.
    pub fn hold_above(&mut self, bytes: usize) {
        self.free_bytes = bytes;
    }

    /// Whether envelopes follow each other bare, so that a body arrives in one piece.
    pub fn is_bare(&self) -> bool {
        !self.segments
    }

    /// The body that is [`incoming`](Self::incoming) may be taken.
    pub fn allow_incoming(&mut self) {
        if let State::Body {
            header,
            body,
            allowed,
            ..
        } = &mut self.state
        {
            *allowed = true;
            if self.segments {
                body.reserve(header.length - body.len());
            }
        }
    }

    /// The envelope of which only a part has arrived yet, if its header is known.
    pub fn incoming(&self) -> Option<Incoming> {
        match &self.state {
            State::Body {
                header,
                plain,
                allowed,
                ..
            } => {
                let held = header.length.saturating_add(*plain);
                Some(Incoming {
                    stream: header.stream,
                    length: header.length,
                    held,
                    waits: !allowed && held > self.free_bytes,
                })
            }
            State::Start | State::Skip { .. } => None,
        }
    }

    /// Gives up the envelope that is [`incoming`](Self::incoming): the rest of it is passed over, and
    /// what has come of it is freed.
    pub fn skip_incoming(&mut self) {
        if let State::Body { header, body, .. } = &self.state {
            self.state = State::Skip {
                left: header.length - body.len(),
            };
        }
    }

    /// The next envelope, if it has arrived whole. Bytes that were used are gone from `input`.
    ///
    /// After a [fatal](FrameError::fatal) error the decoder must not be used any more.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Envelope>, FrameError> {
        if self.segments {
            self.next_in_segments(input)
        } else {
            self.next_bare(input)
        }
    }

    fn next_bare(&mut self, input: &mut BytesMut) -> Result<Option<Envelope>, FrameError> {
        loop {
            match &mut self.state {
                State::Skip { left } => {
                    let passed = (*left).min(input.len());
                    input.advance(passed);
                    *left -= passed;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Start;
                }
                State::Start => {
                    check_version_early(input)?;
                    if input.len() < HEADER_BYTES {
                        return Ok(None);
                    }
                    let raw = take_raw(input);
                    self.begin(raw)?;
                }
                State::Body { header, plain, .. } => {
                    let header = *header;
                    if *plain == 0 {
                        *plain = self.compression.map_or(0, |compression| {
                            plain_length(header, compression, input, self.max_body)
                        });
                    }
                    if input.len() < header.length || self.incoming().is_some_and(|body| body.waits) {
                        return Ok(None);
                    }
                    self.state = State::Start;
                    let body = input.split_to(header.length).freeze();
                    return self.open(header, body).map(Some);
                }
            }
        }
    }

    fn next_in_segments(&mut self, input: &mut BytesMut) -> Result<Option<Envelope>, FrameError> {
        loop {
            if !self.payload.is_empty() {
                return self.next_in_payload().map(Some);
            }
            // A part of a body, if any, is complete as soon as its last piece was taken.
            if self.incoming().is_some_and(|body| body.waits) {
                return Ok(None);
            }
            if let State::Body { header, body, .. } = &mut self.state
                && body.len() == header.length
            {
                let (header, body) = (*header, std::mem::take(body).freeze());
                self.state = State::Start;
                return self.open(header, body).map(Some);
            }
            let segment = segment::decode(input, self.compression.is_some()).map_err(|error| FrameError {
                stream: 0,
                kind: error.into(),
            })?;
            match segment {
                Some(segment) => self.take_segment(segment)?,
                None => return Ok(None),
            }
        }
    }

    /// The next envelope of a self-contained segment.
    fn next_in_payload(&mut self) -> Result<Envelope, FrameError> {
        if self.payload.len() < HEADER_BYTES {
            return Err(split(0, "a self-contained segment ends within a header"));
        }
        let mut payload = std::mem::take(&mut self.payload);
        let raw = take_raw(&mut payload);
        if raw.length as usize > payload.len() {
            return Err(split(raw.stream, "a self-contained segment ends within a body"));
        }
        let body = payload.split_to(raw.length as usize);
        self.payload = payload;
        let header = self.check(raw)?;
        self.open(header, body)
    }

    fn take_segment(&mut self, segment: Segment) -> Result<(), FrameError> {
        let mut piece = segment.payload;
        if segment.self_contained {
            if !matches!(self.state, State::Start) {
                return Err(split(0, "a large message breaks off"));
            }
            self.payload = piece;
            return Ok(());
        }
        if matches!(self.state, State::Start) {
            if piece.len() < HEADER_BYTES {
                return Err(split(0, "the first piece of a large message has no whole header"));
            }
            let raw = take_raw(&mut piece);
            if let Err(error) = self.begin(raw) {
                self.pass_over(piece.len())?;
                return Err(error);
            }
        }
        match &mut self.state {
            State::Body { header, body, .. } => {
                if piece.len() > header.length - body.len() {
                    return Err(split(
                        header.stream,
                        "bytes follow a large message in its segment",
                    ));
                }
                body.extend_from_slice(&piece);
                Ok(())
            }
            State::Skip { .. } | State::Start => self.pass_over(piece.len()),
        }
    }

    /// Passes over a piece of a body that is not wanted.
    fn pass_over(&mut self, piece: usize) -> Result<(), FrameError> {
        if let State::Skip { left } = &mut self.state {
            *left = left
                .checked_sub(piece)
                .ok_or_else(|| split(0, "bytes follow a large message in its segment"))?;
            if *left == 0 {
                self.state = State::Start;
            }
        }
        Ok(())
    }

    /// Begins the envelope of a header that was just taken.
    fn begin(&mut self, raw: RawHeader) -> Result<(), FrameError> {
        match self.check(raw) {
            Ok(header) => {
                self.state = State::Body {
                    header,
                    body: BytesMut::new(),
                    plain: 0,
                    allowed: false,
                };
                Ok(())
            }
            Err(error) => {
                self.state = State::Skip {
                    left: raw.length as usize,
                };
                Err(error)
            }
        }
    }

    /// Checks a header.
    fn check(&self, raw: RawHeader) -> Result<Header, FrameError> {
        let error = |kind| FrameError {
            stream: raw.stream,
            kind,
        };
        let number = raw.version & !RESPONSE_BIT;
        let version = Version::from_number(number).ok_or_else(|| error(FrameErrorKind::Version(number)))?;
        let is_response = raw.version & RESPONSE_BIT != 0;
        if is_response != (self.direction == Direction::Responses) {
            return Err(error(FrameErrorKind::Direction));
        }
        if let Some(expected) = self.version.filter(|&expected| expected != version) {
            let (expected, found) = (expected.number(), number);
            return Err(error(FrameErrorKind::VersionChanged { expected, found }));
        }
        let length = raw.length as usize;
        if length > PROTOCOL_MAX_BODY_BYTES {
            return Err(error(FrameErrorKind::Length(raw.length)));
        }
        if length > self.max_body {
            return Err(error(FrameErrorKind::TooLarge {
                length,
                limit: self.max_body,
            }));
        }
        let opcode =
            Opcode::from_code(raw.opcode).ok_or_else(|| error(FrameErrorKind::Opcode(raw.opcode)))?;
        Ok(Header {
            version,
            opcode,
            flags: raw.flags,
            stream: raw.stream,
            length,
        })
    }

    /// Joins header and body, and decompresses what v4 compressed.
    fn open(&self, header: Header, body: Bytes) -> Result<Envelope, FrameError> {
        let Header {
            version,
            opcode,
            flags,
            stream,
            ..
        } = header;
        let compressed = version == Version::V4 && flags.has(Flags::COMPRESSED);
        let body = if compressed {
            let error = |kind| FrameError { stream, kind };
            let compression = self
                .compression
                .ok_or_else(|| error(FrameErrorKind::NotNegotiated))?;
            compression
                .decompress_body(&body, self.max_body)
                .map_err(|cause| error(FrameErrorKind::Decompress(cause)))?
        } else {
            body
        };
        Ok(Envelope {
            version,
            flags,
            stream,
            opcode,
            body,
        })
    }
}

/// What a body of v4 decompresses to, as far as has arrived; 0 if it is not compressed, or if nothing would
/// be allocated for it because it is damaged or beyond `limit`.
fn plain_length(header: Header, compression: Compression, input: &[u8], limit: usize) -> usize {
    let compressed = header.version == Version::V4 && header.flags.has(Flags::COMPRESSED);
    let begun = &input[..input.len().min(header.length)];
    compressed
        .then(|| compression.plain_length(begun))
        .flatten()
        .filter(|plain| *plain <= limit)
        .unwrap_or(0)
}

/// Versions 1 and 2 have a header of 8 bytes, so that one of them may never be followed by a ninth.
fn check_version_early(input: &BytesMut) -> Result<(), FrameError> {
    let Some(&[version, _, s0, s1]) = input.first_chunk() else {
        return Ok(());
    };
    let number = version & !RESPONSE_BIT;
    if Version::from_number(number).is_some() {
        return Ok(());
    }
    let stream = if number < 3 {
        i16::from(s0 as i8)
    } else {
        i16::from_be_bytes([s0, s1])
    };
    Err(FrameError {
        stream,
        kind: FrameErrorKind::Version(number),
    })
}

/// Takes a header from bytes that are known to hold one.
fn take_raw(input: &mut impl Buf) -> RawHeader {
    let mut header = [0; HEADER_BYTES];
    input.copy_to_slice(&mut header);
    RawHeader::from_bytes(header)
}

fn split(stream: i16, why: &'static str) -> FrameError {
    FrameError {
        stream,
        kind: FrameErrorKind::Split(why),
    }
}
