//! Who changes the ring: nodes join, leave, die for good and are removed or replaced, and move, at bad moments too.

use std::time::Duration;

use starling_model::NodeId;
use starling_replication::topology::{ChangeError, Phase};

use crate::{
    alterer::may_be_single,
    cluster::{Cluster, RingCommand, Role},
    executor::{Group, Handle},
    random::Random,
    reach::{DATACENTERS, Factors},
    trace::Place,
};

/// How long an operator looks at one command.
const PATIENCE: Duration = Duration::from_secs(40);

/// All datacenters.
const ANYWHERE: [usize; DATACENTERS] = [0, 1];

/// How often a machine that does not come up is started again, at most.
const ATTEMPTS: usize = 20;

/// Changes the ring, one thing after the other, and at times two at once.
pub struct Operator {
    handle: Handle,
    cluster: Cluster,
    random: Random,
    /// How many replicas each partition has: the ring keeps as many nodes.
    factors: Factors,
    /// The longest pause between two changes.
    pace: Duration,
    /// Stops who has left.
    is_tidy: bool,
}

impl Operator {
    /// An operator who draws from his own randomness.
    pub fn new(handle: &Handle, cluster: &Cluster, mut random: Random, factors: Factors) -> Self {
        let pace = Duration::from_millis(500 + random.below(8_000));
        Self {
            handle: handle.clone(),
            cluster: cluster.clone(),
            random,
            factors,
            pace,
            is_tidy: false,
        }
    }

    /// The same operator, who stops the process of a node that has left as soon as he is told that it has.
    pub fn tidy(self) -> Self {
        Self {
            is_tidy: true,
            ..self
        }
    }

    /// Never ends; drop it when there was enough of it.
    pub async fn run(mut self) {
        loop {
            let pause = self.random.between(Duration::from_millis(20), self.pace);
            self.handle.sleep(pause).await;
            match self.random.below(11) {
                0..=2 => self.join(),
                3 => {
                    self.join();
                    self.join();
                }
                4..=5 => self.decommission().await,
                6..=7 => self.remove().await,
                8 => self.replace().await,
                9 => self.abort().await,
                _ => self.relocate(),
            }
        }
    }

    /// Ends what is left of it: who is dead for good is removed, and what can't go on is given up.
    pub async fn finish(handle: &Handle, cluster: &Cluster, limit: Duration) {
        let end = handle.now() + limit;
        Self::let_join_anew(cluster).await;
        while handle.now() < end {
            let serving = cluster.serving();
            // One that was away may not have heard of a change yet.
            let newest = serving.iter().max_by_key(|(_, node)| node.ring_state().epoch());
            let Some((through, node)) = newest else {
                handle.sleep(Duration::from_secs(1)).await;
                continue;
            };
            let state = node.ring_state();
            let doomed = cluster.with_role(Role::Doomed);
            // Nobody may have seen it up; the change tells who comes from there.
            let incoming = state.change().and_then(|change| change.kind.incoming());
            let coming = |number: usize| {
                let (member, address) = incoming.as_ref()?;
                (*address == cluster.address(number)).then_some(member.id)
            };
            let doomed: Vec<_> = doomed
                .into_iter()
                .filter_map(|number| cluster.id(number).or_else(|| coming(number)))
                .collect();
            let replaced: Vec<_> = cluster
                .replaced()
                .into_iter()
                .filter_map(|dead| cluster.id(dead))
                .collect();
            let serves = |id: &NodeId| state.serves(*id);
            let gone: Vec<_> = doomed.iter().copied().filter(serves).collect();
            if gone.iter().any(|id| replaced.contains(id)) && state.change().is_none() {
                // Its successor is at it.
                handle.sleep(Duration::from_secs(1)).await;
                continue;
            }
            let awaited: Vec<_> = match state.change() {
                // It may need somebody who is dead for good.
                Some(change) => {
                    let dead = change.kind.dead();
                    let needed = |id: &NodeId| serves(id) && !dead.contains(id) || *id == change.coordinator;
                    doomed.into_iter().filter(needed).collect()
                }
                None if gone.is_empty() => return,
                None => gone,
            };
            if awaited.is_empty() {
                handle.sleep(Duration::from_secs(1)).await;
                continue;
            }
            let command = RingCommand::Remove(awaited);
            note(handle, "finish", || format!("{command:?} through n{through}"));
            let outcome = cluster.change_ring(*through, command, PATIENCE).await;
            note(handle, "finished", || format!("{outcome:?}"));
            // It may have had a successor.
            Self::let_join_anew(cluster).await;
            handle.sleep(Duration::from_secs(1)).await;
        }
    }

    /// Who was to replace a node that is out of the ring already joins like anybody else.
    async fn let_join_anew(cluster: &Cluster) {
        let serving = cluster.serving();
        let Some((_, node)) = serving.first() else { return };
        let state = node.ring_state();
        for number in cluster.residents() {
            let Some(dead) = cluster.replaces(number).and_then(|dead| cluster.id(dead)) else {
                continue;
            };
            let is_in = cluster.id(number).is_some_and(|id| state.serves(id));
            let is_coming = state.change().and_then(|change| change.kind.incoming());
            let is_coming = is_coming.is_some_and(|(member, _)| cluster.id(number) == Some(member.id));
            if !is_in && !is_coming && !state.serves(dead) {
                cluster.forget_replaced(number);
                cluster.kill(number);
                cluster
                    .start_surely(number, ATTEMPTS, Duration::from_millis(500))
                    .await;
            }
        }
    }

    fn any_of(&mut self, numbers: &[usize]) -> Option<usize> {
        (!numbers.is_empty()).then(|| *self.random.pick(numbers))
    }

    /// Somebody who can be spared, of these datacenters.
    fn victim(&mut self, datacenters: &[usize]) -> Option<usize> {
        let residents = self.cluster.with_role(Role::Resident);
        // Who is on its way in does not count yet.
        let settled: Vec<usize> = residents
            .into_iter()
            .filter(|number| {
                let node = self.cluster.node(*number);
                node.is_some_and(|node| node.ring_state().serves(node.status().id))
            })
            .collect();
        let stands = |number: &usize, there: usize| self.cluster.datacenter(*number) == there;
        let has_more = |there: usize| {
            settled.iter().filter(|number| stands(number, there)).count() > self.factors.there(there)
        };
        let rich = datacenters.iter().copied().filter(|there| has_more(*there));
        let rich: Vec<usize> = rich.collect();
        let spared = settled.iter().copied();
        let spared: Vec<usize> = spared
            .filter(|number| rich.iter().any(|there| stands(number, *there)))
            .collect();
        self.any_of(&spared)
    }

    fn join(&mut self) {
        let Some(number) = self.any_of(&self.cluster.with_role(Role::Spare)) else {
            return;
        };
        note(&self.handle, "join", || format!("n{number}"));
        self.cluster.set_role(number, Role::Resident);
        self.start_later(number, Duration::ZERO);
    }

    fn start_later(&self, number: usize, delay: Duration) {
        let (handle, cluster) = (self.handle.clone(), self.cluster.clone());
        self.handle.spawn(Group::WORLD, async move {
            handle.sleep(delay).await;
            cluster
                .start_surely(number, ATTEMPTS, Duration::from_millis(500))
                .await;
        });
    }

    async fn decommission(&mut self) {
        let Some(number) = self.victim(&ANYWHERE) else {
            return;
        };
        note(&self.handle, "decommission", || format!("n{number}"));
        self.cluster.set_role(number, Role::Leaving);
        let outcome = self
            .cluster
            .change_ring(number, RingCommand::Decommission, PATIENCE)
            .await;
        note(&self.handle, "decommissioned", || {
            format!("n{number}: {outcome:?}")
        });
        let refused = matches!(
            outcome,
            Some(Err(ChangeError::Busy { .. }
                | ChangeError::Down { .. }
                | ChangeError::NotYet(_)
                | ChangeError::Refused(_)))
        );
        if refused {
            self.cluster.set_role(number, Role::Resident);
        } else if self.is_tidy && outcome == Some(Ok(())) {
            self.cluster.kill(number);
        }
    }

    /// A machine of these datacenters dies for good, if its data is not all there is.
    fn doom(&mut self, datacenters: &[usize]) -> Option<usize> {
        // With what rotted, that may be two losses of what two have.
        let bears_both = self.factors.bear_rot_and_death();
        if may_be_single(&self.cluster) || self.cluster.has_rotted() && !bears_both {
            return None;
        }
        if self.factors.least() < 2
            || !self
                .cluster
                .with_role(Role::Doomed)
                .iter()
                .all(|dead| self.is_out(*dead))
        {
            return None;
        }
        let coming = self.coming();
        let coming = coming.filter(|number| datacenters.contains(&self.cluster.datacenter(*number)));
        let coming = coming.filter(|_| self.random.chance(300));
        let number = coming.or_else(|| self.victim(datacenters))?;
        note(&self.handle, "doom", || format!("n{number}"));
        self.cluster.set_role(number, Role::Doomed);
        self.cluster.crash(number);
        Some(number)
    }

    /// The machine whose node a change brings in.
    fn coming(&self) -> Option<usize> {
        let residents = self.cluster.with_role(Role::Resident).into_iter();
        let mut known = residents.filter_map(|number| Some((number, self.cluster.id(number)?)));
        known
            .find(|(_, id)| self.is_coming(*id))
            .map(|(number, _)| number)
    }

    /// Whether a node knows of a change that brings this one in.
    fn is_coming(&self, id: NodeId) -> bool {
        let serving = self.cluster.serving();
        let mut changes = serving.iter().filter_map(|(_, node)| node.ring_change());
        changes.any(|change| matches!(change.kind.incoming(), Some((member, _)) if member.id == id))
    }

    /// Whether all nodes of the ring know that it is out, and it does not come in.
    fn is_out(&self, number: usize) -> bool {
        let serving = self.cluster.serving();
        let Some(id) = self.cluster.id(number) else {
            return true;
        };
        !serving.is_empty()
            && !self.is_coming(id)
            && serving.iter().all(|(_, node)| !node.ring_state().serves(id))
    }

    /// A node dies for good, at times in the midst of a change, and is removed.
    async fn remove(&mut self) {
        if self.random.chance(500) {
            self.await_change().await;
        }
        let Some(number) = self.doom(&ANYWHERE) else {
            return;
        };
        let delay = Duration::from_millis(self.random.below(20_000));
        self.handle.sleep(delay).await;
        let Some(id) = self.cluster.id(number) else { return };
        for _ in 0..4 {
            let Some(through) = self.any_of(&self.cluster.with_role(Role::Resident)) else {
                return;
            };
            note(&self.handle, "remove", || format!("n{number} through n{through}"));
            let outcome = self
                .cluster
                .change_ring(through, RingCommand::Remove(vec![id]), PATIENCE)
                .await;
            note(&self.handle, "removed", || format!("n{number}: {outcome:?}"));
            if self.is_out(number) {
                return;
            }
            self.handle.sleep(Duration::from_secs(2)).await;
        }
    }

    /// Waits a while until a change is under way, at times until all data is there; a node joins if there is none.
    async fn await_change(&mut self) {
        let phase = *self.random.pick(&[Phase::Pending, Phase::Settling]);
        if !self.is_changing(None) {
            self.join();
        }
        for _ in 0..2_000 {
            if self.is_changing(Some(phase)) {
                return;
            }
            self.handle.sleep(Duration::from_millis(3)).await;
        }
    }

    /// Whether a node knows of a change, in this phase if one is named.
    fn is_changing(&self, phase: Option<Phase>) -> bool {
        let serving = self.cluster.serving();
        let changes = serving.iter().filter_map(|(_, node)| node.ring_change());
        changes
            .into_iter()
            .any(|change| phase.is_none_or(|phase| change.phase == phase))
    }

    /// A node dies for good, at times in the midst of a change, and another is started in its place.
    async fn replace(&mut self) {
        if self.random.chance(500) {
            self.await_change().await;
        }
        let Some(number) = self.any_of(&self.cluster.with_role(Role::Spare)) else {
            return;
        };
        // Its place is in its own datacenter.
        let there = self.cluster.datacenter(number);
        let Some(dead) = self.doom(&[there]) else { return };
        note(&self.handle, "replace", || format!("n{dead} by n{number}"));
        self.cluster.set_role(number, Role::Resident);
        self.cluster.set_replaced(number, dead);
        let delay = Duration::from_millis(self.random.below(15_000));
        self.start_later(number, delay);
    }

    async fn abort(&mut self) {
        let Some(through) = self.any_of(&self.cluster.with_role(Role::Resident)) else {
            return;
        };
        note(&self.handle, "abort", || format!("through n{through}"));
        let outcome = self
            .cluster
            .change_ring(through, RingCommand::Abort, PATIENCE)
            .await;
        note(&self.handle, "aborted", || format!("{outcome:?}"));
    }

    fn relocate(&mut self) {
        let Some(number) = self.any_of(&self.cluster.with_role(Role::Resident)) else {
            return;
        };
        let rack = 1 + self.random.index(4);
        note(&self.handle, "move", || format!("n{number} to rack {rack}"));
        self.cluster.set_rack(number, rack);
        self.cluster.kill(number);
        let delay = Duration::from_millis(self.random.below(3_000));
        self.start_later(number, delay);
    }
}

fn note(handle: &Handle, kind: &str, text: impl FnOnce() -> String) {
    handle.trace().event(handle.now(), Place::World, kind, &[], text);
}
