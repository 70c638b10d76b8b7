//! What a connection knows of its client, and what it does with each message: no I/O.

use std::collections::BTreeSet;

use starling_cql::{
    Error, ErrorKind, Statement,
    protocol::{Envelope, EventKind, Opcode, Request, RequestFrame, Response, ResponseFrame, Version},
};

use super::{
    handshake::{self, Agreement},
    job::Work,
};

/// A client's state.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What STARTUP agreed on.
    agreement: Option<Agreement>,
    /// What USE chose.
    keyspace: Option<String>,
    /// What REGISTER asked for.
    events: BTreeSet<EventKind>,
}

/// What is to be done about a message.
#[derive(Debug)]
pub(super) enum Step {
    /// Answer it.
    Reply(ResponseFrame),
    /// Answer READY; then what was agreed on holds.
    Begin(Version, Agreement),
    /// Answer READY, and send events from now on.
    Register,
    /// Carry it out.
    Start {
        /// What.
        work: Work,
        /// Whether to trace it.
        tracing: bool,
    },
}

impl Session {
    /// Whether the handshake is done.
    pub(super) fn is_open(&self) -> bool {
        self.agreement.is_some()
    }

    /// Whether the client wants errors rather than to wait.
    pub(super) fn refuses_on_overload(&self) -> bool {
        self.agreement
            .is_some_and(|agreement| agreement.refuse_on_overload)
    }

    /// Whether the client asked for such events.
    pub(super) fn wants(&self, kind: EventKind) -> bool {
        self.events.contains(&kind)
    }

    /// USE was carried out.
    pub(super) fn set_keyspace(&mut self, keyspace: String) {
        self.keyspace = Some(keyspace);
    }

    /// Decides about a message.
    pub(super) fn step(&mut self, envelope: Envelope) -> Result<Step, Error> {
        let (version, opcode) = (envelope.version, envelope.opcode);
        if envelope.stream < 0 {
            return Err(protocol_error("A request's stream id can't be negative"));
        }
        self.check_order(opcode)?;
        let RequestFrame { tracing, request, .. } = RequestFrame::decode(envelope)?;
        match request {
            Request::Options => Ok(Step::Reply(handshake::supported(version).into())),
            Request::Startup(options) => {
                let agreement = handshake::agree(&options, version)?;
                self.agreement = Some(agreement);
                Ok(Step::Begin(version, agreement))
            }
            Request::AuthResponse(_) => Err(protocol_error(
                "Unexpected AUTH_RESPONSE: this server asks for no authentication",
            )),
            Request::Register(kinds) => {
                self.events.extend(kinds);
                Ok(Step::Register)
            }
            Request::Prepare { query, keyspace } => {
                let keyspace = self.keyspace_or(keyspace);
                Ok(start(Work::Prepare { query, keyspace }, tracing))
            }
            Request::Query {
                query,
                mut parameters,
            } => {
                parameters.keyspace = self.keyspace_or(parameters.keyspace);
                let statement = Statement::Text(query);
                Ok(start(
                    Work::Execute {
                        statement,
                        parameters,
                        known_metadata: None,
                    },
                    tracing,
                ))
            }
            // A prepared statement has its keyspace from when it was prepared.
            Request::Execute {
                id,
                result_id,
                parameters,
            } => {
                let statement = Statement::Prepared(id);
                Ok(start(
                    Work::Execute {
                        statement,
                        parameters,
                        known_metadata: result_id,
                    },
                    tracing,
                ))
            }
            Request::Batch(mut batch) => {
                batch.parameters.keyspace = self.keyspace_or(batch.parameters.keyspace);
                Ok(start(Work::Batch(batch), tracing))
            }
        }
    }

    /// The keyspace that a message names, or else the connection's.
    fn keyspace_or(&self, named: Option<String>) -> Option<String> {
        named.or_else(|| self.keyspace.clone())
    }

    fn check_order(&self, opcode: Opcode) -> Result<(), Error> {
        match opcode {
            Opcode::Options => Ok(()),
            Opcode::Startup if self.is_open() => Err(protocol_error(
                "Unexpected STARTUP: the connection is open already",
            )),
            Opcode::Startup => Ok(()),
            _ if self.is_open() => Ok(()),
            other => {
                let message = format!("Unexpected {}, expecting STARTUP or OPTIONS", other.name());
                Err(Error::new(ErrorKind::Protocol, message))
            }
        }
    }
}

fn start(work: Work, tracing: bool) -> Step {
    Step::Start { work, tracing }
}

fn protocol_error(message: &str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

/// READY.
pub(super) fn ready() -> ResponseFrame {
    Response::Ready.into()
}
