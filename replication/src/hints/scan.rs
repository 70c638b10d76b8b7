//! The hints that an earlier run left.
//!
//! Nothing here keeps a node from starting. What can't be read is set aside, counted and logged, and the rest is delivered.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use starling_model::NodeId;
use starling_sstable::fs::Fs;

use super::{
    progress::Progress,
    store::{Closed, DIR, Segments, net, path_in},
};
use crate::status::Counters;

/// The segments of each target. Their content is not read.
pub(super) fn scan(fs: &dyn Fs, counters: &Counters) -> BTreeMap<NodeId, Segments> {
    let mut targets = BTreeMap::new();
    for dir in list(fs, Path::new(DIR), counters) {
        let Some(id) = file_name(&dir).and_then(parse_uuid) else {
            continue;
        };
        let id = NodeId(id);
        let mut segments = find(fs, id, counters);
        if segments.closed.is_empty()
            && let Err(error) = segments.remove_empty_dir(fs)
        {
            ::tracing::warn!(%error, dir = %segments.dir.display(), "an empty directory of hints stays");
        }
        targets.insert(id, segments);
    }
    targets
}

/// A target's segments.
fn find(fs: &dyn Fs, id: NodeId, counters: &Counters) -> Segments {
    let mut segments = Segments::new(id);
    let dir = segments.dir.clone();
    for file in list(fs, &dir, counters) {
        if file.extension().is_some_and(|extension| extension == "new") {
            // Left behind by a rewrite that was interrupted.
            if let Err(error) = fs.remove(&file) {
                ::tracing::warn!(%error, file = %file.display(), "a file that nobody needs stays");
            }
            continue;
        }
        let number = file_name(&file).and_then(|name| u64::from_str_radix(name, 16).ok());
        let Some(number) = number.filter(|number| path_in(&dir, *number) == file) else {
            // The progress, or what was set aside: its number is not used again while it is there.
            let stem = file.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok());
            segments.next = segments.next.max(number.map_or(1, |number| number + 1));
            continue;
        };
        segments.next = segments.next.max(number + 1);
        segments.closed.push_back(Closed {
            number,
            // Mapped for its length: that reads nothing. If it fails, so will reading, which says what to do then.
            bytes: net(fs.map(&file).map_or(0, |map| map.len() as u64)),
            may_be_torn: false,
            reported: Vec::new(),
        });
    }
    segments.progress = Progress::load(fs, &dir);
    // A number is never used again while the progress speaks of it.
    segments.next = segments.next.max(segments.progress.number + 1);
    segments
        .closed
        .make_contiguous()
        .sort_unstable_by_key(|closed| closed.number);
    if let Some(last) = segments.closed.back_mut() {
        last.may_be_torn = true;
    }
    segments
}

/// What is in a directory. One that can't be read is set aside: nothing then, and a new one is made.
fn list(fs: &dyn Fs, dir: &Path, counters: &Counters) -> Vec<PathBuf> {
    match fs.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            counters.hints_damaged.one();
            let aside = dir.with_extension("unreadable");
            let renamed = fs.rename(dir, &aside);
            ::tracing::error!(
                %error, ?renamed, dir = %dir.display(), aside = %aside.display(),
                "a directory of hints can't be read and is set aside: repair brings what is in it; it can be deleted"
            );
            Vec::new()
        }
    }
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn parse_uuid(text: &str) -> Option<u128> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    (hex.len() == 32).then(|| u128::from_str_radix(&hex, 16).ok())?
}
