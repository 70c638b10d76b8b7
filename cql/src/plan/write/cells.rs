//! From operations on columns to cells.

use bytes::Bytes;
use starling_model::{Cell, CellValue, Expiry, Row, Seconds, Timestamp};

use super::{Operate, Operation, present::PresentList};
use crate::{
    error::Error,
    ordered_key,
    plan::{Context, bind::BoundValues},
    request::Bound,
    types::CqlType,
    value::{self, Collection},
};

/// The longest key of a map, or element of a set, when encoded, in bytes.
const MAX_PATH_BYTES: usize = 65_535;

/// When what is written was written, and when it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) timestamp: Timestamp,
    pub(super) now: Seconds,
    pub(super) expiry: Option<Expiry>,
}

/// The cells of some operations, in canonical order. `before` is the row as it was read, where a list's
/// elements have to be found.
pub(super) fn row<'a>(
    operations: impl Iterator<Item = &'a Operation>,
    stamp: Stamp,
    before: Option<&Row>,
    values: &BoundValues,
    context: &mut Context<'_>,
) -> Result<Row, Error> {
    let mut out = Changes {
        stamp,
        before,
        cells: Vec::new(),
    };
    for operation in operations {
        out.operate(operation, values, context)?;
    }
    let mut cells = out.cells;
    // Of one statement's cells of one element the one that the merge law keeps.
    cells.sort_by(|a, b| a.order(b).then_with(|| b.precedence(a)));
    cells.dedup_by(|later, first| later.order(first).is_eq());
    let mut row = Row::default();
    row.merge(Row {
        cells,
        ..Row::default()
    });
    Ok(row)
}

struct Changes<'a> {
    stamp: Stamp,
    before: Option<&'a Row>,
    cells: Vec<Cell>,
}

impl Changes<'_> {
    fn live(&mut self, operation: &Operation, path: Option<Bytes>, value: Bytes) {
        self.cells.push(Cell {
            column: operation.column.id,
            path,
            timestamp: self.stamp.timestamp,
            value: CellValue::Live {
                value,
                expiry: self.stamp.expiry,
            },
        });
    }

    fn tombstone(&mut self, operation: &Operation, path: Option<Bytes>, timestamp: Timestamp) {
        let value = CellValue::Tombstone(self.stamp.now);
        self.cells.push(Cell {
            column: operation.column.id,
            path,
            timestamp,
            value,
        });
    }

    fn operate(
        &mut self,
        operation: &Operation,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let column = &operation.column;
        let timestamp = self.stamp.timestamp;
        match &operation.change {
            Operate::Delete => self.tombstone(operation, None, timestamp),
            Operate::Set(expression) => match expression.evaluate(values, context)? {
                Bound::Unset => {}
                Bound::Value(None) => self.tombstone(operation, None, timestamp),
                Bound::Value(Some(value)) if column.cql_type.is_multi_cell() => {
                    // What was there before goes; what is written now is newer than that by one step.
                    self.tombstone(operation, None, Timestamp(timestamp.0 - 1));
                    self.add(operation, &value, false, context)?;
                }
                Bound::Value(Some(value)) => self.live(operation, None, value),
            },
            Operate::Add(expression) | Operate::Prepend(expression) => {
                let prepend = matches!(operation.change, Operate::Prepend(_));
                if let Bound::Value(Some(value)) = expression.evaluate(values, context)? {
                    self.add(operation, &value, prepend, context)?;
                }
            }
            Operate::Remove(expression) => {
                if let Bound::Value(Some(value)) = expression.evaluate(values, context)? {
                    for item in value::elements(&value).ok_or_else(malformed)? {
                        let path = path(element_type(&column.cql_type), &item)?;
                        self.tombstone(operation, Some(path), timestamp);
                    }
                }
            }
            Operate::Put(key, element) => {
                let key = key.required(&column.name, values, context)?;
                let path = path(element_type(&column.cql_type), &key)?;
                match element.evaluate(values, context)? {
                    Bound::Unset => {}
                    Bound::Value(None) => self.tombstone(operation, Some(path), timestamp),
                    Bound::Value(Some(value)) => self.live(operation, Some(path), value),
                }
            }
            Operate::PutAt(..) | Operate::DeleteAt(_) | Operate::Discard(_) => {
                self.in_list(operation, values, context)?;
            }
            Operate::DeleteElement(key) => {
                let key = key.required(&column.name, values, context)?;
                self.tombstone(
                    operation,
                    Some(path(element_type(&column.cql_type), &key)?),
                    timestamp,
                );
            }
        }
        Ok(())
    }

    /// Changes elements that a list has.
    fn in_list(
        &mut self,
        operation: &Operation,
        values: &BoundValues,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let list = PresentList::new(self.before, operation, self.stamp.now);
        let timestamp = self.stamp.timestamp;
        match &operation.change {
            Operate::PutAt(index, element) => {
                let index = index.required(&operation.column.name, values, context)?;
                let element = element.evaluate(values, context)?;
                if let Bound::Value(value) = element {
                    let place = list.place(&index, "set")?;
                    match value {
                        Some(value) => self.live(operation, Some(place), value),
                        None => self.tombstone(operation, Some(place), timestamp),
                    }
                }
            }
            Operate::DeleteAt(index) => {
                let index = index.required(&operation.column.name, values, context)?;
                let place = list.place(&index, "delete")?;
                self.tombstone(operation, Some(place), timestamp);
            }
            Operate::Discard(expression) => {
                if let Bound::Value(Some(value)) = expression.evaluate(values, context)? {
                    let unwanted = value::elements(&value).ok_or_else(malformed)?;
                    for place in list.places_of(&unwanted) {
                        self.tombstone(operation, Some(place), timestamp);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds the elements of a collection's value.
    fn add(
        &mut self,
        operation: &Operation,
        value: &Bytes,
        prepend: bool,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        match Collection::of(&operation.column.cql_type) {
            Some(Collection::List(_)) => {
                let place = ListPlace {
                    time: context.tick(),
                    prepend,
                    random: (context.random)(),
                };
                for (at, item) in value::elements(value)
                    .ok_or_else(malformed)?
                    .into_iter()
                    .enumerate()
                {
                    self.live(operation, Some(place.path(at as u32)), item);
                }
            }
            Some(Collection::Set(element)) => {
                for item in value::elements(value).ok_or_else(malformed)? {
                    self.live(operation, Some(path(element, &item)?), Bytes::new());
                }
            }
            Some(Collection::Map(key_type, _)) => {
                for (key, value) in value::pairs(value).ok_or_else(malformed)? {
                    self.live(operation, Some(path(key_type, &key)?), value);
                }
            }
            None => return Err(malformed()),
        }
        Ok(())
    }
}

fn malformed() -> Error {
    Error::invalid("the bytes of a collection are malformed")
}

/// The type that elements are addressed by: a set's element, a map's key.
fn element_type(cql_type: &CqlType) -> &CqlType {
    match Collection::of(cql_type) {
        Some(Collection::Set(element) | Collection::List(element) | Collection::Map(element, _)) => element,
        None => cql_type,
    }
}

/// An element's place in its set or map: byte-comparable, so that cells lie in the order of the type.
fn path(cql_type: &CqlType, value: &[u8]) -> Result<Bytes, Error> {
    let path = ordered_key::encode_component(cql_type, false, value)?;
    if path.len() > MAX_PATH_BYTES {
        return Err(Error::invalid(format!(
            "a set's element or a map's key is {} bytes long when encoded; at most {MAX_PATH_BYTES} are taken",
            path.len()
        )));
    }
    Ok(path.into())
}

/// Where a statement puts elements of a list: before or after all that were there earlier.
///
/// ```text
/// 00 prepended, 01 appended   1 byte
/// time in microseconds        8 bytes, inverted if prepended
/// random                      8 bytes, against two nodes at the same time; elements of one statement share it
/// place within the statement  4 bytes
/// ```
struct ListPlace {
    time: i64,
    prepend: bool,
    random: u64,
}

impl ListPlace {
    fn path(&self, at: u32) -> Bytes {
        let time = self.time as u64 ^ (1 << 63);
        let mut path = Vec::with_capacity(21);
        path.push(u8::from(!self.prepend));
        path.extend_from_slice(&if self.prepend { !time } else { time }.to_be_bytes());
        path.extend_from_slice(&self.random.to_be_bytes());
        path.extend_from_slice(&at.to_be_bytes());
        path.into()
    }
}
