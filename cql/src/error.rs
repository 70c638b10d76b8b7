//! What a client is told when a request fails: the native protocol's errors, with their fields.

use std::{fmt, net::IpAddr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use starling_model::Consistency;

/// An error as the native protocol has it (v4 and v5, section 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The code and the fields that go with it.
    pub kind: ErrorKind,
    /// One sentence for a person: what happened, whether anything changed, what to do.
    pub message: String,
}

impl Error {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The statement can't be parsed. Nothing changed.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Syntax, message)
    }

    /// The statement is well-formed and can't be carried out. Nothing changed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// A feature of CQL that Starling does not have yet. Nothing changed.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::invalid(format!("{what} is not supported yet"))
    }

    /// A bug or a broken disk on the server.
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Server, message)
    }
}

/// A replica that failed, as clients are told of it (v5 section 9, Read_failure and Write_failure).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaFailure {
    /// Where its peers reach it.
    pub address: IpAddr,
    /// Why it failed.
    pub reason: FailureReason,
}

/// Why a replica failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// 0x0000: nothing that has a code.
    Unknown,
    /// 0x0001: it met too many tombstones.
    TooManyTombstones,
    /// 0x0002: it had no time left when its turn came.
    Timeout,
    /// 0x0003: it does not know the table as the coordinator does.
    IncompatibleSchema,
    /// 0x0004: the answer would have been too large.
    ReadSize,
    /// 0x0005: it does not serve requests now.
    NodeDown,
}

impl FailureReason {
    const ALL: [Self; 6] = [
        Self::Unknown,
        Self::TooManyTombstones,
        Self::Timeout,
        Self::IncompatibleSchema,
        Self::ReadSize,
        Self::NodeDown,
    ];

    /// The code in the protocol.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The reason with a code; [`Unknown`](Self::Unknown) for one of a later release.
    pub fn from_code(code: u16) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Unknown)
    }
}

/// The kinds of error, with the fields that drivers act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// 0x0000: a bug or a broken disk on the server.
    Server,
    /// 0x000A: the client broke the protocol.
    Protocol,
    /// 0x0100: wrong credentials.
    BadCredentials,
    /// 0x1000: fewer replicas are alive than the level needs. Nothing was sent, nothing changed.
    Unavailable {
        /// The level that was asked for.
        consistency: Consistency,
        /// How many replicas it needs.
        required: u32,
        /// How many are alive.
        alive: u32,
    },
    /// 0x1001: too much is in flight already. Nothing changed; try again later or elsewhere.
    Overloaded,
    /// 0x1002: the node is starting or draining.
    Bootstrapping,
    /// 0x1003: a TRUNCATE failed on some replica.
    Truncate,
    /// 0x1100: too few replicas acknowledged in time. The write may be applied, now or later.
    WriteTimeout {
        /// The level that was asked for.
        consistency: Consistency,
        /// How many acknowledged.
        received: u32,
        /// How many were needed.
        required: u32,
        /// What kind of write it was.
        write_type: WriteType,
    },
    /// 0x1200: too few replicas answered in time.
    ReadTimeout {
        /// The level that was asked for.
        consistency: Consistency,
        /// How many answered.
        received: u32,
        /// How many were needed.
        required: u32,
        /// Whether the data itself, not only digests, had come.
        data_present: bool,
    },
    /// 0x1300: too many replicas failed to read.
    ReadFailure {
        /// The level that was asked for.
        consistency: Consistency,
        /// How many answered.
        received: u32,
        /// How many were needed.
        required: u32,
        /// How many failed.
        failures: u32,
        /// Which of them, and why, where that is known. Version 4 of the protocol does not carry it.
        reasons: Vec<ReplicaFailure>,
        /// Whether the data itself had come.
        data_present: bool,
    },
    /// 0x1500: too many replicas failed to write. The write may be applied on some.
    WriteFailure {
        /// The level that was asked for.
        consistency: Consistency,
        /// How many acknowledged.
        received: u32,
        /// How many were needed.
        required: u32,
        /// How many failed.
        failures: u32,
        /// Which of them, and why, where that is known. Version 4 of the protocol does not carry it.
        reasons: Vec<ReplicaFailure>,
        /// What kind of write it was.
        write_type: WriteType,
    },
    /// 0x2000: the statement can't be parsed.
    Syntax,
    /// 0x2100: the user may not do this.
    Unauthorized,
    /// 0x2200: the statement can't be carried out.
    Invalid,
    /// 0x2300: a setting in the statement is wrong.
    Config,
    /// 0x2400: what was to be created exists.
    AlreadyExists {
        /// The keyspace.
        keyspace: String,
        /// The table, empty if the keyspace itself exists.
        table: String,
    },
    /// 0x2500: the node does not know the prepared statement; prepare it again.
    Unprepared {
        /// The id that is unknown.
        id: Bytes,
    },
}

impl ErrorKind {
    /// The code of the native protocol.
    pub fn code(&self) -> u32 {
        match self {
            Self::Server => 0x0000,
            Self::Protocol => 0x000A,
            Self::BadCredentials => 0x0100,
            Self::Unavailable { .. } => 0x1000,
            Self::Overloaded => 0x1001,
            Self::Bootstrapping => 0x1002,
            Self::Truncate => 0x1003,
            Self::WriteTimeout { .. } => 0x1100,
            Self::ReadTimeout { .. } => 0x1200,
            Self::ReadFailure { .. } => 0x1300,
            Self::WriteFailure { .. } => 0x1500,
            Self::Syntax => 0x2000,
            Self::Unauthorized => 0x2100,
            Self::Invalid => 0x2200,
            Self::Config => 0x2300,
            Self::AlreadyExists { .. } => 0x2400,
            Self::Unprepared { .. } => 0x2500,
        }
    }
}

/// What kind of write timed out or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteType {
    /// One statement.
    Simple,
    /// A logged batch of several mutations, which is kept: it is applied in full sooner or later, unless all who keep it are hindered
    /// for as long as hints are kept. Then it may stay written in part.
    Batch,
    /// An unlogged batch: each part on its own.
    UnloggedBatch,
    /// A counter.
    Counter,
    /// Having a logged batch kept: nothing of it was written, but who keeps it may still apply it in full.
    BatchLog,
}

impl WriteType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "SIMPLE",
            Self::Batch => "BATCH",
            Self::UnloggedBatch => "UNLOGGED_BATCH",
            Self::Counter => "COUNTER",
            Self::BatchLog => "BATCH_LOG",
        }
    }
}
