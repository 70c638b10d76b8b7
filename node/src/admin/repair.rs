//! `POST /repair`: a repair with its progress, a JSON object a line. It ends when the connection does.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use starling_model::{Token, TokenRange};
use starling_replication::RepairRequest;

use super::{Admin, orders::from_no_browser};

/// What is asked for, as the query of the address has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairQuery {
    /// One keyspace.
    #[serde(default)]
    pub keyspace: Option<String>,
    /// One table of it.
    #[serde(default)]
    pub table: Option<String>,
    /// `START:END`: tokens after START up to END; may wrap around.
    #[serde(default)]
    pub range: Option<String>,
    /// Change nothing.
    #[serde(default)]
    pub preview: bool,
}

impl RepairQuery {
    /// The request, or what is wrong with it.
    pub fn request(&self) -> Result<RepairRequest, String> {
        if self.table.is_some() && self.keyspace.is_none() {
            return Err("a table is named without its keyspace".to_owned());
        }
        let range = self.range.as_deref().map(parse_range).transpose()?;
        Ok(RepairRequest {
            keyspace: self.keyspace.clone(),
            table: self.table.clone(),
            range,
            preview: self.preview,
        })
    }
}

/// `START:END`, two tokens.
pub(super) fn parse_range(text: &str) -> Result<TokenRange, String> {
    let tokens = text
        .split_once(':')
        .and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
    match tokens {
        // The ring's arc from a token to itself is all of it, which nobody means who names a range.
        Some((start, end)) if start == end => Err(format!(
            "{text} is an empty range: it begins after START and ends with END; without a range all is repaired"
        )),
        Some((start, end)) => Ok(TokenRange {
            start: Token(start),
            end: Token(end),
        }),
        None => Err(format!(
            "{text} is no range: two tokens, START:END, each a whole number of 64 bits"
        )),
    }
}

pub(super) async fn run(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Query(query): Query<RepairQuery>,
) -> Response {
    if let Err(refusal) = from_no_browser(&headers) {
        return refusal.into_response();
    }
    let refuse = |problem: String| (StatusCode::BAD_REQUEST, problem).into_response();
    let request = match query.request() {
        Ok(request) => request,
        Err(problem) => return refuse(problem),
    };
    let progress = match admin.node.repair(request) {
        Ok(progress) => progress,
        Err(error) => return refuse(error.message),
    };
    let lines = progress.map(|progress| {
        let mut line = serde_json::to_vec(&progress)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(Bytes::from(line))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (headers, Body::from_stream(lines)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_two_tokens() {
        let query = |range: &str| RepairQuery {
            range: Some(range.to_owned()),
            ..RepairQuery::default()
        };
        let request = query("-5:7").request().expect("a range");
        let range = TokenRange {
            start: Token(-5),
            end: Token(7),
        };
        assert_eq!(request.range, Some(range));
        for wrong in ["", "5", "a:b", "1:2:3", "1:99999999999999999999", "5:5"] {
            assert!(query(wrong).request().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_has_a_keyspace() {
        let query = RepairQuery {
            table: Some("t".to_owned()),
            ..RepairQuery::default()
        };
        assert!(query.request().is_err());
    }
}
