//! Damaged data that nobody is left to give back: an operator accepts that it is lost.
//!
//! What is damaged here is written anew from enough other replicas (`heal`). Where replicas are damaged in the same place, or dead for
//! good, there may never be enough, and a dead node can't be replaced while what its successor needs is damaged. An operator ends this:
//! what all replicas have that are alive is taken for all there is (`rest`), for named tokens of one table.
//!
//! What keeps it narrow: what others can still give back is left to them, up to the very token where too few of them are whole; every
//! replica that is down has to be dead for good, for one that is merely down may have the data; and every one that is alive has to
//! answer. Of those that are damaged there, too, all is taken that can be read past the damage.
//!
//! What can be lost, and why that is inevitable: with three replicas a write that a quorum acknowledged may be on two, and
//! where both are damaged, on none. Nobody knows which writes these were. A deletion may be among them, while what it covered is
//! whole in another file: that shows again. And replicas forget deletions that all of them had, so a whole one need not have it any more.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use serde::{Deserialize, Serialize};
use starling_cql::Error;
use starling_model::{NodeId, TableId, TokenRange, TokenSet};

use super::{
    Coordinator,
    stretches::{Standing, Stretch, pieces_of},
};
use crate::{
    deadline::Deadline,
    env::{Env, Store},
    node::Node,
    snapshot::Snapshot,
};

/// The pause before it is looked again whether nothing is being mended.
const PAUSE: Duration = Duration::from_millis(20);

/// What an operator may accept to lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LossRequest {
    /// The keyspace.
    pub keyspace: String,
    /// The table.
    pub table: String,
    /// Only what is damaged within these tokens; may wrap around.
    pub range: Option<TokenRange>,
    /// Nodes that the operator says are dead for good.
    pub dead: Vec<NodeId>,
    /// Whether it is accepted; else it is only told.
    pub accepted: bool,
}

/// Damaged tokens of a table on one node, of which something may be lost for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The tokens after this one,
    pub start: i64,
    /// up to this one.
    pub end: i64,
    /// About how many bytes the node has for them, what is damaged among them.
    pub bytes: u64,
    /// Addresses of the other replicas that have all of theirs: it is taken for all there is.
    pub replicas: Vec<String>,
    /// Addresses of the other replicas that are damaged in the same place: of theirs what is left is taken, and they become
    /// whole with this node.
    #[serde(default)]
    pub damaged: Vec<String>,
    /// Host ids of the replicas that are dead for good.
    pub dead: Vec<String>,
    /// Whether it is done.
    pub accepted: bool,
}

/// A stretch that does not heal.
struct Doubtful {
    stretch: Stretch,
    /// Who is passed over.
    dead: BTreeSet<NodeId>,
    loss: Loss,
}

impl<E: Env> Node<E> {
    /// What of a table is damaged on this node and can't be given back by its other replicas; with `accepted`, what they and this
    /// node have is taken for all there is: each of them gets it, and what is damaged there is given up on all of them, for
    /// good. What others can give back is left out: that heals by itself.
    ///
    /// An error says whether something was changed. Refused, with nothing changed: for a table that does not exist; for a node
    /// that is said to be dead and is alive; while a replica is alive that does not tell what is damaged there; and while one is
    /// down that nobody has said to be dead for good, for it may have the data. Dead are those of the request, and those that a
    /// change of the ring removes or replaces.
    pub async fn accept_loss(&self, request: &LossRequest) -> Result<Vec<Loss>, Error> {
        self.coordinator.accept_loss(request).await
    }
}

impl<E: Env> Coordinator<E> {
    async fn accept_loss(&self, request: &LossRequest) -> Result<Vec<Loss>, Error> {
        let snapshot = self.views.load();
        let table = snapshot.schema.table(&request.keyspace, &request.table);
        let table = table.filter(|table| !table.is_system()).ok_or_else(|| {
            let (keyspace, table) = (&request.keyspace, &request.table);
            Error::invalid(format!("there is no table {keyspace}.{table} with replicas"))
        })?;
        let table = table.id;
        check_dead(&snapshot, &request.dead)?;
        if !request.accepted {
            let doubtful = self.examine_all(&snapshot, request, table).await?.into_iter();
            return Ok(doubtful.map(|it| it.loss).collect());
        }
        let deadline = Deadline::after(&self.env, self.timeouts.range);
        while self.healing.swap(true, Ordering::AcqRel) {
            if deadline.is_over(&self.env) {
                return Err(Error::invalid(
                    "damage is being mended on this node right now; nothing was changed; try again in a while",
                ));
            }
            self.env.sleep(PAUSE).await;
        }
        let snapshot = self.views.load();
        let outcome = match self.examine_all(&snapshot, request, table).await {
            Ok(doubtful) => match self.agree_on_death(&doubtful).await {
                Ok(()) => self.give_up(request, table, doubtful).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        self.healing.store(false, Ordering::Release);
        outcome
    }

    /// Whether nobody sees one of those alive that are passed over: this node may be cut off from one.
    async fn agree_on_death(&self, doubtful: &[Doubtful]) -> Result<(), Error> {
        let dead: BTreeSet<NodeId> = doubtful.iter().flat_map(|it| &it.dead).copied().collect();
        if dead.is_empty() {
            return Ok(());
        }
        let agreed = self.topology.confirm_death(&dead).await;
        agreed.map_err(|error| Error::invalid(format!("{error}; nothing was changed")))
    }

    async fn examine_all(
        &self,
        snapshot: &Snapshot,
        request: &LossRequest,
        table: TableId,
    ) -> Result<Vec<Doubtful>, Error> {
        let damaged = self.env.store().damaged().await;
        let damaged = damaged.map_err(|error| {
            Error::server(format!(
                "the storage does not tell what is damaged ({error}); nothing was changed"
            ))
        })?;
        let placement = snapshot.placement(&request.keyspace)?;
        let pieces = pieces_of(table, &damaged);
        let mut stretches = self.stretches(snapshot, placement, table, &pieces).await;
        let parts = request.range.map(|range| range.unwrapped());
        stretches.retain(|stretch| {
            let within =
                |part: &TokenRange| part.start <= stretch.tokens.start && stretch.tokens.end <= part.end;
            // Who does not tell is no reason to hope: it is asked for, and refuses.
            let heals = stretch.would_heal_with(stretch.those(&[Standing::Whole]));
            !heals && parts.as_ref().is_none_or(|parts| parts.iter().any(within))
        });
        let mut doubtful = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            doubtful.push(self.examine(request, table, stretch).await?);
        }
        Ok(doubtful)
    }

    /// What would be lost with a stretch.
    async fn examine(
        &self,
        request: &LossRequest,
        table: TableId,
        stretch: Stretch,
    ) -> Result<Doubtful, Error> {
        let (mut replicas, mut damaged, mut dead) = (Vec::new(), Vec::new(), BTreeSet::new());
        for other in &stretch.others {
            let (id, address) = (other.peer.id, other.peer.address);
            match other.standing {
                Standing::Whole => replicas.push(address.to_string()),
                Standing::Damaged => damaged.push(address.to_string()),
                Standing::Silent => {
                    return Err(Error::invalid(format!(
                        "node {id} at {address} is alive, and did not tell what is damaged there; nothing was changed; \
                         try again in a while"
                    )));
                }
                Standing::Down if request.dead.contains(&id) || self.topology.is_dead_for_good(id) => {
                    dead.insert(id);
                }
                Standing::Down => {
                    return Err(Error::invalid(format!(
                        "node {id} at {address} is down and may have what is damaged here; bring it back, or name it \
                         with --dead if it is dead for good; nothing was changed"
                    )));
                }
            }
        }
        let tokens = TokenSet::from(stretch.tokens);
        let sizes = self.env.store().sizes(table, vec![tokens]).await;
        let loss = Loss {
            start: stretch.tokens.start.0,
            end: stretch.tokens.end.0,
            bytes: sizes.ok().and_then(|sizes| sizes.first().copied()).unwrap_or(0),
            replicas,
            damaged,
            dead: dead.iter().map(ToString::to_string).collect(),
            accepted: false,
        };
        Ok(Doubtful { stretch, dead, loss })
    }

    /// Gives all that is left to all of the replicas, and gives up what was damaged.
    async fn give_up(
        &self,
        request: &LossRequest,
        table: TableId,
        doubtful: Vec<Doubtful>,
    ) -> Result<Vec<Loss>, Error> {
        let mut losses: Vec<Loss> = Vec::with_capacity(doubtful.len());
        for Doubtful { stretch, loss, .. } in doubtful {
            let (name, tokens) = (format!("{}.{}", request.keyspace, request.table), stretch.tokens);
            if let Err(why) = self.take_the_rest(table, &stretch).await {
                return Err(Error::server(format!(
                    "{} stretches of damaged data of {name} were given up; the next, {tokens}, was not on this node: {why}",
                    losses.len(),
                )));
            }
            ::tracing::warn!(
                table = name, %tokens, dead = ?loss.dead, from = ?loss.replicas, damaged = ?loss.damaged,
                "an operator has accepted that what was damaged here is lost"
            );
            losses.push(Loss {
                accepted: true,
                ..loss
            });
        }
        Ok(losses)
    }
}

/// Nobody is declared dead who is not.
fn check_dead(snapshot: &Snapshot, dead: &[NodeId]) -> Result<(), Error> {
    for id in dead {
        let peer = snapshot.cluster.peers.get(id);
        if peer.is_some_and(|peer| peer.alive) {
            return Err(Error::invalid(format!(
                "node {id} is alive, and only a dead one may be passed over; nothing was changed"
            )));
        }
    }
    Ok(())
}
