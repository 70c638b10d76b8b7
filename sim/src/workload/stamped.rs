//! Writes that carry no timestamp, so that their order is the nodes' business: a client reads and writes through
//! whichever node, as drivers do.

use starling_cql::{BatchEntry, BatchKind, BatchRequest, QueryParameters, QueryResult, Statement, Values};
use starling_model::Consistency;

use super::{Client, client::outcome, int, ints, level};
use crate::{
    cluster::{NoAnswer, Request},
    history::{Deed, Outcome},
};

impl Client {
    /// Reads, writes or deletes some register.
    pub(super) async fn use_stamped(&mut self, node: usize) {
        let register = self.space.partition(&mut self.random);
        match self.random.below(10) {
            0..=3 => {
                let level = level(&self.space, &mut self.random, false);
                self.read_stamped(node, register, level).await;
            }
            4 => self.batch_stamped(node, register).await,
            _ => {
                let level = level(&self.space, &mut self.random, true);
                self.write_stamped(node, register, level).await;
            }
        }
    }

    /// Reads a register; false if there was no answer.
    pub async fn read_stamped(&mut self, node: usize, register: i32, level: Consistency) -> bool {
        let invoked = self.handle.now();
        let mut parameters = QueryParameters::with_consistency(level);
        parameters.values = ints(&[register]);
        self.note("read stamped", || format!("{register} at {level} of n{node}"));
        let text = "SELECT v FROM sim.stamped WHERE p = ?".to_owned();
        let Ok(QueryResult::Rows(page)) = self.request(node, Request::Prepared(text, parameters)).await
        else {
            return false;
        };
        let value = page.rows.first().and_then(|row| row.first()).cloned().flatten();
        let seen = value
            .and_then(|bytes| bytes[..].try_into().ok())
            .map(i32::from_be_bytes);
        let reach = self.reach(level, node);
        let span = (invoked, self.handle.now());
        self.recorder.stamped(span, reach, register, Deed::Saw(seen));
        true
    }

    /// A statement, its values, and what it leaves in the register.
    fn change(&mut self, register: i32) -> (&'static str, Values, Option<i32>) {
        let value = self.recorder.value();
        let written = |text| {
            (
                text,
                Values::Positional(vec![int(register), int(value)]),
                Some(value),
            )
        };
        match self.random.below(6) {
            0 => ("DELETE FROM sim.stamped WHERE p = ?", ints(&[register]), None),
            1 => ("DELETE v FROM sim.stamped WHERE p = ?", ints(&[register]), None),
            2 => (
                "UPDATE sim.stamped SET v = ? WHERE p = ?",
                ints(&[value, register]),
                Some(value),
            ),
            _ => written("INSERT INTO sim.stamped (p, v) VALUES (?, ?)"),
        }
    }

    /// Writes to a register, or deletes it.
    pub async fn write_stamped(&mut self, node: usize, register: i32, level: Consistency) {
        let (text, values, value) = self.change(register);
        let mut parameters = QueryParameters::with_consistency(level);
        parameters.values = values;
        let request = Request::Prepared(text.to_owned(), parameters);
        self.carry_out_stamped(node, request, level, &[(register, value)])
            .await;
    }

    async fn batch_stamped(&mut self, node: usize, register: i32) {
        let mut effects: Vec<(i32, Option<i32>)> = Vec::new();
        let mut entries = Vec::new();
        for register in [register, (register + 1) % self.space.partitions.max(2)] {
            let (text, values, value) = self.change(register);
            effects.push((register, value));
            entries.push(BatchEntry {
                statement: Statement::Text(text.to_owned()),
                values,
            });
        }
        let level = level(&self.space, &mut self.random, true);
        let request = Request::Batch(BatchRequest {
            kind: if self.random.chance(500) {
                BatchKind::Logged
            } else {
                BatchKind::Unlogged
            },
            entries,
            parameters: QueryParameters::with_consistency(level),
        });
        self.carry_out_stamped(node, request, level, &effects).await;
    }

    async fn carry_out_stamped(
        &mut self,
        node: usize,
        request: Request,
        level: Consistency,
        effects: &[(i32, Option<i32>)],
    ) {
        let invoked = self.handle.now();
        self.note("write stamped", || format!("{effects:?} at {level} of n{node}"));
        let outcome = match self.request(node, request).await {
            Ok(_) => Outcome::Acknowledged,
            Err(NoAnswer::Down) => Outcome::Refused,
            Err(NoAnswer::Lost) => Outcome::Unknown,
            Err(NoAnswer::Error(error)) => outcome(&error),
        };
        let span = (invoked, self.handle.now());
        let reach = self.reach(level, node);
        for (register, value) in effects {
            let deed = Deed::Wrote(*value, outcome);
            self.recorder.stamped(span, reach, *register, deed);
        }
        self.note("written stamped", || format!("{effects:?} is {outcome:?}"));
    }
}
