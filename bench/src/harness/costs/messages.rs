//! Messages between servers, and of their CQL clients, as the servers count them themselves (`/metrics`).

use std::{collections::BTreeMap, net::SocketAddr};

use super::super::local::status;

/// What is counted, in the order of the table: the metric's name behind `starling_`, and what the table calls it.
const MESSAGES: [(&str, &str); 9] = [
    ("peer_sent_total{kind=\"request\"}", "requests sent to peers"),
    (
        "peer_received_total{kind=\"request\"}",
        "requests received of peers",
    ),
    ("peer_sent_total{kind=\"answer\"}", "answers sent to peers"),
    (
        "peer_received_total{kind=\"answer\"}",
        "answers received of peers",
    ),
    (
        "peer_sent_batches_total{kind=\"request\"}",
        "batches of requests to peers",
    ),
    (
        "peer_sent_batches_total{kind=\"answer\"}",
        "batches of answers to peers",
    ),
    ("peer_sent_total{kind=\"cast\"}", "gossip sent"),
    ("peer_received_total{kind=\"cast\"}", "gossip received"),
    ("cql_requests_total", "requests of CQL clients"),
];

/// The same of bytes.
const BYTES: [(&str, &str); 8] = [
    (
        "peer_sent_bytes_total{kind=\"request\"}",
        "requests sent to peers",
    ),
    (
        "peer_received_bytes_total{kind=\"request\"}",
        "requests received of peers",
    ),
    ("peer_sent_bytes_total{kind=\"answer\"}", "answers sent to peers"),
    (
        "peer_received_bytes_total{kind=\"answer\"}",
        "answers received of peers",
    ),
    ("peer_sent_bytes_total{kind=\"cast\"}", "gossip sent"),
    ("peer_received_bytes_total{kind=\"cast\"}", "gossip received"),
    ("cql_bytes_in_total", "requests of CQL clients"),
    ("cql_bytes_out_total", "answers to CQL clients"),
];

/// Messages and their bytes, by what the table calls them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Messages {
    /// Messages.
    pub count: BTreeMap<&'static str, f64>,
    /// Their bytes, before encryption.
    pub bytes: BTreeMap<&'static str, f64>,
}

/// What all servers have counted so far, together.
///
/// # Errors
/// A sentence: one does not answer, or does not count.
pub fn sample(admins: &[SocketAddr]) -> Result<Messages, String> {
    let mut sum = Messages::default();
    for admin in admins {
        let page = status::metrics(*admin).ok_or_else(|| format!("{admin} does not tell its metrics"))?;
        let found = read(&page).ok_or_else(|| format!("the release of {admin} does not count messages"))?;
        for (all, more) in [(&mut sum.count, found.count), (&mut sum.bytes, found.bytes)] {
            for (name, figure) in more {
                *all.entry(name).or_default() += figure;
            }
        }
    }
    Ok(sum)
}

/// What was counted from one sample to the next, for each of so many operations.
pub fn each(before: &Messages, after: &Messages, operations: u64) -> Messages {
    let since = |before: &BTreeMap<&'static str, f64>, after: &BTreeMap<&'static str, f64>| {
        let each = |(name, figure): (&&'static str, &f64)| {
            let more = figure - before.get(name).copied().unwrap_or(0.0);
            (*name, more / operations.max(1) as f64)
        };
        after.iter().map(each).collect()
    };
    Messages {
        count: since(&before.count, &after.count),
        bytes: since(&before.bytes, &after.bytes),
    }
}

/// The figures of a page of metrics (Prometheus's text format); `None` if one is missing.
pub(super) fn read(page: &str) -> Option<Messages> {
    let samples: BTreeMap<&str, f64> = page
        .lines()
        .filter_map(|line| {
            let (name, value) = line.strip_prefix("starling_")?.rsplit_once(' ')?;
            Some((name, value.parse().ok()?))
        })
        .collect();
    let pick = |wanted: &[(&str, &'static str)]| -> Option<BTreeMap<&'static str, f64>> {
        let figures = wanted.iter();
        figures
            .map(|(metric, name)| Some((*name, *samples.get(metric)?)))
            .collect()
    };
    Some(Messages {
        count: pick(&MESSAGES)?,
        bytes: pick(&BYTES)?,
    })
}
