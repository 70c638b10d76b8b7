//! Taking over what others tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use starling_model::NodeId;

use super::{Gossip, Record};
use crate::{
    detector::Detector,
    event::{Event, Refusal},
    member::Member,
    message::{Delta, Update},
    state::{MAX_STATES, MAX_VALUE_BYTES, StateKey, Versioned},
};

/// Whether a delta keeps the rules of [`Delta`]; if not, what it breaks.
pub(super) fn check(delta: &Delta) -> Result<(), Refusal> {
    let malformed = |what: &str| Err(Refusal::Malformed(what.to_owned()));
    let mut keys = BTreeSet::new();
    let mut last = delta.after;
    for Update { key, version, value } in &delta.updates {
        if *version <= last || *version > delta.upto {
            return malformed("versions out of order");
        }
        if !keys.insert(key) {
            return malformed("a state twice");
        }
        if value.len() > MAX_VALUE_BYTES {
            return malformed("a value that is too long");
        }
        last = *version;
    }
    if delta.upto < delta.after {
        return malformed("versions out of order");
    }
    if keys.len() > MAX_STATES {
        return malformed("too many states");
    }
    if delta.after == 0 && delta.address.is_none() {
        return malformed("a member without an address");
    }
    Ok(())
}

impl Gossip {
    /// Takes over what is new in deltas that were [checked](check). Returns the members that were unknown.
    pub(super) fn apply(&mut self, now: Duration, deltas: Vec<Delta>) -> Vec<NodeId> {
        let mut unknown = Vec::new();
        for delta in deltas {
            let id = delta.id;
            if id == self.id {
                self.hear_of_itself(&delta);
                continue;
            }
            if self.is_quarantined(id, delta.generation) {
                continue;
            }
            let before = self.members.len();
            self.apply_delta(now, delta);
            if self.members.len() > before {
                unknown.push(id);
            }
        }
        unknown
    }

    fn apply_delta(&mut self, now: Duration, delta: Delta) {
        let (id, from_start) = (delta.id, delta.after == 0);
        let known = self
            .members
            .get(&id)
            .map(|record| (record.member.generation, record.member.version));
        match known {
            None if from_start && self.members.len() < self.config.max_members => {
                self.join(now, delta);
            }
            None => {}
            Some((generation, _)) if delta.generation > generation && from_start => {
                self.restart(now, delta);
            }
            Some((generation, version))
                if delta.generation == generation && delta.after <= version && delta.upto > version =>
            {
                self.update(delta);
                self.part(id, now);
                self.heartbeat(id, now);
            }
            // Old news, or news that have a gap before them.
            Some(_) => {}
        }
    }

    /// Hears of a member for the first time.
    fn join(&mut self, now: Duration, delta: Delta) {
        let (id, Some(address)) = (delta.id, delta.address) else {
            return;
        };
        let member = Member {
            id,
            address,
            generation: delta.generation,
            version: 0,
            alive: false,
            states: BTreeMap::new(),
        };
        let detector = Detector::new(self.config.first_interval, now);
        self.members.insert(id, Record::new(member, detector));
        self.event(Event::Joined(id));
        self.update(delta);
        self.part(id, now);
    }

    /// Hears of a new generation: nothing of the former one counts any more.
    fn restart(&mut self, now: Duration, delta: Delta) {
        let (id, Some(address)) = (delta.id, delta.address) else {
            return;
        };
        let Some(record) = self.members.get_mut(&id) else {
            return;
        };
        record.member.address = address;
        record.member.generation = delta.generation;
        record.member.version = 0;
        record.detector = Detector::new(self.config.first_interval, now);
        record.doubted_until = None;
        record.departed_at = None;
        record.suspected = None;
        record.reports = 0;
        let former = std::mem::take(&mut record.member.states);
        self.event(Event::Restarted(id));
        self.write(delta, &former);
        self.part(id, now);
        self.heartbeat(id, now);
    }

    /// Takes over newer states of the known generation.
    fn update(&mut self, delta: Delta) {
        self.write(delta, &BTreeMap::new());
    }

    /// Writes the updates that are newer than what is known, and tells of those whose value is new also in
    /// comparison to `former`.
    fn write(&mut self, delta: Delta, former: &BTreeMap<StateKey, Versioned>) {
        let id = delta.id;
        let Some(Record { member, .. }) = self.members.get_mut(&id) else {
            return;
        };
        let mut changed = Vec::new();
        for Update { key, version, value } in delta.updates {
            let full = member.states.len() >= MAX_STATES && !member.states.contains_key(&key);
            if version <= member.version || full {
                continue;
            }
            let before = member.states.get(&key).or_else(|| former.get(&key));
            if before.is_none_or(|before| before.value != value) {
                changed.push(key);
            }
            member.states.insert(key, Versioned { value, version });
        }
        member.version = delta.upto;
        if !changed.is_empty() {
            self.freshen(id);
        }
        for key in changed {
            self.event(Event::Changed(id, key));
        }
    }

    /// Others know a later state of this node than it has itself: it runs with a clock that went back, or
    /// with a lost data directory. A generation beyond theirs makes its present state count again.
    pub(super) fn outlive(&mut self, generation: u64, version: u64) {
        let own = self.own_mut();
        let theirs_is_later = (generation, version) > (own.generation, own.version);
        if theirs_is_later && let Some(next) = generation.checked_add(1) {
            own.generation = next;
            self.changes += 1;
        }
    }
}
