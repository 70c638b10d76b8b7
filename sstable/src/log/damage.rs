//! What lies behind a place of a segment at which nothing whole lies: nothing that counts, if a crash has torn the tail, or
//! what shows that something was damaged.

use bytes::Bytes;

use super::{Lsn, record::Claim, whole::Format};

/// Numbers that a restart can skip, at most, as far as the search goes.
const GAP: u64 = 1 << 32;

/// In a segment without a salt anything may claim to be long, at every byte; more than this of it is not read, in bytes.
const MOST_BYTES: usize = 256 << 20;

/// What the search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing that was durable.
    Nothing,
    /// The next whole group, from which on all is needed: what is missing before it is in tables.
    Next { at: usize, first: Lsn },
    /// A whole group that knew a write to be durable which is missing, and in no table.
    Proof { at: usize, first: Lsn, lost: Lsn },
}

/// Looks behind `at`, where write `expected` should be. Writes below `floor` are in tables.
pub(super) fn look(format: Format, bytes: &Bytes, at: usize, expected: Lsn, floor: Lsn) -> Behind {
    let needed = expected.max(floor);
    let last = Lsn(needed.0.saturating_add(GAP));
    let mut to_read = MOST_BYTES;
    let mut next = at;
    while next + format.header_bytes() < bytes.len() {
        next += 1;
        if bytes[next] == 0 {
            // Space that was set aside is passed quickly.
            next += bytes[next..]
                .iter()
                .take_while(|byte| **byte == 0)
                .count()
                .saturating_sub(8);
        }
        let Some(claim) = Claim::peek(&bytes[next..]) else {
            break;
        };
        if claim.first <= expected || claim.first > last {
            continue;
        }
        // What can be made up proves nothing that would be read.
        let resumes = format.is_salted() && claim.first <= floor;
        if !resumes && claim.synced < needed {
            continue;
        }
        if !format.is_salted() && claim.length <= bytes.len() - next {
            let Some(left) = to_read.checked_sub(claim.length) else {
                tracing::warn!(
                    "the end of a log segment looks like very many records: it is taken for what a crash left"
                );
                break;
            };
            to_read = left;
        }
        let Some(whole) = format.take(bytes, next) else {
            continue;
        };
        let first = whole.first;
        return if resumes {
            Behind::Next { at: next, first }
        } else {
            Behind::Proof {
                at: next,
                first,
                lost: needed,
            }
        };
    }
    Behind::Nothing
}
