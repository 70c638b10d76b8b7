//! A table that is truncated now and then.

use starling_cql::{QueryParameters, QueryResult};
use starling_model::Consistency;

use super::{Client, client::outcome, int, level};
use crate::{
    cluster::{NoAnswer, Request},
    history::{ClearedDeed, Outcome},
};

/// Partition keys are below this.
const KEYS: u64 = 8;

impl Client {
    /// Reads, writes or truncates the table.
    pub(super) async fn use_cleared(&mut self, node: usize) {
        match self.random.below(10) {
            0 => {
                self.truncate(node).await;
            }
            1..=3 => {
                let level = level(&self.space, &mut self.random, false);
                self.read_cleared(node, level).await;
            }
            _ => {
                let level = level(&self.space, &mut self.random, true);
                self.add(node, level).await;
            }
        }
    }

    /// Reads the whole table; false if there was no answer.
    pub async fn read_cleared(&mut self, node: usize, level: Consistency) -> bool {
        let invoked = self.handle.now();
        self.note("read cleared", || format!("at {level} of n{node}"));
        let text = "SELECT v FROM sim.cleared".to_owned();
        let parameters = QueryParameters::with_consistency(level);
        let Ok(QueryResult::Rows(page)) = self.request(node, Request::Query(text, parameters)).await else {
            return false;
        };
        let values = page.rows.iter().filter_map(|row| row.first()?.as_deref());
        let values = values.filter_map(|bytes| bytes.try_into().ok());
        let values = values.map(i32::from_be_bytes).collect();
        let span = (invoked, self.handle.now());
        self.recorder.cleared(span, ClearedDeed::Saw(values));
        true
    }

    /// Adds a value.
    pub async fn add(&mut self, node: usize, level: Consistency) {
        let value = self.recorder.value();
        let key = self.random.below(KEYS) as i32;
        let invoked = self.handle.now();
        self.note("add", || format!("{value} to {key} at {level} of n{node}"));
        let mut parameters = QueryParameters::with_consistency(level);
        parameters.values = starling_cql::Values::Positional(vec![int(key), int(value)]);
        let text = "INSERT INTO sim.cleared (p, v) VALUES (?, ?)".to_owned();
        let outcome = told(self.request(node, Request::Prepared(text, parameters)).await);
        let span = (invoked, self.handle.now());
        self.recorder.cleared(span, ClearedDeed::Added(value, outcome));
    }

    /// Removes everything; whether that was acknowledged.
    pub async fn truncate(&mut self, node: usize) -> bool {
        let invoked = self.handle.now();
        self.note("truncate", || format!("at n{node}"));
        let parameters = QueryParameters::with_consistency(Consistency::Quorum);
        let request = Request::Query("TRUNCATE sim.cleared".to_owned(), parameters);
        let outcome = told(self.send(node, request).await);
        let span = (invoked, self.handle.now());
        self.recorder.cleared(span, ClearedDeed::Truncated(outcome));
        self.note("truncated", || format!("{outcome:?}"));
        outcome == Outcome::Acknowledged
    }
}

/// How a write ended, as its client knows it.
fn told(result: Result<QueryResult, NoAnswer>) -> Outcome {
    match result {
        Ok(_) => Outcome::Acknowledged,
        Err(NoAnswer::Down) => Outcome::Refused,
        Err(NoAnswer::Lost) => Outcome::Unknown,
        Err(NoAnswer::Error(error)) => outcome(&error),
    }
}
