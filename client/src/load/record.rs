//! A record of CSV as bound values.

use csv::StringRecord;
use starling_cql::{ColumnSpec, Values, request::Bound};

use crate::text;

/// The fields as values for the markers of the INSERT; what is wrong, if one doesn't fit its column.
pub(super) fn bind(markers: &[ColumnSpec], record: &StringRecord, null: &str) -> Result<Values, String> {
    if record.len() != markers.len() {
        return Err(format!(
            "{} fields where {} columns are expected",
            record.len(),
            markers.len()
        ));
    }
    let values = markers.iter().zip(record).map(|(marker, field)| {
        if field == null {
            return Ok(Bound::Value(None));
        }
        text::parse(&marker.cql_type, field)
            .map(|value| Bound::Value(Some(value)))
            .map_err(|error| format!("column {}: {error}", marker.name))
    });
    values.collect::<Result<_, _>>().map(Values::Positional)
}
