//! Requests (v5 section 4.1): reading and writing their bodies.

use bytes::Bytes;

use super::{
    event::EventKind,
    header::{Envelope, Flags, Opcode},
    malformed::Malformed,
    parameters,
    reader::Reader,
    version::Version,
    writer::Writer,
};
use crate::request::{BatchEntry, BatchKind, BatchRequest, QueryParameters, Statement, Value, Values};

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Begins a connection, with options by name: CQL_VERSION, COMPRESSION and others.
    Startup(Vec<(String, String)>),
    /// Asks what is supported.
    Options,
    /// A step of authentication.
    AuthResponse(Value),
    /// A statement as text.
    Query {
        /// The statement.
        query: String,
        /// What comes with it.
        parameters: QueryParameters,
    },
    /// A statement to keep.
    Prepare {
        /// The statement.
        query: String,
        /// The keyspace of unqualified names (v5).
        keyspace: Option<String>,
    },
    /// A prepared statement.
    Execute {
        /// What PREPARE gave.
        id: Bytes,
        /// The result metadata that the client knows (v5).
        result_id: Option<Bytes>,
        /// What comes with it.
        parameters: QueryParameters,
    },
    /// Several writes.
    Batch(BatchRequest),
    /// Asks for events.
    Register(Vec<EventKind>),
}

/// A request with what its header's flags add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFrame {
    /// Whether to trace it.
    pub tracing: bool,
    /// Bytes by name, for extensions. Starling has none, so it does nothing with it.
    pub custom_payload: Vec<(String, Value)>,
    /// The request.
    pub request: Request,
}

/// PREPARE has a keyspace (v5).
const PREPARE_KEYSPACE: i32 = 0x01;

impl From<Request> for RequestFrame {
    fn from(request: Request) -> Self {
        Self {
            tracing: false,
            custom_payload: Vec::new(),
            request,
        }
    }
}

impl RequestFrame {
    /// Reads an envelope that a client sent.
    pub fn decode(envelope: Envelope) -> Result<Self, Malformed> {
        let mut input = Reader::new(envelope.body);
        let custom_payload = if envelope.flags.has(Flags::CUSTOM_PAYLOAD) {
            input.bytes_map()?
        } else {
            Vec::new()
        };
        let request = Request::read(&mut input, envelope.version, envelope.opcode)?;
        Ok(Self {
            tracing: envelope.flags.has(Flags::TRACING),
            custom_payload,
            request,
        })
    }

    /// The header's flags.
    pub(super) fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        if self.tracing {
            flags.0 |= Flags::TRACING;
        }
        if !self.custom_payload.is_empty() {
            flags.0 |= Flags::CUSTOM_PAYLOAD;
        }
        flags
    }

    /// Writes the body.
    pub(super) fn write(&self, out: &mut Writer<'_>, version: Version) {
        if !self.custom_payload.is_empty() {
            out.bytes_map(&self.custom_payload);
        }
        self.request.write(out, version);
    }
}

impl Request {
    /// Its opcode.
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::Startup(_) => Opcode::Startup,
            Self::Options => Opcode::Options,
            Self::AuthResponse(_) => Opcode::AuthResponse,
            Self::Query { .. } => Opcode::Query,
            Self::Prepare { .. } => Opcode::Prepare,
            Self::Execute { .. } => Opcode::Execute,
            Self::Batch(_) => Opcode::Batch,
            Self::Register(_) => Opcode::Register,
        }
    }

    fn read(input: &mut Reader, version: Version, opcode: Opcode) -> Result<Self, Malformed> {
        let request = match opcode {
            Opcode::Startup => Self::Startup(input.string_map()?),
            // "The body should be empty"; what is in it has no meaning.
            Opcode::Options => return Ok(Self::Options),
            Opcode::AuthResponse => Self::AuthResponse(input.bytes()?),
            Opcode::Query => {
                let query = input.long_string()?;
                Self::Query {
                    query,
                    parameters: parameters::read(input, version)?,
                }
            }
            Opcode::Prepare => read_prepare(input, version)?,
            Opcode::Execute => {
                let id = input.short_bytes()?;
                let result_id = if version >= Version::V5 {
                    Some(input.short_bytes()?)
                } else {
                    None
                };
                Self::Execute {
                    id,
                    result_id,
                    parameters: parameters::read(input, version)?,
                }
            }
            Opcode::Batch => Self::Batch(read_batch(input, version)?),
            Opcode::Register => Self::Register(read_register(input)?),
            _ => return Err(Malformed::Forbidden("a response can't be sent to a server")),
        };
        input.end()?;
        Ok(request)
    }

    fn write(&self, out: &mut Writer<'_>, version: Version) {
        match self {
            Self::Startup(options) => out.string_map(options),
            Self::Options => {}
            Self::AuthResponse(token) => out.bytes(token),
            Self::Query { query, parameters } => {
                out.long_string(query);
                parameters::write(out, version, parameters);
            }
            Self::Prepare { query, keyspace } => write_prepare(out, version, query, keyspace.as_deref()),
            Self::Execute {
                id,
                result_id,
                parameters,
            } => {
                out.short_bytes(id);
                if version >= Version::V5 {
                    out.short_bytes(result_id.as_deref().unwrap_or_default());
                }
                parameters::write(out, version, parameters);
            }
            Self::Batch(batch) => write_batch(out, version, batch),
            Self::Register(kinds) => {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                out.string_list(&names);
            }
        }
    }
}

fn read_register(input: &mut Reader) -> Result<Vec<EventKind>, Malformed> {
    let names = input.string_list()?;
    names
        .iter()
        .map(|name| EventKind::named(name).ok_or_else(|| Malformed::unknown_name("event", name)))
        .collect()
}

fn read_prepare(input: &mut Reader, version: Version) -> Result<Request, Malformed> {
    let query = input.long_string()?;
    let flags = if version >= Version::V5 { input.int()? } else { 0 };
    if flags & !PREPARE_KEYSPACE != 0 {
        return Err(Malformed::Unknown {
            what: "set of prepare flags",
            code: flags as u32,
        });
    }
    let keyspace = if flags & PREPARE_KEYSPACE != 0 {
        Some(input.string()?)
    } else {
        None
    };
    Ok(Request::Prepare { query, keyspace })
}

fn write_prepare(out: &mut Writer<'_>, version: Version, query: &str, keyspace: Option<&str>) {
    out.long_string(query);
    match (version, keyspace) {
        (Version::V4, None) => {}
        (Version::V4, Some(_)) => out.fail("a keyspace (it needs v5), so the request"),
        (Version::V5, None) => out.int(0),
        (Version::V5, Some(keyspace)) => {
            out.int(PREPARE_KEYSPACE);
            out.string(keyspace);
        }
    }
}

fn read_batch(input: &mut Reader, version: Version) -> Result<BatchRequest, Malformed> {
    let kind = match input.byte()? {
        0 => BatchKind::Logged,
        1 => BatchKind::Unlogged,
        2 => BatchKind::Counter,
        code => {
            return Err(Malformed::Unknown {
                what: "kind of batch",
                code: code.into(),
            });
        }
    };
    let count = usize::from(input.short()?);
    // An entry takes at least its kind, a short length and a number of values.
    let mut entries = Vec::with_capacity(count.min(input.remaining() / 5));
    for _ in 0..count {
        let statement = match input.byte()? {
            0 => Statement::Text(input.long_string()?),
            1 => Statement::Prepared(input.short_bytes()?),
            code => {
                return Err(Malformed::Unknown {
                    what: "kind of batch entry",
                    code: code.into(),
                });
            }
        };
        entries.push(BatchEntry {
            statement,
            values: parameters::read_values(input, false)?,
        });
    }
    Ok(BatchRequest {
        kind,
        entries,
        parameters: parameters::read_batch(input, version)?,
    })
}

fn write_batch(out: &mut Writer<'_>, version: Version, batch: &BatchRequest) {
    out.byte(match batch.kind {
        BatchKind::Logged => 0,
        BatchKind::Unlogged => 1,
        BatchKind::Counter => 2,
    });
    out.short_count(batch.entries.len(), "a batch");
    for entry in &batch.entries {
        match &entry.statement {
            Statement::Text(query) => {
                out.byte(0);
                out.long_string(query);
            }
            Statement::Prepared(id) => {
                out.byte(1);
                out.short_bytes(id);
            }
        }
        if matches!(entry.values, Values::Named(_)) {
            out.fail("a batch with named values");
        }
        parameters::write_values(out, &entry.values);
    }
    parameters::write_batch(out, version, &batch.parameters);
}
