//! What is fixed when a data directory is made.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use starling_sstable::fs::Fs;

/// The file in the data directory that holds it.
const FILE: &str = "layout.toml";

/// The version of the directory's layout that this build reads and writes.
const VERSION: u32 = 1;

/// How a data directory is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The version of this description.
    pub version: u32,
    /// How many shards there are, 1 to 1024.
    pub shards: u32,
}

/// Why the layout of a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The disk.
    #[error("cannot read or write {FILE} in the data directory: {0}; check the rights and the disk")]
    Io(#[from] io::Error),
    /// The file is damaged.
    #[error("{FILE} in the data directory is damaged ({0}); restore it, or start with an empty directory")]
    Damaged(String),
    /// A newer release made it.
    #[error(
        "the data directory has layout version {0}, and this release knows version {VERSION}; use a newer release"
    )]
    Newer(u32),
}

impl Layout {
    /// Reads the layout of the directory that is the root of `fs`, or makes one of `shards` shards if there
    /// is none yet.
    pub fn open_or_create(fs: &dyn Fs, shards: u32) -> Result<Self, LayoutError> {
        let path = Path::new(FILE);
        if fs.exists(path)? {
            return Self::parse(&fs.read(path)?);
        }
        let layout = Self {
            version: VERSION,
            shards,
        };
        let text = toml::to_string(&layout).map_err(|error| LayoutError::Damaged(error.to_string()))?;
        let fresh = Path::new("layout.toml.new");
        let mut file = fs.create(fresh)?;
        file.append(text.as_bytes())?;
        file.sync()?;
        fs.rename(fresh, path)?;
        fs.sync_dir(Path::new(""))?;
        Ok(layout)
    }

    fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let damaged = |error: &dyn ToString| LayoutError::Damaged(error.to_string());
        let text = std::str::from_utf8(bytes).map_err(|error| damaged(&error))?;
        let layout: Self = toml::from_str(text).map_err(|error| damaged(&error.message()))?;
        if layout.version > VERSION {
            return Err(LayoutError::Newer(layout.version));
        }
        if !(1..=1024).contains(&layout.shards) {
            return Err(damaged(&format!("{} shards", layout.shards)));
        }
        Ok(layout)
    }
}
