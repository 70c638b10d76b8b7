//! How much of one row a read merges.
//!
//! Its states lie in memory together, and what they make once or twice more. Compaction keeps them few, but not of a row
//! that no entry holds: that is refused, so that it costs one reader its answer and not the node its memory.

use starling_model::{
    DecodeError, DecoratedKey, Deletion, TableId,
    encoding::{RowMerger, RowView},
};

use crate::{Error, table::writer::MAX_ROW_BYTES};

/// The most bytes that the states of a row have which a read merges: what compaction merges, too. Less in tests.
pub(crate) const MOST_BYTES: usize = if cfg!(test) { 64 << 20 } else { MAX_ROW_BYTES };

/// Merges the states of a row. [`Error::RowTooLarge`] if they are too much, with where `place` says that the row is; a
/// malformed one is what `unreadable` says.
pub(super) fn merge<'m>(
    merger: &'m mut RowMerger,
    states: &[&[u8]],
    cover: Option<Deletion>,
    place: impl FnOnce() -> (TableId, DecoratedKey),
    unreadable: impl Fn(DecodeError) -> Error,
) -> Result<Option<&'m [u8]>, Error> {
    let mut bytes: usize = states.iter().map(|state| state.len()).sum();
    if states.len() > 1 && bytes > MOST_BYTES {
        bytes = living(states, cover).map_err(&unreadable)?;
        if bytes > MOST_BYTES {
            let (table, key) = place();
            return Err(Error::RowTooLarge {
                table,
                key: Box::new(key),
                bytes,
                limit: MOST_BYTES,
            });
        }
    }
    merger.merge(states, cover).map_err(unreadable)
}

/// Bytes of the states of which a deletion leaves something: a row that was deleted can be read, and written anew, before
/// compaction has come to it.
#[cold]
fn living(states: &[&[u8]], cover: Option<Deletion>) -> Result<usize, DecodeError> {
    let mut deletion = cover;
    for state in states {
        deletion = Deletion::strongest(deletion, RowView::new(state)?.deletion);
    }
    let mut bytes = 0;
    for state in states {
        let newest = RowView::new(state)?.timestamps()?.map(|(_, newest)| newest);
        let is_dead = |deletion: Deletion| newest.is_none_or(|newest| deletion.covers(newest));
        if !deletion.is_some_and(is_dead) {
            bytes += state.len();
        }
    }
    Ok(bytes)
}
