//! What a node does wrong with what its clients ask.

use std::time::Duration;

use starling_cql::{Error, ErrorKind};

use super::Bug;
use crate::cluster::Request;

/// One read in so many is refused.
const REFUSED_ONE_IN: u128 = 8;

/// What a node with the bug answers to a request instead of carrying it out.
pub(crate) fn refuses(bug: Option<Bug>, request: &Request, now: Duration) -> Option<Error> {
    let (Request::Query(text, _) | Request::Prepared(text, _)) = request else {
        return None;
    };
    let is_refused = bug == Some(Bug::RefuseReads)
        && text.starts_with("SELECT")
        && now.as_micros().is_multiple_of(REFUSED_ONE_IN);
    is_refused.then(|| Error::new(ErrorKind::Invalid, "a valid read is refused"))
}
