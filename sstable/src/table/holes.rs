//! Tokens for which a table does not speak any more.
//!
//! Where a block was damaged, its tokens are quarantined (`version::quarantine`), and the table gets a *hole* there:
//! searches and cursors step over it, without touching what is damaged, until a compaction leaves the file behind.
//! That nobody takes a hole for data that was never there is seen to by the engine.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use starling_model::{Token, TokenRange, TokenSet};

/// The holes of one table, by tokens as keys begin with them, both ends included.
#[derive(Debug, Default)]
pub struct Holes {
    /// So that those who have none, nearly all, don't ask further.
    any: AtomicBool,
    /// Ascending, disjoint.
    list: RwLock<Vec<(u64, u64)>>,
}

impl Holes {
    /// Whether there is one.
    #[inline]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The hole that a token is in.
    #[inline]
    pub fn over(&self, token: u64) -> Option<(u64, u64)> {
        if self.any() { self.find(token) } else { None }
    }

    #[cold]
    fn find(&self, token: u64) -> Option<(u64, u64)> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let at = list.partition_point(|(_, to)| *to < token);
        list.get(at).copied().filter(|(from, _)| *from <= token)
    }

    /// All tokens that are in one.
    pub fn tokens(&self) -> TokenSet {
        let token = |bytes: u64| Token::from_ordered_bytes(bytes.to_be_bytes());
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let ranges = list.iter().map(|(from, to)| TokenRange {
            // No key has the smallest token.
            start: token(from.saturating_sub(1)),
            end: token(*to),
        });
        ranges.collect()
    }

    /// Adds one; those that touch or overlap become one.
    pub fn add(&self, mut from: u64, mut to: u64) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|hole| {
            let apart = hole.1.saturating_add(1) < from || to.saturating_add(1) < hole.0;
            if !apart {
                from = from.min(hole.0);
                to = to.max(hole.1);
            }
            apart
        });
        let at = list.partition_point(|hole| hole.0 < from);
        list.insert(at, (from, to));
        self.any.store(true, Ordering::Release);
    }
}
