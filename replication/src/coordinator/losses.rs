//! Damaged data that nobody is left to give back: an operator accepts that it is lost.
//!
//! What is damaged here is written anew from enough other replicas (`heal`). Where a replica is dead for good there may never be enough,
//! and a dead node can't be replaced while what its successor needs is damaged. An operator ends this: what the others
//! have that can be reached is taken for all there is, for named tokens of one table, and on this node alone.
//!
//! What keeps it narrow: what others can still give back is left to them; every replica that is down has to be dead for good, for
//! one that is merely down may have the data; and every one that is alive has to answer. One that is damaged in the same
//! place gives nothing there: what it has besides stays there, and comes from there when replicas are compared.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use serde::{Deserialize, Serialize};
use starling_cql::Error;
use starling_model::{NodeId, TableId, TokenRange, TokenSet};

use super::{
    Coordinator,
    heal::{Stretch, stretches},
};
use crate::{
    deadline::Deadline,
    env::{Damaged, Env, Store},
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

/// A damaged piece of a table on one node, of which something may be lost for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The tokens after this one,
    pub start: i64,
    /// up to this one.
    pub end: i64,
    /// About how many bytes the node has for them, what is damaged among them.
    pub bytes: u64,
    /// Addresses of the replicas whose data is taken for all there is.
    pub replicas: Vec<String>,
    /// Host ids of the replicas that are dead for good.
    pub dead: Vec<String>,
    /// Whether it is done.
    pub accepted: bool,
}

/// A piece, and who else has what lies in it.
struct Piece {
    damaged: Damaged,
    stretches: Vec<Stretch>,
    /// Who is passed over.
    dead: BTreeSet<NodeId>,
    loss: Loss,
}

impl<E: Env> Node<E> {
    /// What of a table is damaged on this node and can't be given back by its other replicas; with `accepted` these are taken
    /// for all there is, and the damaged pieces are given up, for good. What others can give back is left out: that heals
    /// by itself.
    ///
    /// An error says whether something was changed. Refused, with nothing changed: for a table that does not exist; for a node
    /// that is said to be dead and is alive; and while a replica is down that nobody has said to be dead for good, for it may have
    /// the data. Dead are those of the request, and those that a change of the ring removes or replaces.
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
            let pieces = self.examine_all(&snapshot, request, table).await?.into_iter();
            return Ok(pieces.map(|piece| piece.loss).collect());
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
            Ok(pieces) => match self.agree_on_death(&pieces).await {
                Ok(()) => self.give_up(request, pieces).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        self.healing.store(false, Ordering::Release);
        outcome
    }

    /// Whether nobody sees one of those alive that are passed over: this node may be cut off from one.
    async fn agree_on_death(&self, pieces: &[Piece]) -> Result<(), Error> {
        let dead: BTreeSet<NodeId> = pieces.iter().flat_map(|piece| &piece.dead).copied().collect();
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
    ) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::new();
        for damaged in self.damaged_pieces(table, request.range).await? {
            pieces.extend(self.examine(snapshot, request, damaged).await?);
        }
        Ok(pieces)
    }

    async fn damaged_pieces(&self, table: TableId, range: Option<TokenRange>) -> Result<Vec<Damaged>, Error> {
        let damaged = self.env.store().damaged().await;
        let damaged = damaged.map_err(|error| {
            Error::server(format!(
                "the storage does not tell what is damaged ({error}); nothing was changed"
            ))
        })?;
        let parts = range.map(|range| range.unwrapped());
        let is_meant = |piece: &Damaged| {
            let within = |part: &TokenRange| part.start <= piece.tokens.start && piece.tokens.end <= part.end;
            let is_within = parts.as_ref().is_none_or(|parts| parts.iter().any(within));
            piece.table == table && is_within
        };
        Ok(damaged.into_iter().filter(is_meant).collect())
    }

    /// What would be lost with a piece; `None` if others can give all of it back.
    async fn examine(
        &self,
        snapshot: &Snapshot,
        request: &LossRequest,
        damaged: Damaged,
    ) -> Result<Option<Piece>, Error> {
        let placement = snapshot.placement(&request.keyspace)?;
        let mut stretches = stretches(snapshot, placement, damaged.tokens);
        if stretches.iter().all(Stretch::heals) {
            return Ok(None);
        }
        let (mut replicas, mut dead) = (BTreeSet::new(), BTreeSet::new());
        for peer in stretches.iter().flat_map(Stretch::others) {
            if peer.alive {
                replicas.insert(peer.address.to_string());
            } else if request.dead.contains(&peer.id) || self.topology.is_dead_for_good(peer.id) {
                dead.insert(peer.id);
            } else {
                return Err(Error::invalid(format!(
                    "node {} at {} is down and may have what is damaged here; bring it back, or name it with --dead if it \
                     is dead for good; nothing was changed",
                    peer.id, peer.address
                )));
            }
        }
        stretches.iter_mut().for_each(Stretch::accept_what_is_there);
        let tokens: TokenSet = [damaged.tokens].into_iter().collect();
        let sizes = self.env.store().sizes(damaged.table, vec![tokens]).await;
        let loss = Loss {
            start: damaged.tokens.start.0,
            end: damaged.tokens.end.0,
            bytes: sizes.ok().and_then(|sizes| sizes.first().copied()).unwrap_or(0),
            replicas: replicas.into_iter().collect(),
            dead: dead.iter().map(ToString::to_string).collect(),
            accepted: false,
        };
        Ok(Some(Piece {
            damaged,
            stretches,
            dead,
            loss,
        }))
    }

    /// Writes each piece anew from what the others have, and gives up what was damaged.
    async fn give_up(&self, request: &LossRequest, pieces: Vec<Piece>) -> Result<Vec<Loss>, Error> {
        let mut losses: Vec<Loss> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let table = format!("{}.{}", request.keyspace, request.table);
            if let Err(why) = self.write_anew(piece.damaged, &piece.stretches).await {
                return Err(Error::server(format!(
                    "{} damaged pieces of {table} were given up; the next, {}, was not: {why}",
                    losses.len(),
                    piece.damaged.tokens
                )));
            }
            self.counters.losses_accepted.one();
            ::tracing::warn!(table, tokens = %piece.damaged.tokens, dead = ?piece.loss.dead, from = ?piece.loss.replicas, "an operator has accepted that what was damaged here is lost");
            losses.push(Loss {
                accepted: true,
                ..piece.loss
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
