//! From a silence that is too long to a verdict.
//!
//! After SWIM (Das, Gupta, Motivala 2002): before a silent member is taken for dead it is asked itself, and
//! others are asked to ask it, so that a broken path between two nodes is no death. After Lifeguard (Dadgar,
//! Phillips, Currey 2018): a node whose judgement was wrong, or that is late itself, waits longer.

use std::time::Duration;

use starling_model::NodeId;

use super::{Gossip, Outgoing};
use crate::{
    event::Event,
    message::{Body, Digest, Span},
    peers::below,
    reconcile,
};

/// A suspect has so many intervals for its proof, times one more than [`Health`]'s mistrust.
const PATIENCE: u32 = 2;

/// The most mistrust.
const MAX_MISTRUST: u32 = 8;

/// After so many rounds without a mistake the mistrust is one less.
const CALM_ROUNDS: u32 = 8;

/// The most members that become suspects in a round: each costs a few messages. Who is silent too stays
/// unconvicted until its turn comes.
const MAX_NEW_SUSPECTS: usize = 64;

/// The most requests to probe that a node remembers.
const MAX_PROBES: usize = 256;

/// How much a node mistrusts itself: 0, the usual, to 8.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Health {
    mistrust: u32,
    calm: u32,
}

impl Health {
    /// This node was late, or suspected somebody who is alive.
    pub(super) fn worse(&mut self) {
        self.mistrust = (self.mistrust + 1).min(MAX_MISTRUST);
        self.calm = 0;
    }

    fn round(&mut self) {
        self.calm += 1;
        if self.calm >= CALM_ROUNDS {
            self.calm = 0;
            self.mistrust = self.mistrust.saturating_sub(1);
        }
    }
}

/// Somebody wants to hear of a member that it does not hear from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    /// Of whom, and what the asker knows.
    of: Digest,
    asker: std::net::SocketAddr,
    until: Duration,
}

impl Gossip {
    /// How much this node mistrusts its own judgement: 0, unless it was late or wrong of late, to 8. Suspects have
    /// that many times longer to prove that they are alive.
    pub fn mistrust(&self) -> u32 {
        self.health.mistrust
    }

    /// Suspects members whose silence is too surprising, and returns the questions about them; convicts
    /// those suspects whose time is over.
    pub(super) fn weigh_silence(&mut self, now: Duration, random: &mut dyn FnMut() -> u64) -> Vec<Outgoing> {
        self.health.round();
        self.probes.retain(|probe| now < probe.until);
        let silent = self.silent(now);
        let alive = self.members.values().filter(|record| record.member.alive).count();
        if silent.len() * 2 > alive && silent.len() > 1 {
            // Most of the world does not die at once: this node may be the one that is cut off.
            self.health.worse();
        }
        let patience = self.config.interval * (PATIENCE * (1 + self.health.mistrust));
        let mut questions = Vec::new();
        let mut room = MAX_NEW_SUSPECTS;
        for (id, suspected) in silent {
            match suspected {
                Some(since) if now >= since + patience => self.set_alive(id, false),
                None if room > 0 => {
                    room -= 1;
                    if let Some(record) = self.members.get_mut(&id) {
                        record.suspected = Some(now);
                    }
                    self.event(Event::Suspected(id));
                    questions.extend(self.ask_about(id, random));
                }
                Some(_) | None => {}
            }
        }
        questions
    }

    /// Members whose silence is too surprising, and since when they are suspects.
    fn silent(&self, now: Duration) -> Vec<(NodeId, Option<Duration>)> {
        let others = self
            .members
            .values()
            .filter(|record| record.member.alive && record.member.id != self.id);
        let silent = others.filter(|record| {
            self.phi(record.member.id, now)
                .is_some_and(|phi| phi > self.config.phi_threshold)
        });
        silent
            .map(|record| (record.member.id, record.suspected))
            .collect()
    }

    /// Questions to a suspect, and to others about it.
    fn ask_about(&mut self, id: NodeId, random: &mut dyn FnMut() -> u64) -> Vec<Outgoing> {
        let Some(suspect) = self.member(id) else {
            return Vec::new();
        };
        let (address, of) = (suspect.address, reconcile::digest(suspect));
        let mut others: Vec<_> = self
            .members
            .values()
            .filter(|record| record.member.alive && record.suspected.is_none())
            .filter(|record| record.member.id != self.id && record.member.id != id)
            .map(|record| record.member.address)
            .collect();
        let mut questions = vec![self.question(address, of)];
        for _ in 0..self.config.witnesses.min(others.len()) {
            let witness = others.swap_remove(below(others.len() as u64, random) as usize);
            questions.push(self.message(witness, Body::Probe { of }));
        }
        questions
    }

    /// Another node asks to probe a member: it is asked, and what it answers is passed on.
    pub(super) fn probe(
        &mut self,
        now: Duration,
        asker: std::net::SocketAddr,
        of: Digest,
    ) -> Option<Outgoing> {
        let target = self.member(of.id).filter(|member| !member.is_removed())?;
        let address = target.address;
        if of.id == self.id || self.probes.len() >= MAX_PROBES {
            return None;
        }
        self.probes.push(Probe {
            of,
            asker,
            until: now + self.config.interval * PATIENCE,
        });
        let known = self.member(of.id).map_or(of, reconcile::digest);
        Some(self.question(address, known))
    }

    /// Asks a member about itself only: many suspects at once must not cost whole exchanges.
    fn question(&self, to: std::net::SocketAddr, of: Digest) -> Outgoing {
        let digests = vec![of, reconcile::digest(self.own())];
        let span = Span::Between {
            first: of.id,
            until: NodeId(of.id.0.wrapping_add(1)),
        };
        self.message(to, Body::Syn { digests, span })
    }

    /// A member answered: who asked about it hears of it.
    pub(super) fn pass_on(&mut self, id: NodeId) -> Vec<Outgoing> {
        let asked = |probe: &Probe| probe.of.id == id;
        if !self.probes.iter().any(asked) {
            return Vec::new();
        }
        let (answered, rest) = self.probes.iter().partition(|probe| asked(probe));
        self.probes = rest;
        let answered: Vec<Probe> = answered;
        let Some(member) = self.member(id) else {
            return Vec::new();
        };
        answered
            .into_iter()
            .filter_map(|probe| {
                let reconcile::Difference::TheyLack(after) = reconcile::compare(Some(member), probe.of)
                else {
                    return None;
                };
                let lack = reconcile::Lack { member, after };
                let deltas = reconcile::fit_deltas(vec![lack], self.id, self.room(), &mut || 0);
                Some(self.message(probe.asker, Body::Ack2 { deltas }))
            })
            .collect()
    }

    /// A suspect is alive: the suspicion was wrong.
    pub(super) fn acquit(&mut self, id: NodeId) {
        if let Some(record) = self.members.get_mut(&id)
            && record.suspected.take().is_some()
        {
            self.health.worse();
        }
    }
}
