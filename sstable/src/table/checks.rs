//! Which parts of a table were found whole, so that they are not checked again.

use std::sync::atomic::{AtomicU64, Ordering};

/// A bit for each part. Readers may set and ask at the same time: at worst a part is checked twice.
#[derive(Debug)]
pub(super) struct Checks(Box<[AtomicU64]>);

impl Checks {
    /// No part was checked.
    pub(super) fn new(parts: usize) -> Self {
        Self((0..parts.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Whether a part was found whole.
    #[inline]
    pub(super) fn is_set(&self, part: usize) -> bool {
        self.0[part / 64].load(Ordering::Relaxed) & (1 << (part % 64)) != 0
    }

    /// A part was found whole.
    pub(super) fn set(&self, part: usize) {
        self.0[part / 64].fetch_or(1 << (part % 64), Ordering::Relaxed);
    }
}
