//! Which pages of a mapped file are in memory: none at first, then those that were loaded.

use std::{collections::BTreeSet, ops::Range};

use parking_lot::Mutex;
use starling_sstable::fs::Residency;

/// Bytes of a page. Small, as the files are.
const PAGE_BYTES: usize = 1024;

/// The pages of one map that are in memory.
#[derive(Debug, Default)]
pub(super) struct Pages {
    loaded: Mutex<BTreeSet<usize>>,
}

fn pages(range: Range<usize>) -> Range<usize> {
    range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
}

impl Residency for Pages {
    fn is_resident(&self, range: Range<usize>) -> bool {
        let loaded = self.loaded.lock();
        pages(range).all(|page| loaded.contains(&page))
    }

    fn load(&self, range: Range<usize>) {
        self.loaded.lock().extend(pages(range));
    }
}
