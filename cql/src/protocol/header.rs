//! The envelope: a message with its 9-byte header (v5 section 2.1, v4 section 2).
//!
//! ```text
//! 0      version; the top bit is set in responses
//! 1      flags
//! 2..4   stream, signed, big-endian
//! 4      opcode
//! 5..9   length of the body, big-endian
//! ```

use bytes::Bytes;

use super::version::Version;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 9;

/// The longest body that the protocol allows, in bytes: 256 MiB.
pub const PROTOCOL_MAX_BODY_BYTES: usize = 256 << 20;

/// Set in the version byte of responses.
pub const RESPONSE_BIT: u8 = 0x80;

/// The flags of a header. Unknown bits are kept and have no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// The body is compressed (v4 only; v5 ignores it).
    pub const COMPRESSED: u8 = 0x01;
    /// Request: trace this. Response: the body begins with the trace's id.
    pub const TRACING: u8 = 0x02;
    /// The body has a custom payload: a map of bytes by name.
    pub const CUSTOM_PAYLOAD: u8 = 0x04;
    /// Response: the body has a list of warnings.
    pub const WARNING: u8 = 0x08;
    /// The client accepts a version that is in beta. No version here is.
    pub const USE_BETA: u8 = 0x10;

    /// Whether a bit is set.
    pub fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Response: the request failed.
    Error = 0x00,
    /// Request: begins a connection.
    Startup = 0x01,
    /// Response: the connection is open.
    Ready = 0x02,
    /// Response: who are you?
    Authenticate = 0x03,
    /// Request: what do you support?
    Options = 0x05,
    /// Response: to OPTIONS.
    Supported = 0x06,
    /// Request: a statement as text.
    Query = 0x07,
    /// Response: the statement's outcome.
    Result = 0x08,
    /// Request: parse and keep a statement.
    Prepare = 0x09,
    /// Request: a prepared statement with its values.
    Execute = 0x0A,
    /// Request: tell me of events.
    Register = 0x0B,
    /// Response, unasked: an event.
    Event = 0x0C,
    /// Request: several writes.
    Batch = 0x0D,
    /// Response: a step of authentication.
    AuthChallenge = 0x0E,
    /// Request: a step of authentication.
    AuthResponse = 0x0F,
    /// Response: authentication is done.
    AuthSuccess = 0x10,
}

impl Opcode {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Error,
        Self::Startup,
        Self::Ready,
        Self::Authenticate,
        Self::Options,
        Self::Supported,
        Self::Query,
        Self::Result,
        Self::Prepare,
        Self::Execute,
        Self::Register,
        Self::Event,
        Self::Batch,
        Self::AuthChallenge,
        Self::AuthResponse,
        Self::AuthSuccess,
    ];

    /// The opcode with a code; `None` for one that the protocol does not define.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|opcode| *opcode as u8 == code)
    }

    /// Whether clients send it.
    pub fn is_request(self) -> bool {
        matches!(
            self,
            Self::Startup
                | Self::Options
                | Self::Query
                | Self::Prepare
                | Self::Execute
                | Self::Register
                | Self::Batch
                | Self::AuthResponse
        )
    }

    /// Its name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Startup => "STARTUP",
            Self::Ready => "READY",
            Self::Authenticate => "AUTHENTICATE",
            Self::Options => "OPTIONS",
            Self::Supported => "SUPPORTED",
            Self::Query => "QUERY",
            Self::Result => "RESULT",
            Self::Prepare => "PREPARE",
            Self::Execute => "EXECUTE",
            Self::Register => "REGISTER",
            Self::Event => "EVENT",
            Self::Batch => "BATCH",
            Self::AuthChallenge => "AUTH_CHALLENGE",
            Self::AuthResponse => "AUTH_RESPONSE",
            Self::AuthSuccess => "AUTH_SUCCESS",
        }
    }
}

/// A message, its body still bytes (and no longer compressed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The version it is written in.
    pub version: Version,
    /// Its flags; [`Flags::COMPRESSED`] may be set though the body is plain now.
    pub flags: Flags,
    /// Which request it is or answers; negative for events.
    pub stream: i16,
    /// What it is.
    pub opcode: Opcode,
    /// Its content.
    pub body: Bytes,
}

/// A header as it stands in the bytes, nothing checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawHeader {
    /// Version and direction.
    pub version: u8,
    /// Flags.
    pub flags: Flags,
    /// Stream.
    pub stream: i16,
    /// Opcode.
    pub opcode: u8,
    /// Length of the body in bytes, signed in the specification.
    pub length: u32,
}

impl RawHeader {
    /// Splits the bytes.
    pub fn from_bytes(bytes: [u8; HEADER_BYTES]) -> Self {
        let [version, flags, s0, s1, opcode, l0, l1, l2, l3] = bytes;
        Self {
            version,
            flags: Flags(flags),
            stream: i16::from_be_bytes([s0, s1]),
            opcode,
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        }
    }

    /// Joins them.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [s0, s1] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [self.version, self.flags.0, s0, s1, self.opcode, l0, l1, l2, l3]
    }
}
