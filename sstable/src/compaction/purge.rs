//! When a tombstone may be forgotten.

use std::sync::Arc;

use starling_model::{
    CellValue, DecodeError, Deletion, Expiry, Row, Seconds, Timestamp, Token, TokenRange, ValueRef,
    encoding::RowView,
};

use super::{input::Input, slices::overlap};
use crate::table::{Table, key};

/// Whether, and when, tombstones and expired values of a table may be purged. Decided outside of the
/// engine, because it depends on what the other replicas know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PurgePolicy {
    /// Never. The default: forgetting a tombstone too early brings deleted data back.
    #[default]
    Keep,
    /// When they are this many seconds old (CQL's `gc_grace_seconds`).
    After {
        /// The grace, in seconds.
        grace: u32,
    },
    /// When all replicas have them, and they are this many seconds old.
    Repaired {
        /// The grace, in seconds; 0 is safe.
        grace: u32,
        /// Up to when the replicas were made equal.
        up_to: Repaired,
    },
}

/// Up to which second all replicas were made equal (repaired), for parts of the token space. Elsewhere they
/// never were. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired(Arc<[(TokenRange, Seconds)]>);

impl Repaired {
    /// Of these ranges, in any order. Where they overlap, the earliest second counts.
    pub fn new(ranges: impl IntoIterator<Item = (TokenRange, Seconds)>) -> Self {
        let unwrapped = ranges
            .into_iter()
            .flat_map(|(range, second)| range.unwrapped().into_iter().map(move |part| (part, second)));
        let mut ranges: Vec<_> = unwrapped.collect();
        ranges.sort_unstable_by_key(|(range, second)| (range.start, *second));
        Self(ranges.into())
    }

    /// The earliest second for any token of a range that does not wrap; `None` if a part of it never was repaired.
    fn of(&self, tokens: TokenRange) -> Option<Seconds> {
        let mut covered = tokens.start;
        let mut earliest: Option<Seconds> = None;
        for (range, second) in self.0.iter().filter(|(range, _)| overlap(*range, tokens)) {
            if range.start > covered {
                return None;
            }
            covered = covered.max(range.end);
            earliest = Some(earliest.map_or(*second, |earliest| earliest.min(*second)));
        }
        earliest.filter(|_| covered >= tokens.end)
    }
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
    /// The second before which things may go, of all tokens of a range that does not wrap; `None`: nothing may.
    pub fn before(&self, now: Seconds, tokens: TokenRange) -> Option<Seconds> {
        let aged = |grace| Seconds(now.0.saturating_sub(grace));
        match self {
            Self::Keep => None,
            Self::After { grace } => Some(aged(*grace)),
            Self::Repaired { grace, up_to } => up_to.of(tokens).map(|second| second.min(aged(*grace))),
        }
    }

    /// The second before which things may go at some token; `None`: nothing may anywhere.
    fn latest(&self, now: Seconds) -> Option<Seconds> {
        match self {
            Self::Keep => None,
            Self::After { grace } | Self::Repaired { grace, .. } => {
                Some(Seconds(now.0.saturating_sub(*grace)))
            }
        }
    }

    /// The same for one token.
    pub fn before_at(&self, now: Seconds, token: Token) -> Option<Seconds> {
        // No key has the smallest token.
        let start = Token(token.0.saturating_sub(1));
        self.before(now, TokenRange { start, end: token })
    }
}

impl Purge {
    /// Whether a deletion may be forgotten.
    pub fn deletion(&self, deletion: Deletion) -> bool {
        deletion.at < self.before && deletion.timestamp < self.oldest_elsewhere
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

/// What a merge may forget, and what it must ask before.
#[derive(Debug, Clone)]
pub struct Purging {
    /// The table's policy.
    pub policy: PurgePolicy,
    /// The present second.
    pub now: Seconds,
    /// The oldest timestamp in any memtable; `None` if they are empty.
    pub memory: Option<Timestamp>,
    /// Live tables that are not merged.
    pub others: Vec<Arc<Table>>,
}

/// What a merge may forget, partition by partition. Other tables are asked only about partitions that have
/// something to forget.
pub(super) struct Purger<'a> {
    purging: &'a Purging,
    /// Nothing that was deleted or expired from this second on is forgotten; `None`: there is nothing.
    before: Option<Seconds>,
    /// The last answer, and the prefix of the partition that it was for.
    last: (Vec<u8>, Option<Purge>),
}

impl<'a> Purger<'a> {
    pub(super) fn new(purging: &'a Purging, inputs: &[Input]) -> Self {
        let before = purging.policy.latest(purging.now).filter(|before| {
            inputs.iter().any(|input| match input {
                Input::Memory(_) => true,
                Input::Table(table) => table
                    .properties()
                    .ages
                    .is_some_and(|(oldest, _)| oldest < *before),
            })
        });
        Self {
            purging,
            before,
            last: (Vec::new(), None),
        }
    }

    /// Whether anything could be forgotten.
    pub(super) fn is_needed(&self) -> bool {
        self.before.is_some()
    }

    /// Whether something of an encoded row is old enough to be forgotten.
    pub(super) fn may_purge(&self, row: &[u8]) -> Result<bool, DecodeError> {
        let Some(before) = self.before else {
            return Ok(false);
        };
        let expires = |expiry: Option<Expiry>| expiry.is_some_and(|expiry| expiry.at < before);
        let row = RowView::new(row)?;
        if row.deletion.is_some_and(|deletion| deletion.at < before)
            || row.marker.is_some_and(|marker| expires(marker.expiry))
        {
            return Ok(true);
        }
        for cell in row.cells() {
            let old = match cell?.value {
                ValueRef::Tombstone(at) => at < before,
                ValueRef::Live { expiry, .. } => expires(expiry),
            };
            if old {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a deletion in the partition with this prefix may be forgotten.
    pub(super) fn purges(&mut self, prefix: &[u8], deletion: Deletion) -> bool {
        self.before.is_some_and(|before| deletion.at < before)
            && self.of(prefix).is_some_and(|purge| purge.deletion(deletion))
    }

    /// What may be purged of a partition: nothing that could shadow something outside of the merge.
    pub(super) fn of(&mut self, prefix: &[u8]) -> Option<Purge> {
        if self.last.0 != prefix {
            self.last.1 = self.ask(prefix);
            self.last.0.clear();
            self.last.0.extend_from_slice(prefix);
        }
        self.last.1
    }

    fn ask(&self, prefix: &[u8]) -> Option<Purge> {
        let key = key::partition_key(prefix)?;
        let Purging {
            policy,
            now,
            memory,
            others,
        } = self.purging;
        let before = policy.before_at(*now, key.token)?;
        let mut oldest = memory.unwrap_or(Timestamp(i64::MAX));
        for table in others {
            // What can't be told is taken as there: another table's damage does not hold up the merge.
            if table.may_contain(&key, prefix).unwrap_or(true)
                && let Some((smallest, _)) = table.properties().timestamps
            {
                oldest = oldest.min(smallest);
            }
        }
        Some(Purge {
            now: *now,
            before,
            oldest_elsewhere: oldest,
        })
    }
}
