//! Steps of a change that were taken before everybody had confirmed the one before.

use std::collections::BTreeSet;

use starling_model::NodeId;
use starling_replication::topology::{Change, Phase, RingState};

use super::belief::Belief;

/// Which steps were seen. Each is judged when it is seen first, which is when whoever takes it has just taken it.
#[derive(Debug, Default)]
pub(super) struct Steps {
    settling: BTreeSet<u128>,
    done: BTreeSet<u128>,
}

impl Steps {
    /// Judges what became of a node's ring: who of the living that have to know the step before does not.
    pub(super) fn judge(
        &mut self,
        before: Option<&Belief>,
        now: &Belief,
        living: &[&Belief],
    ) -> Option<String> {
        self.judge_settling(now, living)
            .or_else(|| self.judge_end(before?, now, living))
    }

    fn judge_settling(&mut self, now: &Belief, living: &[&Belief]) -> Option<String> {
        let change = now.state.change()?;
        if change.phase != Phase::Settling || !self.settling.insert(change.id) {
            return None;
        }
        let pending = now.state.with_change(change, Phase::Pending).epoch();
        let ignorant = ignorant((&now.state, change), pending, living)?;
        Some(format!(
            "n{}: '{}' settles, and n{} does not know that it is pending: epoch {}, not {pending}",
            now.number, change.kind, ignorant.number, ignorant.stamp.epoch
        ))
    }

    fn judge_end(&mut self, before: &Belief, now: &Belief, living: &[&Belief]) -> Option<String> {
        let change = before.state.change()?;
        let is_done = change.phase == Phase::Settling && *now.state == before.state.completed();
        if !is_done || !self.done.insert(change.id) {
            return None;
        }
        let settling = before.stamp.epoch;
        let ignorant = ignorant((&before.state, change), settling, living)?;
        Some(format!(
            "n{}: '{}' is done, and n{} does not know that it settles: epoch {}, not {settling}",
            now.number, change.kind, ignorant.number, ignorant.stamp.epoch
        ))
    }
}

/// Of those who take part in a change, somebody living who knows less than this epoch. Its coordinator may be excused:
/// it took the step before itself, and an operator may have said that it is dead since.
fn ignorant<'a>(
    (state, change): (&RingState, &Change),
    epoch: u64,
    living: &[&'a Belief],
) -> Option<&'a Belief> {
    let dead = change.kind.dead();
    let members = state.members().into_iter().map(|member| member.id);
    let incoming = change.kind.incoming().map(|(member, _)| member.id);
    let excused = |id: &NodeId| dead.contains(id) || change.lost.contains(id) || *id == change.coordinator;
    let participants: BTreeSet<NodeId> = members.chain(incoming).filter(|id| !excused(id)).collect();
    let mut living = living.iter().copied();
    living.find(|node| participants.contains(&node.id) && node.stamp.epoch < epoch)
}
