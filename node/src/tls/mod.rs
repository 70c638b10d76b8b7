//! Who may speak to whom: a cluster's own certificate authority, the nodes' certificates, and the TLS
//! settings that follow from them.
//!
//! Every node holds a certificate that the cluster's authority signed. Nodes prove themselves to each
//! other with it (mutual TLS); native clients check it and show none of their own.

mod authority;
mod credentials;
mod files;

pub use authority::{Authority, NodeCertificate};
pub use credentials::{Credentials, NODE_SERVER_NAME, PEER_ALPN};
pub use files::TlsFiles;

use std::{io, path::PathBuf};

#[cfg(test)]
mod tests;

/// Why certificates can't be made or used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read or written.
    #[error("cannot {verb} {path}: {source}; check that the path and its rights are correct")]
    File {
        /// "read" or "write".
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file exists that a command would overwrite.
    #[error("{0} exists already and is left as it is; remove it first if you really want a new one")]
    Exists(PathBuf),
    /// A file's content is not what it should be.
    #[error(
        "{path} holds no usable {what}: {reason}; make a new one with `starling ca init` or `starling ca issue`"
    )]
    Content {
        /// Which file.
        path: PathBuf,
        /// "certificate" or "key".
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate library refused.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

impl TlsError {
    fn content(path: &std::path::Path, what: &'static str, reason: impl ToString) -> Self {
        Self::Content {
            path: path.to_owned(),
            what,
            reason: reason.to_string(),
        }
    }
}
