//! A node's data directory: made, locked, and laid out.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use starling_sstable::fs::{
    Fs,
    real::{DirectoryLock, RealFs},
};
use tracing::info;

use crate::store::{Layout, LayoutError, RootedFs};

/// Names the process that holds the directory, for the message to a second one.
const HOLDER_FILE: &str = "pid";

/// An open data directory: nobody else has it until this is dropped or the process ends.
pub struct DataDir {
    path: PathBuf,
    fs: Arc<dyn Fs>,
    layout: Layout,
    _lock: DirectoryLock,
}

/// Why a data directory can't be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It can't be made or opened.
    #[error("cannot use the data directory {path}: {source}; {advice}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// Another process has it.
    #[error(
        "the data directory {path} is in use by {holder}; stop that node or give another directory with --dir"
    )]
    Locked {
        /// Which.
        path: PathBuf,
        /// Who.
        holder: String,
    },
    /// Its layout.
    #[error("cannot use the data directory {path}: {source}")]
    Layout {
        /// Which.
        path: PathBuf,
        /// Why.
        source: LayoutError,
    },
}

impl DataDir {
    /// Opens the directory, making it if it does not exist. `shards` is for a new one: one that exists keeps
    /// its number.
    pub fn open(path: &Path, shards: u32, asked: bool) -> Result<Self, DataDirError> {
        let failed = |source| io_error(path, source);
        fs::create_dir_all(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock = DirectoryLock::acquire(&path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => DataDirError::Locked {
                path: path.clone(),
                holder: holder(&path),
            },
            _ => io_error(&path, source),
        })?;
        fs::write(path.join(HOLDER_FILE), std::process::id().to_string()).map_err(failed)?;
        let fs: Arc<dyn Fs> = Arc::new(RootedFs::new(path.clone(), Arc::new(RealFs)));
        let layout = Layout::open_or_create(&*fs, shards).map_err(|source| DataDirError::Layout {
            path: path.clone(),
            source,
        })?;
        if asked && layout.shards != shards {
            info!(
                kept = layout.shards,
                asked = shards,
                "the number of shards was fixed when the data directory was made, and is kept"
            );
        }
        Ok(Self {
            path,
            fs,
            layout,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory as a file system of its own.
    pub fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    /// What was fixed when it was made.
    pub fn layout(&self) -> Layout {
        self.layout
    }
}

fn io_error(path: &Path, source: io::Error) -> DataDirError {
    let advice = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "give this user the right to write there, or another directory with --dir"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "it is not a directory: give another one with --dir"
        }
        io::ErrorKind::StorageFull => "the disk is full: make room",
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: give another directory with --dir"
        }
        _ => "check the directory and the disk",
    };
    DataDirError::Io {
        path: path.to_owned(),
        source,
        advice,
    }
}

/// Who holds the lock, as far as is known.
fn holder(path: &Path) -> String {
    match fs::read_to_string(path.join(HOLDER_FILE)) {
        Ok(pid) if pid.trim().parse::<u32>().is_ok() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    }
}
