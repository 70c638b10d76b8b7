//! Damaged data that does not heal now: what it waits for, told to operators.
//!
//! Some of it heals once nodes are back. Some never will by itself: as many replicas are damaged in the same place, or dead for good, as
//! may together have had an acknowledged write that nobody else has. That waits for an operator ([`losses`](super::losses)).

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling_model::{TableId, TokenRange};

use super::{
    Coordinator,
    stretches::{Other, Standing, Stretch},
};
use crate::env::Env;

/// What waits is logged when it has become another, and else so often.
const LOG_PAUSE: Duration = Duration::from_mins(10);

/// So many stretches are told one by one.
const MOST_TOLD: usize = 32;

/// Damaged data of a node that does not heal now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DamageStatus {
    /// Stretches of damaged tokens that could not be written anew yet.
    pub waiting: u64,
    /// Of them, those that never heal by themselves: `starling repair --accept-loss` shows what could be lost.
    pub for_operator: u64,
    /// The first few of them, those for an operator first.
    pub stretches: Vec<WaitingDamage>,
}

/// Damaged tokens of a table that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingDamage {
    /// Keyspace and name, or the id of a table that is not known.
    pub table: String,
    /// The tokens after this one,
    pub start: i64,
    /// up to this one.
    pub end: i64,
    /// Addresses of the other replicas that are damaged in the same place.
    pub damaged: Vec<String>,
    /// Addresses of the other replicas that are down.
    pub down: Vec<String>,
    /// Whether it never heals by itself.
    pub for_operator: bool,
    /// What it waits for.
    pub why: String,
}

impl WaitingDamage {
    /// Of a table of which it can't be said who has it.
    pub(super) fn unknown(table: TableId, tokens: TokenRange, why: &str) -> Self {
        Self {
            table: table.to_string(),
            start: tokens.start.0,
            end: tokens.end.0,
            damaged: Vec::new(),
            down: Vec::new(),
            for_operator: false,
            why: why.to_owned(),
        }
    }
}

/// What of this node waits.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<WaitingDamage>,
    /// When it was logged.
    logged: Duration,
}

impl Waiting {
    pub(crate) fn status(&self) -> DamageStatus {
        let state = self.0.lock();
        let waiting = &state.waiting;
        let is_for_operator = |it: &&WaitingDamage| it.for_operator;
        let for_operator = waiting.iter().filter(is_for_operator);
        let others = waiting.iter().filter(|it| !it.for_operator);
        let told = for_operator.clone().chain(others).take(MOST_TOLD);
        DamageStatus {
            waiting: waiting.len() as u64,
            for_operator: for_operator.count() as u64,
            stretches: told.cloned().collect(),
        }
    }

    /// What waits from now on.
    pub(super) fn set(&self, waiting: Vec<WaitingDamage>, now: Duration) {
        let mut state = self.0.lock();
        let is_new = state.waiting != waiting;
        state.waiting = waiting;
        if state.waiting.is_empty() || (!is_new && now < state.logged + LOG_PAUSE) {
            return;
        }
        state.logged = now;
        drop(state);
        let status = self.status();
        for it in &status.stretches {
            let WaitingDamage {
                table, start, end, ..
            } = it;
            ::tracing::warn!(
                table, start, end, damaged = ?it.damaged, down = ?it.down, why = it.why,
                "damaged data can't be written anew{}", if it.for_operator { ", and waits for an operator" } else { " yet" }
            );
        }
        let more = status.waiting - status.stretches.len() as u64;
        if more > 0 {
            ::tracing::warn!(more, "more stretches of damaged data wait");
        }
    }
}

impl<E: Env> Coordinator<E> {
    /// What a stretch waits for. `failed` says why its data could not be fetched, where that was tried.
    pub(super) fn wait(&self, table: String, stretch: &Stretch, failed: &str) -> WaitingDamage {
        let addresses = |standing: &'static [Standing]| -> Vec<String> {
            let peers = stretch.those(standing);
            peers.map(|peer| peer.address.to_string()).collect()
        };
        let damaged = addresses(&[Standing::Damaged]);
        let comes_back = |other: &&Other| match other.standing {
            Standing::Whole | Standing::Silent => true,
            Standing::Damaged => false,
            Standing::Down => !self.topology.is_dead_for_good(other.peer.id),
        };
        let there_will_be = stretch.others.iter().filter(comes_back);
        let for_operator = !stretch.would_heal_with(there_will_be.map(|other| &other.peer));
        let why = if stretch.heals() {
            failed.to_owned()
        } else if stretch.others.is_empty() {
            "this node has the only replica: restore a snapshot, truncate the table, or see `starling repair --accept-loss`"
                .to_owned()
        } else if !for_operator {
            "too few other replicas are alive".to_owned()
        } else if damaged.is_empty() {
            format!("too many other replicas are dead for good: see `starling repair {table} --accept-loss`")
        } else {
            let others = match damaged.len() {
                1 => "1 other replica is".to_owned(),
                number => format!("{number} other replicas are"),
            };
            format!(
                "{others} damaged in the same place ({}), and too few are whole to have all of it for sure: see `starling \
                 repair {table} --accept-loss`",
                damaged.join(", ")
            )
        };
        WaitingDamage {
            table,
            start: stretch.tokens.start.0,
            end: stretch.tokens.end.0,
            damaged,
            down: addresses(&[Standing::Down]),
            for_operator,
            why,
        }
    }
}
