//! On whom clients may count while the ring changes.

use std::{collections::BTreeSet, time::Duration};

use super::{Cluster, Role};

/// How long a node that was away is not counted on after its return: the others have to hear that it is back.
const RETURN: Duration = Duration::from_secs(20);

impl Cluster {
    /// The machines whose nodes serve clients, and are neither about to leave nor just back.
    pub fn at_service(&self) -> Vec<usize> {
        let now = self.inner.handle.now();
        let serving = self.serving().into_iter();
        let ready = serving.filter(|(number, node)| {
            self.role(*number) == Role::Resident && node.status().ready && !self.was_away(*number, now)
        });
        ready.map(|(number, _)| number).collect()
    }

    /// The machines that some node needs: they are in its ring, or come into it. One that was told to leave is none of them: as
    /// soon as it may be stopped nobody needs it any more.
    pub fn needed(&self) -> BTreeSet<usize> {
        let serving = self.serving();
        let is_needed = |number: &usize| {
            let Some(id) = self.id(*number) else { return false };
            serving.iter().any(|(_, node)| {
                let state = node.ring_state();
                let coming = state.change().and_then(|change| change.kind.incoming());
                state.serves(id) || coming.is_some_and(|(member, _)| member.id == id)
            })
        };
        let residents = self.with_role(Role::Resident).into_iter();
        let mortal = residents.chain(self.with_role(Role::Doomed));
        mortal.filter(is_needed).collect()
    }

    /// Whether a machine lost its power and was not back long enough before `since`. Before its first start it was not away.
    pub fn was_away(&self, number: usize, since: Duration) -> bool {
        let fate = self.inner.machines[number].fate.lock();
        fate.lost.is_some() && fate.back.is_none_or(|back| back + RETURN > since)
    }
}
