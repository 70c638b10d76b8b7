//! Who is alive.
//!
//! Proofs of life: a message from the member itself; a version of it that is newer than the known one
//! (wherever that was heard); a new generation. Hearing of a member for the first time is none: it may be
//! an old story. A member that announced its shutdown is dead whatever is heard, until it says otherwise.

use std::{net::SocketAddr, time::Duration};

use starling_model::NodeId;

use super::Gossip;
use crate::event::Event;

/// Between two rounds lie at most so many intervals; else this process itself was suspended, and the silence
/// of the others proves nothing.
const OWN_PAUSE: u32 = 5;

impl Gossip {
    /// A connection to the member was refused or broke: it is taken for dead at once, and asked itself in
    /// the next round. Until it answers, or the configured time of doubt is over, it stays so.
    pub fn report_failure(&mut self, id: NodeId, now: Duration) {
        if id == self.id {
            return;
        }
        let until = now + self.config.doubt;
        if let Some(record) = self.members.get_mut(&id) {
            record.doubted_until = Some(until);
            self.set_alive(id, false);
        }
    }

    /// The member answered something else than gossip: it is alive.
    pub fn report_alive(&mut self, id: NodeId, now: Duration) {
        if id == self.id {
            return;
        }
        if let Some(record) = self.members.get_mut(&id)
            && !record.member.is_shut_down()
        {
            record.detector.proof(now);
            record.doubted_until = None;
            self.set_alive(id, true);
        }
    }

    /// How surprising a member's silence is at `now`; `None` for this node and unknown ones.
    pub fn phi(&self, id: NodeId, now: Duration) -> Option<f64> {
        let record = self.members.get(&id).filter(|_| id != self.id)?;
        Some(
            record
                .detector
                .phi(now, self.config.tolerated_pause, self.config.interval / 2),
        )
    }

    /// A newer version of the member was heard, from whomever.
    pub(super) fn heartbeat(&mut self, id: NodeId, now: Duration) {
        let Some(record) = self.members.get_mut(&id) else {
            return;
        };
        if record.member.is_shut_down() {
            self.set_alive(id, false);
        } else if record.member.alive {
            record.detector.heartbeat(now);
        } else if record.doubted_until.is_none_or(|until| until <= now) {
            record.detector.proof(now);
            record.doubted_until = None;
            self.set_alive(id, true);
        }
    }

    /// Members whose silence is too surprising are dead.
    pub(super) fn judge(&mut self, now: Duration) {
        let pause = self
            .last_tick
            .replace(now)
            .map_or(Duration::ZERO, |last| now.saturating_sub(last));
        if pause > self.config.interval * OWN_PAUSE {
            for record in self.members.values_mut().filter(|record| record.member.alive) {
                record.detector.proof(now);
            }
            return;
        }
        let silent: Vec<NodeId> = self
            .members
            .values()
            .filter(|record| record.member.alive)
            .map(|record| record.member.id)
            .filter(|id| {
                self.phi(*id, now)
                    .is_some_and(|phi| phi > self.config.phi_threshold)
            })
            .collect();
        for id in silent {
            self.set_alive(id, false);
        }
    }

    /// Addresses of members that were reported to fail and have not been heard since: they are asked.
    pub(super) fn doubted(&self, now: Duration) -> Vec<SocketAddr> {
        self.members
            .values()
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
            self.event(if alive { Event::Up(id) } else { Event::Down(id) });
        }
    }
}
