//! Which machines the ring should have, and whether it has them.

use std::{sync::Arc, time::Duration};

use starling_cql::Error;
use starling_model::NodeId;
use starling_replication::{
    Loss, LossRequest, Node,
    topology::{ChangeError, Place, RingState},
};

use super::{Cluster, StartFailure};
use crate::{
    env::SimEnv,
    executor::{First, first, oneshot},
};

/// What becomes of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It was never started.
    Spare,
    /// It belongs to the cluster, or is on its way into it.
    Resident,
    /// It was told to leave, and may have left.
    Leaving,
    /// It is dead for good, and the ring may still have it.
    Doomed,
}

/// What an operator asks a node for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingCommand {
    /// Leave the ring.
    Decommission,
    /// Take dead nodes out of it.
    Remove(Vec<NodeId>),
    /// Give up the change that is under way.
    Abort,
}

impl Cluster {
    /// What is to become of a machine.
    pub fn role(&self, number: usize) -> Role {
        self.inner.machines[number].fate.lock().role
    }

    /// Decides what is to become of a machine.
    pub fn set_role(&self, number: usize, role: Role) {
        self.inner.machines[number].fate.lock().role = role;
    }

    /// The machine takes this one's place when it starts.
    pub fn set_replaced(&self, number: usize, dead: usize) {
        self.inner.machines[number].fate.lock().replaces = Some(dead);
    }

    /// It takes nobody's place.
    pub fn forget_replaced(&self, number: usize) {
        self.inner.machines[number].fate.lock().replaces = None;
    }

    /// Whose place a machine takes.
    pub fn replaces(&self, number: usize) -> Option<usize> {
        self.inner.machines[number].fate.lock().replaces
    }

    /// All machines whose place residents take.
    pub fn replaced(&self) -> Vec<usize> {
        let residents = self.residents();
        residents
            .into_iter()
            .filter_map(|number| self.replaces(number))
            .collect()
    }

    /// The machine stands in this rack from its next start on.
    pub fn set_rack(&self, number: usize, rack: usize) {
        self.inner.machines[number].fate.lock().rack = rack;
    }

    /// The machines of a role.
    pub fn with_role(&self, role: Role) -> Vec<usize> {
        (0..self.len())
            .filter(|number| self.role(*number) == role)
            .collect()
    }

    /// The machines that have power, or may get it back.
    pub fn residents(&self) -> Vec<usize> {
        (0..self.len())
            .filter(|number| matches!(self.role(*number), Role::Resident | Role::Leaving))
            .collect()
    }

    /// The host id of a machine's node; `None` before its first start.
    pub fn id(&self, number: usize) -> Option<NodeId> {
        self.inner.machines[number].fate.lock().id
    }

    /// Starts a machine, a few times if need be. One that has left is told so, and stays off.
    pub async fn start_surely(&self, number: usize, attempts: usize, pause: Duration) {
        for _ in 0..attempts {
            if self.is_on(number) || !self.residents().contains(&number) {
                return;
            }
            match self.start(number).await {
                Ok(()) => return,
                Err(StartFailure::Node(starling_replication::StartError::Left)) => {
                    if self.role(number) != Role::Leaving {
                        let text = format!("node {number} is told that it left, and nobody asked it to");
                        self.inner.failures.lock().push(text);
                    }
                    return;
                }
                Err(_) => {
                    // Somebody finds a copy of what rotted.
                    self.disk(number).mend();
                    self.inner.handle.sleep(pause).await;
                }
            }
        }
    }

    /// Asks a node for a change of the ring, and waits at most `patience` for its end; the node goes on with it.
    /// `None`: nothing is known.
    pub async fn change_ring(
        &self,
        number: usize,
        command: RingCommand,
        patience: Duration,
    ) -> Option<Result<(), ChangeError>> {
        let (node, group) = self.inner.machines[number].serving()?;
        let (sender, receiver) = oneshot::channel();
        self.inner.handle.spawn(group, async move {
            let outcome = match command {
                RingCommand::Decommission => node.decommission(false).await,
                RingCommand::Remove(gone) => node.remove(&gone, true).await,
                RingCommand::Abort => node.abort_ring_change().await,
            };
            sender.send(outcome);
        });
        match first(receiver, self.inner.handle.sleep(patience)).await {
            First::Left(outcome) => outcome,
            First::Right(()) => None,
        }
    }

    /// Tells a node that what of a table (keyspace and name) nobody can give back there is lost, and waits at most `patience`.
    /// `None`: nothing is known.
    pub async fn accept_loss(
        &self,
        number: usize,
        (keyspace, table): (&str, &str),
        patience: Duration,
    ) -> Option<Result<Vec<Loss>, Error>> {
        let (node, group) = self.inner.machines[number].serving()?;
        let request = LossRequest {
            keyspace: keyspace.to_owned(),
            table: table.to_owned(),
            range: None,
            dead: Vec::new(),
            accepted: true,
        };
        let (sender, receiver) = oneshot::channel();
        self.inner.handle.spawn(group, async move {
            sender.send(node.accept_loss(&request).await);
        });
        match first(receiver, self.inner.handle.sleep(patience)).await {
            First::Left(outcome) => outcome,
            First::Right(()) => None,
        }
    }

    /// The nodes of the ring that are up, by machine.
    pub fn serving(&self) -> Vec<(usize, Arc<Node<SimEnv>>)> {
        (0..self.len())
            .filter_map(|number| Some((number, self.node(number)?)))
            .filter(|(_, node)| node.ring_state().serves(node.status().id))
            .collect()
    }

    /// The ring that all nodes see, if they see one, nothing is under way, and it has the machines that it should have.
    pub fn settled_ring(&self) -> Option<Arc<RingState>> {
        let serving = self.serving();
        let state = serving.first()?.1.ring_state();
        if state.change().is_some() || serving.iter().any(|(_, node)| *node.ring_state() != *state) {
            return None;
        }
        let members = state.members();
        let up = |id: NodeId| serving.iter().any(|(number, _)| self.id(*number) == Some(id));
        let all_up = members.iter().all(|member| up(member.id));
        let belongs = |number: &usize| {
            let place = self.id(*number).and_then(|id| state.place(id));
            match self.role(*number) {
                Role::Spare => true,
                Role::Resident => matches!(place, Some(Place::Serving { .. })),
                Role::Leaving => place.is_some(),
                Role::Doomed => !matches!(place, Some(Place::Serving { .. })),
            }
        };
        (all_up && (0..self.len()).all(|number| belongs(&number))).then_some(state)
    }

    /// Whether every node of the ring serves, sees all others up, and agrees with them on ring and schema, and the
    /// ring has the machines that it should have.
    pub fn is_whole(&self) -> bool {
        let Some(state) = self.settled_ring() else {
            return false;
        };
        let size = state.members().len();
        self.serving().iter().all(|(_, node)| {
            let status = node.status();
            let members = || status.members.iter().filter(|member| member.joined);
            status.ready
                && status.schema_agreed
                && members().count() == size
                && members().all(|member| member.up)
        })
    }
}
