//! What is wrong with a disk, or missing from it after a restart.

use std::path::Path;

use super::Bug;
use crate::disk::Disk;

/// Makes a new disk one that has the bug.
pub(crate) fn spoil(bug: Option<Bug>, disk: &Disk) {
    match bug {
        Some(Bug::SkipSync) => disk.ignore_syncs(true, false),
        Some(Bug::SkipDirectorySync) => disk.ignore_syncs(false, true),
        _ => {}
    }
}

/// Forgets what a node with the bug does not find again when it starts.
pub(crate) fn forget(bug: Option<Bug>, disk: &Disk) {
    let lost = match bug {
        Some(Bug::ForgetHints) => Path::new("hints"),
        Some(Bug::ForgetClock) => Path::new("node/clock"),
        _ => return,
    };
    let fs = disk.fs();
    for path in disk.paths().iter().filter(|path| path.starts_with(lost)) {
        // A disk that has just died keeps it; the node does not start then.
        let _ = fs.remove(path);
    }
}
