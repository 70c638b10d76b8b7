//! The demo's directory.
//!
//! A given one is kept, a temporary one goes with the demo. A demo that is killed can't remove its own: the next
//! one does. Whoever uses a directory holds a lock in it, which the system releases with the process: a temporary
//! directory is removed only if neither its demo nor any of its nodes, which a user may have started again by
//! hand, holds theirs. A new one gets the name that is looked for only once it is locked.

use std::{
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use starling_sstable::fs::real::{DirectoryLock, LOCK_FILE};

use crate::failure::Failure;

/// How the names of temporary directories begin.
const PREFIX: &str = "starling-demo-";

/// How they begin until they are locked.
const UNLOCKED_PREFIX: &str = "starling-new-demo-";

/// Where a demo keeps everything, locked while this lives.
pub(super) struct Directory {
    path: PathBuf,
    temporary: bool,
    /// Another demo would write its own addresses into this one's configuration.
    lock: Option<DirectoryLock>,
}

impl Directory {
    /// The given directory, made if it does not exist; or a new temporary one, after those of dead demos are
    /// removed.
    pub(super) fn open(given: Option<PathBuf>) -> Result<Self, Failure> {
        let Some(path) = given else {
            return Self::temporary_in(&env::temp_dir()).map_err(|error| {
                Failure::work(format!(
                    "cannot make a temporary directory: {error}; give one with --dir"
                ))
            });
        };
        let failed = |error: io::Error| {
            Failure::work(format!(
                "cannot use the directory {}: {error}; give another one with --dir",
                path.display()
            ))
        };
        fs::create_dir_all(&path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock = DirectoryLock::acquire(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Failure::work(format!(
                "the directory {} is in use by another demo; stop that one or give another directory with --dir",
                path.display()
            )),
            _ => failed(error),
        })?;
        Ok(Self {
            path,
            temporary: false,
            lock: Some(lock),
        })
    }

    pub(super) fn temporary_in(parent: &Path) -> io::Result<Self> {
        let made = tempfile::Builder::new()
            .prefix(UNLOCKED_PREFIX)
            .tempdir_in(parent)?;
        remove_stale(parent, made.path());
        let lock = DirectoryLock::acquire(made.path())?;
        let unlocked = made.path().to_string_lossy();
        let path = PathBuf::from(unlocked.replace(UNLOCKED_PREFIX, PREFIX));
        fs::rename(made.path(), &path)?;
        // Its name is another one now, and it is ours to remove.
        let _ = made.keep();
        Ok(Self {
            path,
            temporary: true,
            lock: Some(lock),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!(
                "starling: cannot remove {}: {error}; remove it by hand",
                self.path.display()
            );
        }
        self.lock = None;
    }
}

/// Removes what killed demos of this user left in `parent`. `own` was just made, by this user.
fn remove_stale(parent: &Path, own: &Path) {
    let (Ok(entries), Ok(own)) = (fs::read_dir(parent), fs::symlink_metadata(own)) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Others may write to the parent too: no link is followed, and nobody else's directory is entered.
        let ours =
            || fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == own.uid());
        if !named || !ours() {
            continue;
        }
        let Some(_locks) = lock_all(&path) else {
            continue;
        };
        match fs::remove_dir_all(&path) {
            Ok(()) => eprintln!(
                "starling: removed {}, left by a demo that was killed",
                path.display()
            ),
            Err(error) => eprintln!(
                "starling: cannot remove {}, left by a demo that was killed: {error}; remove it by hand",
                path.display()
            ),
        }
    }
}

/// The locks of a demo's directory and of its nodes' data; `None` if one of them is held, or can't be tried.
fn lock_all(path: &Path) -> Option<Vec<DirectoryLock>> {
    // Without the file it was never a demo's, or is being removed by another one.
    if !path.join(LOCK_FILE).exists() {
        return None;
    }
    let mut locks = vec![DirectoryLock::acquire(path).ok()?];
    for node in fs::read_dir(path).ok()?.flatten() {
        let data = node.path().join("data");
        if data.is_dir() {
            locks.push(DirectoryLock::acquire(&data).ok()?);
        }
    }
    Some(locks)
}
