//! When a tombstone may be forgotten.

use starling_model::{CellValue, Deletion, Expiry, RangeTombstone, Row, Seconds, Timestamp};

/// Whether, and when, tombstones and expired values of a table may be purged. Decided outside of the
/// engine, because it depends on what the other replicas know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PurgePolicy {
    /// Never. The default: forgetting a tombstone too early brings deleted data back.
    #[default]
    Keep,
    /// When they are this many seconds old (CQL's `gc_grace_seconds`).
    After {
        /// The grace, in seconds.
        grace: u32,
    },
}

/// What one compaction may purge of one partition.
///
/// Contract: something is purged only if (1) it is older than the grace, and (2) its timestamp is below
/// `oldest_elsewhere`, so that nothing it shadows can lie in a table or memtable that is not being merged.
#[derive(Debug, Clone, Copy)]
pub struct Purge {
    /// The present second.
    pub now: Seconds,
    /// Only what was deleted or expired before this second goes.
    pub before: Seconds,
    /// No write of the partition that is older than this can exist outside of what is merged.
    pub oldest_elsewhere: Timestamp,
}

impl PurgePolicy {
    /// The second before which things may go; `None`: nothing may.
    pub fn before(self, now: Seconds) -> Option<Seconds> {
        match self {
            Self::Keep => None,
            Self::After { grace } => Some(Seconds(now.0.saturating_sub(grace))),
        }
    }
}

impl Purge {
    /// Whether a deletion may be forgotten.
    pub fn deletion(&self, deletion: Deletion) -> bool {
        deletion.at < self.before && deletion.timestamp < self.oldest_elsewhere
    }

    /// Whether a range tombstone may be forgotten.
    pub fn range(&self, tombstone: &RangeTombstone) -> bool {
        self.deletion(tombstone.deletion)
    }

    /// Removes from a row what may be forgotten.
    pub fn row(&self, row: &mut Row) {
        row.deletion = row.deletion.filter(|deletion| !self.deletion(*deletion));
        row.marker = row
            .marker
            .filter(|marker| !self.expired(marker.expiry, marker.timestamp));
        row.cells.retain(|cell| match &cell.value {
            CellValue::Tombstone(at) => !self.deletion(Deletion {
                timestamp: cell.timestamp,
                at: *at,
            }),
            CellValue::Live { expiry, .. } => !self.expired(*expiry, cell.timestamp),
        });
    }

    fn expired(&self, expiry: Option<Expiry>, timestamp: Timestamp) -> bool {
        expiry.is_some_and(|expiry| expiry.at <= self.now && expiry.at < self.before)
            && timestamp < self.oldest_elsewhere
    }
}
