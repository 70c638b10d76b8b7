//! Responses (v5 section 4.2): reading and writing their bodies.

use bytes::Bytes;

use super::{
    error_body,
    event::{self, Event},
    header::{Envelope, Flags, Opcode},
    malformed::Malformed,
    prepared,
    reader::Reader,
    rows,
    version::Version,
    writer::Writer,
};
use crate::{
    error::Error,
    request::Value,
    result::{PreparedMetadata, QueryResult, Rows, SchemaChange},
};

const VOID: i32 = 1;
const ROWS: i32 = 2;
const SET_KEYSPACE: i32 = 3;
const PREPARED: i32 = 4;
const SCHEMA_CHANGE: i32 = 5;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// The request failed.
    Error(Error),
    /// The connection is open.
    Ready,
    /// The client must authenticate, with this class.
    Authenticate(String),
    /// What the server supports: lists by name.
    Supported(Vec<(String, Vec<String>)>),
    /// A statement's outcome.
    Result(ResultBody),
    /// An event.
    Event(Event),
    /// A step of authentication.
    AuthChallenge(Value),
    /// Authentication is done.
    AuthSuccess(Value),
}

/// The kinds of RESULT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultBody {
    /// Done.
    Void,
    /// Rows.
    Rows(RowsBody),
    /// The connection's keyspace is this now.
    SetKeyspace(String),
    /// A statement is prepared.
    Prepared(PreparedMetadata),
    /// The schema changed.
    SchemaChange(SchemaChange),
}

/// Rows, and how much of their metadata travels with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsBody {
    /// The rows.
    pub rows: Rows,
    /// The columns are left out, because the client knows them.
    pub skip_metadata: bool,
    /// The columns are not those that the client knows: their id (v5). Then they are never left out.
    pub new_metadata_id: Option<Bytes>,
}

/// A response with what its header's flags add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseFrame {
    /// The id of the request's trace.
    pub trace: Option<u128>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Bytes by name.
    pub custom_payload: Vec<(String, Value)>,
    /// The response.
    pub response: Response,
}

impl From<Response> for ResponseFrame {
    fn from(response: Response) -> Self {
        Self {
            trace: None,
            warnings: Vec::new(),
            custom_payload: Vec::new(),
            response,
        }
    }
}

impl From<Error> for ResponseFrame {
    fn from(error: Error) -> Self {
        Response::Error(error).into()
    }
}

impl From<QueryResult> for ResultBody {
    /// Rows get their full metadata.
    fn from(result: QueryResult) -> Self {
        match result {
            QueryResult::Void => Self::Void,
            QueryResult::Rows(rows) => Self::Rows(RowsBody {
                rows,
                skip_metadata: false,
                new_metadata_id: None,
            }),
            QueryResult::SetKeyspace(keyspace) => Self::SetKeyspace(keyspace),
            QueryResult::SchemaChange(change) => Self::SchemaChange(change),
        }
    }
}

impl ResponseFrame {
    /// Reads an envelope that a server sent.
    pub fn decode(envelope: Envelope) -> Result<Self, Malformed> {
        let Envelope {
            version,
            flags,
            opcode,
            body,
            ..
        } = envelope;
        let mut input = Reader::new(body);
        let trace = if flags.has(Flags::TRACING) {
            Some(input.uuid()?)
        } else {
            None
        };
        let warnings = if flags.has(Flags::WARNING) {
            input.string_list()?
        } else {
            Vec::new()
        };
        let custom_payload = if flags.has(Flags::CUSTOM_PAYLOAD) {
            input.bytes_map()?
        } else {
            Vec::new()
        };
        let response = Response::read(&mut input, version, opcode)?;
        input.end()?;
        Ok(Self {
            trace,
            warnings,
            custom_payload,
            response,
        })
    }

    /// The header's flags.
    pub(super) fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        for (set, flag) in [
            (self.trace.is_some(), Flags::TRACING),
            (!self.warnings.is_empty(), Flags::WARNING),
            (!self.custom_payload.is_empty(), Flags::CUSTOM_PAYLOAD),
        ] {
            if set {
                flags.0 |= flag;
            }
        }
        flags
    }

    /// Writes the body.
    pub(super) fn write(&self, out: &mut Writer<'_>, version: Version) {
        if let Some(trace) = self.trace {
            out.uuid(trace);
        }
        if !self.warnings.is_empty() {
            out.short_count(self.warnings.len(), "a list of warnings");
            for warning in &self.warnings {
                out.message(warning);
            }
        }
        if !self.custom_payload.is_empty() {
            out.bytes_map(&self.custom_payload);
        }
        self.response.write(out, version);
    }
}

impl Response {
    /// Its opcode.
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::Error(_) => Opcode::Error,
            Self::Ready => Opcode::Ready,
            Self::Authenticate(_) => Opcode::Authenticate,
            Self::Supported(_) => Opcode::Supported,
            Self::Result(_) => Opcode::Result,
            Self::Event(_) => Opcode::Event,
            Self::AuthChallenge(_) => Opcode::AuthChallenge,
            Self::AuthSuccess(_) => Opcode::AuthSuccess,
        }
    }

    fn read(input: &mut Reader, version: Version, opcode: Opcode) -> Result<Self, Malformed> {
        Ok(match opcode {
            Opcode::Error => Self::Error(error_body::read(input, version)?),
            Opcode::Ready => Self::Ready,
            Opcode::Authenticate => Self::Authenticate(input.string()?),
            Opcode::Supported => Self::Supported(input.string_multimap()?),
            Opcode::Result => Self::Result(ResultBody::read(input, version)?),
            Opcode::Event => Self::Event(Event::read(input)?),
            Opcode::AuthChallenge => Self::AuthChallenge(input.bytes()?),
            Opcode::AuthSuccess => Self::AuthSuccess(input.bytes()?),
            _ => return Err(Malformed::Forbidden("a request can't be sent to a client")),
        })
    }

    fn write(&self, out: &mut Writer<'_>, version: Version) {
        match self {
            Self::Error(error) => error_body::write(out, version, error),
            Self::Ready => {}
            Self::Authenticate(class) => out.string(class),
            Self::Supported(options) => out.string_multimap(options),
            Self::Result(result) => result.write(out, version),
            Self::Event(event) => event.write(out),
            Self::AuthChallenge(token) | Self::AuthSuccess(token) => out.bytes(token),
        }
    }
}

impl ResultBody {
    fn read(input: &mut Reader, version: Version) -> Result<Self, Malformed> {
        Ok(match input.int()? {
            VOID => Self::Void,
            ROWS => Self::Rows(rows::read(input, version)?),
            SET_KEYSPACE => Self::SetKeyspace(input.string()?),
            PREPARED => Self::Prepared(prepared::read(input, version)?),
            SCHEMA_CHANGE => Self::SchemaChange(event::read_schema_change(input)?),
            code => {
                return Err(Malformed::Unknown {
                    what: "kind of result",
                    code: code as u32,
                });
            }
        })
    }

    fn write(&self, out: &mut Writer<'_>, version: Version) {
        match self {
            Self::Void => out.int(VOID),
            Self::Rows(body) => {
                out.int(ROWS);
                rows::write(out, version, body);
            }
            Self::SetKeyspace(keyspace) => {
                out.int(SET_KEYSPACE);
                out.string(keyspace);
            }
            Self::Prepared(prepared) => {
                out.int(PREPARED);
                prepared::write(out, version, prepared);
            }
            Self::SchemaChange(change) => {
                out.int(SCHEMA_CHANGE);
                event::write_schema_change(out, change);
            }
        }
    }
}
