//! Damaged data that does not heal now: what it waits for, told to operators.
//!
//! Some of it heals once nodes are back. Some never will by itself: as many replicas are damaged in the same place, or dead for good, as
//! may together have had an acknowledged write that nobody else has. That waits for an operator ([`losses`](super::losses)).

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling_model::{NodeId, TableId, TokenRange};

use super::{
    Coordinator,
    stretches::{Other, Standing, Stretch},
};
use crate::env::Env;

/// What waits is logged when it has become another, and else so often.
const LOG_PAUSE: Duration = Duration::from_mins(10);

/// Who did not tell what is damaged is not asked again for so long: a node of a release that does not know the question gives the
/// connection up, and with it all that is under way on it.
const SILENCE: Duration = Duration::from_mins(1);

/// Of a stretch whose data could not be fetched, or given up, twice and more, the next attempt waits: it may fetch all of it again.
/// Each pause is twice the one before it.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

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
    /// Of tokens of which no other replica was asked.
    pub(super) fn unasked(table: String, tokens: TokenRange, why: &str) -> Self {
        Self {
            table,
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
    /// Who did not tell what is damaged, and until when it is not asked.
    silent: BTreeMap<NodeId, Duration>,
    failed: BTreeMap<(TableId, TokenRange), Attempt>,
}

/// The last attempt to heal a stretch, which failed.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    why: &'static str,
    pause: Duration,
    /// When the next one is made.
    next: Duration,
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

    /// Whether a node may be asked what is damaged there.
    pub(super) fn may_ask(&self, node: NodeId, now: Duration) -> bool {
        let mut state = self.0.lock();
        state.silent.retain(|_, until| now < *until);
        !state.silent.contains_key(&node)
    }

    /// A node did not tell.
    pub(super) fn was_silent(&self, node: NodeId, now: Duration) {
        self.0.lock().silent.insert(node, now + SILENCE);
    }

    /// Why a stretch could not be healed, if it is not to be tried again yet.
    pub(super) fn held_back(
        &self,
        table: TableId,
        tokens: TokenRange,
        now: Duration,
    ) -> Option<&'static str> {
        let state = self.0.lock();
        let attempt = state
            .failed
            .get(&(table, tokens))
            .filter(|attempt| now < attempt.next);
        attempt.map(|attempt| attempt.why)
    }

    /// An attempt to heal a stretch has ended.
    pub(super) fn tried(
        &self,
        table: TableId,
        tokens: TokenRange,
        failure: Option<&'static str>,
        now: Duration,
    ) {
        let mut state = self.0.lock();
        let Some(why) = failure else {
            state.failed.remove(&(table, tokens));
            return;
        };
        state
            .failed
            .retain(|_, attempt| now < attempt.next + 2 * LONGEST_PAUSE);
        let pause = match state.failed.get(&(table, tokens)) {
            Some(last) => (last.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
            None => Duration::ZERO,
        };
        let next = now + pause;
        state.failed.insert((table, tokens), Attempt { why, pause, next });
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

#[cfg(test)]
mod tests {
    use starling_model::Token;

    use super::*;

    #[test]
    fn attempts_that_fail_again_wait_longer_each_time_up_to_a_minute() {
        let waiting = Waiting::default();
        let table = TableId(1);
        let [one, other] = [0, 10].map(|start| TokenRange {
            start: Token(start),
            end: Token(start + 10),
        });
        let mut now = Duration::from_secs(100);
        waiting.tried(table, one, Some("first"), now);
        assert_eq!(waiting.held_back(table, one, now), None, "once is no pattern");
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            waiting.tried(table, one, Some("again"), now);
            let before = now + Duration::from_secs(pause - 1);
            now += Duration::from_secs(pause);
            assert_eq!(waiting.held_back(table, one, before), Some("again"), "{pause}");
            assert_eq!(waiting.held_back(table, other, before), None);
            assert_eq!(waiting.held_back(table, one, now), None, "{pause}");
        }
        waiting.tried(table, one, None, now);
        waiting.tried(table, one, Some("anew"), now);
        assert_eq!(waiting.held_back(table, one, now), None);
    }

    #[test]
    fn who_is_silent_is_asked_once_a_minute() {
        let waiting = Waiting::default();
        let now = Duration::from_secs(100);
        assert!(waiting.may_ask(NodeId(1), now));
        waiting.was_silent(NodeId(1), now);
        assert!(!waiting.may_ask(NodeId(1), now + SILENCE / 2));
        assert!(waiting.may_ask(NodeId(2), now));
        assert!(waiting.may_ask(NodeId(1), now + SILENCE));
    }
}
