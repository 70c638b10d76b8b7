//! The numbers of a row's layout.

/// Flag of a row: it has a marker.
pub(super) const MARKER: u8 = 1;
/// Flag of a row: its marker expires.
pub(super) const EXPIRES: u8 = 2;
/// Flag of a row: it was deleted.
pub(super) const DELETION: u8 = 4;
/// Flag of a row: it has the present layout, not the one [before](super::older).
pub(super) const PRESENT: u8 = 8;
/// So many cells, or more, are counted behind what stands before the cells.
pub(super) const MANY: u8 = 15;

/// Flag of a cell: it is a tombstone.
pub(super) const TOMBSTONE: u8 = 1;
/// Flag of a cell: it expires.
pub(super) const CELL_EXPIRES: u8 = 2;
/// Both flags: it is no tombstone, and expires as the last one that said when.
pub(super) const EXPIRES_ALIKE: u8 = 3;
/// Flag of a cell: it has a path.
pub(super) const PATH: u8 = 4;
/// Flag of a cell: it has another timestamp than what stands before it.
pub(super) const STAMP: u8 = 8;
/// A column that is so much greater than the one before, or more, is counted behind the flags.
pub(super) const FAR_COLUMN: u8 = 15;
