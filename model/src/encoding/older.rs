//! The layout that rows had in tables and logs of version 2. It is read, and not written any more.
//!
//! ```text
//! row        flags (1 byte): 1 marker, 2 marker expires, 4 deletion
//!            [marker timestamp [expiry]] [deletion] varint number of cells, cells
//! cell       flags (1 byte): 1 tombstone, 2 expires, 4 has a path
//!            varint column, [path bytes], timestamp, then
//!            tombstone: varint second; else [expiry], value bytes
//! ```

use super::{CellView, DecodeError, Input, row_layout as layout};
use crate::{
    cell::ValueRef,
    ids::ColumnId,
    row::Marker,
    time::{Deletion, Timestamp},
};

/// What stands before the cells, behind the flags; and how many cells follow.
pub(super) fn head(
    flags: u8,
    input: &mut Input<'_>,
) -> Result<(Option<Marker>, Option<Deletion>, usize), DecodeError> {
    if flags & !(layout::MARKER | layout::EXPIRES | layout::DELETION) != 0 {
        return Err(DecodeError::Flags(flags));
    }
    let marker = marker(flags, input, Input::timestamp)?;
    let deletion = if flags & layout::DELETION != 0 {
        Some(input.deletion()?)
    } else {
        None
    };
    Ok((marker, deletion, input.count()?))
}

/// The marker of a row with these flags; layouts differ in its timestamp only.
#[inline]
pub(super) fn marker<'a>(
    flags: u8,
    input: &mut Input<'a>,
    timestamp: impl Fn(&mut Input<'a>) -> Result<Timestamp, DecodeError>,
) -> Result<Option<Marker>, DecodeError> {
    const BOTH: u8 = layout::MARKER | layout::EXPIRES;
    Ok(match flags & BOTH {
        0 => None,
        layout::EXPIRES => return Err(DecodeError::Flags(flags)),
        kind => Some(Marker {
            timestamp: timestamp(input)?,
            expiry: if kind == BOTH { Some(input.expiry()?) } else { None },
        }),
    })
}

/// One cell.
pub(super) fn cell<'a>(input: &mut Input<'a>) -> Result<CellView<'a>, DecodeError> {
    let flags = input.flags(layout::TOMBSTONE | layout::CELL_EXPIRES | layout::PATH)?;
    let column = ColumnId(input.number()?);
    let path = if flags & layout::PATH != 0 {
        Some(input.bytes()?)
    } else {
        None
    };
    let timestamp = input.timestamp()?;
    let value = match flags & !layout::PATH {
        0 => ValueRef::Live {
            value: input.bytes()?,
            expiry: None,
        },
        layout::TOMBSTONE => ValueRef::Tombstone(input.seconds()?),
        layout::CELL_EXPIRES => {
            let expiry = Some(input.expiry()?);
            ValueRef::Live {
                value: input.bytes()?,
                expiry,
            }
        }
        _ => return Err(DecodeError::Flags(flags)),
    };
    Ok(CellView {
        column,
        path,
        timestamp,
        value,
    })
}
