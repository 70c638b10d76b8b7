//! Who is alive.
//!
//! Proofs of life: a message from the member itself; a version of it that is newer than the known one
//! (wherever that was heard); a new generation. Hearing of a member for the first time is none: it may be
//! an old story. A member that announced its shutdown is dead whatever is heard, until it says otherwise. One that has left
//! is alive until its process ends.

use std::{net::SocketAddr, time::Duration};

use starling_model::NodeId;

use super::{Gossip, Outgoing};
use crate::{config::Config, event::Event};

/// Between two rounds lie at most so many intervals; else this process itself was suspended, and the others'
/// silence in that time proves nothing.
const OWN_PAUSE: u32 = 5;

/// For so many intervals after that, connections that others gave up meanwhile are found broken.
const AFTER_PAUSE: u32 = 2;

/// A round that is later than this shows that this process is slow.
const OWN_DELAY: u32 = 2;

/// Reports of failure that follow each other double the doubt up to so many times.
const MAX_DOUBLINGS: u32 = 5;

impl Gossip {
    /// A connection to the member was refused or broke: it is taken for dead at once, and asked itself in
    /// the next round. Until it answers, or the configured time of doubt is over, it stays so. Reports that
    /// follow each other, while only others hear from the member, double that time, up to 32 times.
    ///
    /// Nothing is changed if this process itself was suspended: then others have given up its connections, which says
    /// nothing about them.
    pub fn report_failure(&mut self, id: NodeId, now: Duration) {
        if id == self.id || self.was_suspended(now) {
            return;
        }
        let doubt = self.config.doubt;
        if let Some(record) = self.members.get_mut(&id) {
            // Who is unreachable from here, but alive to others, must not go up and down every few seconds.
            let again = record.doubted_until.is_some_and(|until| now < until + doubt);
            if record.member.alive {
                record.reports = if again {
                    (record.reports + 1).min(MAX_DOUBLINGS)
                } else {
                    0
                };
            }
            record.doubted_until = Some(now + doubt * 2_u32.pow(record.reports));
            self.set_alive(id, false);
        }
    }

    /// Whether this process stood still until a moment ago.
    fn was_suspended(&self, now: Duration) -> bool {
        let stands_still = self
            .last_tick
            .is_some_and(|last| now.saturating_sub(last) > self.config.interval * OWN_PAUSE);
        let stood_still = self
            .resumed
            .is_some_and(|resumed| now < resumed + self.config.interval * AFTER_PAUSE);
        stands_still || stood_still
    }

    /// The member answered something else than gossip: it is alive.
    pub fn report_alive(&mut self, id: NodeId, now: Duration) {
        if id == self.id {
            return;
        }
        if let Some(record) = self.members.get_mut(&id)
            && !record.member.is_shut_down()
            && !record.member.is_removed()
        {
            record.detector.proof(now);
            record.doubted_until = None;
            record.reports = 0;
            self.acquit(id);
            self.set_alive(id, true);
        }
    }

    /// How surprising a member's silence is at `now`; `None` for this node and unknown ones.
    pub fn phi(&self, id: NodeId, now: Duration) -> Option<f64> {
        let record = self.members.get(&id).filter(|_| id != self.id)?;
        let tolerated = self.config.tolerated_pause.max(2 * self.refresh());
        Some(record.detector.phi(now, tolerated, self.config.interval / 2))
    }

    /// How long it takes about until a member's heartbeat is heard of again, where digests go in sections: a node
    /// takes part in `2 * fanout` exchanges a round, and each compares `max_digests` members.
    fn refresh(&self) -> Duration {
        let Config {
            interval,
            fanout,
            max_digests,
            ..
        } = &self.config;
        let compared = (2 * fanout * max_digests).max(1);
        interval.mul_f64(self.members.len() as f64 / compared as f64)
    }

    /// A newer version of the member was heard, from whomever.
    pub(super) fn heartbeat(&mut self, id: NodeId, now: Duration) {
        let Some(record) = self.members.get_mut(&id) else {
            return;
        };
        if record.member.is_shut_down() || record.member.is_removed() {
            self.set_alive(id, false);
        } else if record.member.alive {
            record.detector.heartbeat(now);
            self.acquit(id);
        } else if record.doubted_until.is_none_or(|until| until <= now) {
            record.detector.proof(now);
            self.set_alive(id, true);
        }
    }

    /// Judges the silence of the others; returns questions to ask before anybody is taken for dead.
    pub(super) fn judge(&mut self, now: Duration, random: &mut dyn FnMut() -> u64) -> Vec<Outgoing> {
        let pause = self
            .last_tick
            .replace(now)
            .map_or(Duration::ZERO, |last| now.saturating_sub(last));
        if pause > self.config.interval * OWN_PAUSE {
            self.resumed = Some(now);
            let missed = pause.saturating_sub(self.config.interval);
            for record in self.members.values_mut().filter(|record| record.member.alive) {
                record.detector.excuse(missed, now);
                record.suspected = record.suspected.map(|since| (since + missed).min(now));
            }
            self.health.worse();
            return Vec::new();
        }
        if pause > self.config.interval * OWN_DELAY {
            self.health.worse();
        }
        self.weigh_silence(now, random)
    }

    /// Addresses of members that were reported to fail and have not been heard since: they are asked.
    pub(super) fn doubted(&self, now: Duration) -> Vec<SocketAddr> {
        self.members
            .values()
            .filter(|record| !record.member.alive && !record.member.is_removed())
            .filter(|record| record.doubted_until.is_some_and(|until| now < until))
            .map(|record| record.member.address)
            .take(self.config.fanout)
            .collect()
    }

    pub(super) fn set_alive(&mut self, id: NodeId, alive: bool) {
        let Some(record) = self.members.get_mut(&id) else {
            return;
        };
        if record.member.alive != alive {
            record.member.alive = alive;
            record.suspected = None;
            self.event(if alive { Event::Up(id) } else { Event::Down(id) });
        }
    }
}

impl Gossip {
    /// Whether a message of this member that is no answer to one of this node's proves that it can be reached.
    pub(super) fn is_doubted(&self, id: NodeId, now: Duration) -> bool {
        self.members
            .get(&id)
            .is_some_and(|record| record.doubted_until.is_some_and(|until| now < until))
    }
}
