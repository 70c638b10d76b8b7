//! How large a result is before it is encoded.

use starling_cql::{
    QueryResult, Rows,
    protocol::{Response, ResponseFrame, ResultBody},
};

/// About how many bytes rows take when they are encoded, for any protocol; more rather than less.
pub(crate) fn of_rows(rows: &Rows) -> usize {
    let row = |row: &Vec<Option<bytes::Bytes>>| {
        let values = row
            .iter()
            .map(|value| 5 + value.as_ref().map_or(0, bytes::Bytes::len));
        5 + values.sum::<usize>()
    };
    rows.rows.iter().map(row).sum()
}

/// The same of a result; what has no rows is small.
pub(crate) fn of_result(result: &QueryResult) -> usize {
    match result {
        QueryResult::Rows(rows) => of_rows(rows),
        _ => 0,
    }
}

/// The same of a CQL reply.
pub(crate) fn of_reply(reply: &ResponseFrame) -> usize {
    match &reply.response {
        Response::Result(ResultBody::Rows(body)) => of_rows(&body.rows),
        _ => 0,
    }
}
