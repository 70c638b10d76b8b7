//! What goes wrong, as a caller needs to know it: the kind, whether state may have changed, and a sentence.

use std::{error::Error as StdError, fmt, sync::Arc};

use starling_cql as cql;

/// An error of the client or of the server.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    outcome: Outcome,
    message: String,
    source: Option<Source>,
}

#[derive(Debug, Clone)]
enum Source {
    Server(Box<cql::Error>),
    Other(Arc<dyn StdError + Send + Sync>),
}

/// What kind of error it is: what a caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Fewer replicas are alive than the consistency level needs. Wait, or ask for a lower level.
    Unavailable,
    /// No answer in time, from the node or from its replicas. See [`Error::outcome`].
    Timeout,
    /// Too much is in flight, here or at the node. Try again later, or with fewer requests at once.
    Overloaded,
    /// The statement can't be parsed or can't be carried out. Trying again is no use.
    Invalid,
    /// What was to be created exists.
    AlreadyExists,
    /// The user may not do this.
    Unauthorized,
    /// A value does not fit its column, or a column its Rust type.
    Type,
    /// No node could be reached, or the connection broke. See [`Error::outcome`].
    Connection,
    /// The other side broke the protocol, or speaks a version that this client doesn't.
    Protocol,
    /// Replicas or the coordinator failed: a bug or a broken disk.
    Server,
    /// The session was closed.
    Closed,
    /// A setting of the client makes no sense or can't be used (a CA file that can't be read).
    Config,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "Unavailable",
            Self::Timeout => "Timeout",
            Self::Overloaded => "Overloaded",
            Self::Invalid => "Invalid",
            Self::AlreadyExists => "AlreadyExists",
            Self::Unauthorized => "Unauthorized",
            Self::Type => "Type",
            Self::Connection => "Connection",
            Self::Protocol => "Protocol",
            Self::Server => "Server",
            Self::Closed => "Closed",
            Self::Config => "Config",
        })
    }
}

/// Whether a request that failed may have changed anything in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Certainly not: the request did not leave, or was refused before anything was done.
    NotApplied,
    /// A write may be applied, on some replicas or on all, now or later.
    Unknown,
}

impl Error {
    /// An error after which nothing has changed.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            outcome: Outcome::NotApplied,
            message: message.into(),
            source: None,
        }
    }

    /// An error after which a write may be applied.
    pub(crate) fn unknown(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Unknown,
            ..Self::new(kind, message)
        }
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Source::Other(Arc::new(source)));
        self
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn types(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Type, message)
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the session is closed; nothing was sent")
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the request may have changed anything.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The server's own error with all its fields, if the error came from a server.
    pub fn server(&self) -> Option<&cql::Error> {
        match &self.source {
            Some(Source::Server(error)) => Some(error),
            _ => None,
        }
    }

    /// The id of the prepared statement that the node does not know, if that is the error.
    pub(crate) fn is_unprepared(&self) -> bool {
        self.server()
            .is_some_and(|error| matches!(error.kind, cql::ErrorKind::Unprepared { .. }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(Source::Other(error)) => Some(&**error),
            // The server's error is this error, not a cause below it.
            Some(Source::Server(_)) | None => None,
        }
    }
}

impl From<cql::Error> for Error {
    fn from(error: cql::Error) -> Self {
        let (kind, outcome) = classify(&error.kind);
        Self {
            kind,
            outcome,
            message: error.message.clone(),
            source: Some(Source::Server(Box::new(error))),
        }
    }
}

/// What the server's kinds mean to a caller.
fn classify(kind: &cql::ErrorKind) -> (ErrorKind, Outcome) {
    use cql::ErrorKind as Wire;
    match kind {
        Wire::Server | Wire::Truncate => (ErrorKind::Server, Outcome::Unknown),
        Wire::Protocol => (ErrorKind::Protocol, Outcome::NotApplied),
        Wire::BadCredentials | Wire::Unauthorized => (ErrorKind::Unauthorized, Outcome::NotApplied),
        Wire::Unavailable { .. } => (ErrorKind::Unavailable, Outcome::NotApplied),
        Wire::Overloaded | Wire::Bootstrapping => (ErrorKind::Overloaded, Outcome::NotApplied),
        // Also of a batch that too few nodes keep: one that does may not hear that it was given up, and carry it out.
        Wire::WriteTimeout { .. } => (ErrorKind::Timeout, Outcome::Unknown),
        Wire::ReadTimeout { .. } => (ErrorKind::Timeout, Outcome::NotApplied),
        Wire::ReadFailure { .. } => (ErrorKind::Server, Outcome::NotApplied),
        Wire::WriteFailure { .. } => (ErrorKind::Server, Outcome::Unknown),
        Wire::Syntax | Wire::Invalid | Wire::Config | Wire::Unprepared { .. } => {
            (ErrorKind::Invalid, Outcome::NotApplied)
        }
        Wire::AlreadyExists { .. } => (ErrorKind::AlreadyExists, Outcome::NotApplied),
    }
}
