//! A body that is not what its opcode says.

use crate::error::{Error, ErrorKind};

/// Why a body can't be read. The connection is still in step: only this message is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body ends before its content does.
    #[error("the message ends too early, in {0}")]
    Truncated(&'static str),
    /// Bytes follow the content.
    #[error("{0} bytes follow the end of the message")]
    Trailing(usize),
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A length is negative or larger than what it measures can be.
    #[error("{what} has an impossible length of {length}")]
    Length {
        /// What it measures.
        what: &'static str,
        /// The length.
        length: i64,
    },
    /// A code that the protocol does not define.
    #[error("{code:#x} is not a known {what}")]
    Unknown {
        /// What kind of code.
        what: &'static str,
        /// The code.
        code: u32,
    },
    /// A name that the protocol does not define.
    #[error("'{name}' is not a known {what}")]
    UnknownName {
        /// What kind of name.
        what: &'static str,
        /// The name, shortened.
        name: String,
    },
    /// Types nested too deeply.
    #[error("a type is nested more than {0} levels deep")]
    TooDeep(usize),
    /// Something that the protocol defines and forbids here.
    #[error("{0}")]
    Forbidden(&'static str),
}

impl Malformed {
    /// An unknown name, cut to a length that suits a message.
    pub(crate) fn unknown_name(what: &'static str, name: &str) -> Self {
        Self::UnknownName {
            what,
            name: name.chars().take(64).collect(),
        }
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(ErrorKind::Protocol, format!("{malformed}; nothing was done"))
    }
}
