//! Where certificates and keys lie, and with which rights.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::TlsError;

/// The three files a node needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The cluster's authority: its certificate.
    pub ca: PathBuf,
    /// The node's certificate.
    pub certificate: PathBuf,
    /// The node's private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The names under which `starling ca issue` puts a node's files into a directory.
    pub fn in_directory(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            certificate: dir.join("node.pem"),
            key: dir.join("node.key"),
        }
    }
}

/// Reads a text file.
pub(super) fn read(path: &Path) -> Result<String, TlsError> {
    fs::read_to_string(path).map_err(|source| TlsError::File {
        verb: "read",
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that only its owner may read (0600). A file that exists is an error, so that no command
/// can replace the authority of a living cluster.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), TlsError> {
    let write = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => TlsError::Exists(path.to_owned()),
        _ => TlsError::File {
            verb: "write",
            path: path.to_owned(),
            source,
        },
    })
}
