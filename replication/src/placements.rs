//! Who holds what of each keyspace, now and after the change of the ring that is under way.
//!
//! It follows from the ring's state, which has the members and what altered keyspaces are replicated by, and from what the
//! schema says that a keyspace was created with. Both the members and the replication are another one after a change only, and
//! nowhere but here they become replicas.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use starling_cql::schema::{Replication, Replications, Schema};
use starling_model::{NodeId, Token, TokenRange, TokenSet};
use starling_ring::{Placement, Strategy};

use crate::{
    snapshot::{Cluster, Snapshot},
    topology::{ChangeKind, quorum::ReplicaSets},
};

/// How a keyspace's replicas are chosen before a change of the ring, and after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strategies {
    /// Before.
    pub before: Strategy,
    /// After; the same unless the keyspace is what is altered.
    pub after: Strategy,
}

impl Strategies {
    /// Those of a keyspace, given what altered ones are replicated by; `None` if there is no such keyspace.
    pub(crate) fn of(
        schema: &Schema,
        keyspace: &str,
        before: &Replications,
        after: &Replications,
    ) -> Option<Self> {
        let before = schema.replication_by(keyspace, before)?;
        let after = schema.replication_by(keyspace, after)?;
        if before == after {
            return Some(strategy(keyspace, before).into());
        }
        Some(Self {
            before: strategy(keyspace, before),
            after: strategy(keyspace, after),
        })
    }

    /// Those of a keyspace now and after a change, if nodes keep replicas of it for each other.
    pub(crate) fn through(snapshot: &Snapshot, change: &ChangeKind, keyspace: &str) -> Option<Self> {
        let before = &snapshot.cluster.replications;
        let after = change.next_replications(before);
        Self::of(&snapshot.schema, keyspace, before, &after).filter(Self::are_replicated)
    }

    /// Whether the keyspace is altered.
    pub(crate) fn alters(&self) -> bool {
        self.before != self.after
    }

    /// Whether nodes keep replicas for each other.
    pub(crate) fn are_replicated(&self) -> bool {
        self.before != Strategy::Local || self.after != Strategy::Local
    }
}

impl From<Strategy> for Strategies {
    /// For a keyspace that is not altered.
    fn from(strategy: Strategy) -> Self {
        Self {
            before: strategy.clone(),
            after: strategy,
        }
    }
}

fn strategy(keyspace: &str, replication: &Replication) -> Strategy {
    let options = replication.options.iter();
    let options = options.map(|(name, value)| (name.clone(), value.clone()));
    // A keyspace whose options make no sense can't be made; should one come from a newer node all the same, it has no
    // replicas here and answers Unavailable.
    Strategy::parse(&replication.class, options).unwrap_or_else(|error| {
        ::tracing::error!(keyspace, %error, "unusable replication options");
        Strategy::Local
    })
}

/// Where a keyspace's data is, and where it will be.
#[derive(Debug, Clone)]
pub(crate) struct Placements {
    strategies: Strategies,
    pub(crate) current: Arc<Placement>,
    /// While a change makes it another one.
    pub(crate) next: Option<Arc<Placement>>,
    /// What this node is a replica of, now or after the change.
    pub(crate) own: Arc<TokenSet>,
}

impl Placements {
    fn new(cluster: &Cluster, strategies: Strategies) -> Self {
        let current = cluster.ring.placement(&strategies.before);
        let next = cluster.next_ring().map(|next| next.placement(&strategies.after));
        let next = next.filter(|next| *next != current);
        let both = std::iter::once(&current).chain(&next);
        let own = both
            .flat_map(|placement| placement.ranges_of(cluster.me))
            .collect();
        Self {
            own: Arc::new(own),
            next: next.map(Arc::new),
            current: Arc::new(current),
            strategies,
        }
    }

    /// Whether these are the same, made once: quick, and false now and then of equal ones.
    pub(crate) fn are_same(&self, other: &Self) -> bool {
        let same_next = match (&self.next, &other.next) {
            (Some(next), Some(other)) => Arc::ptr_eq(next, other),
            (None, None) => true,
            _ => false,
        };
        same_next && Arc::ptr_eq(&self.current, &other.current)
    }

    /// The replicas of a token.
    pub(crate) fn sets(&self, token: Token) -> ReplicaSets {
        let next = self.next.as_ref().map(|next| next.replicas(token));
        ReplicaSets::new(self.current.replicas(token), next)
    }

    /// The replicas, now, of each arc that has some of these tokens, which do not wrap.
    pub(crate) fn current_within(&self, tokens: TokenRange) -> impl Iterator<Item = &[NodeId]> {
        let ranges = self.current.ranges();
        ranges
            .skip_while(move |(arc, _)| arc.end <= tokens.start)
            .take_while(move |(arc, _)| arc.start < tokens.end)
            .map(|(_, replicas)| replicas)
    }

    /// All arcs in token order, cut where the replicas change now or after the change. None wraps.
    pub(crate) fn ranges(&self) -> Vec<(TokenRange, ReplicaSets)> {
        let current = self.current.ranges();
        let Some(next) = &self.next else {
            return current
                .map(|(range, replicas)| (range, ReplicaSets::new(replicas, None)))
                .collect();
        };
        let ends = current.chain(next.ranges()).map(|(range, _)| range.end);
        let ends: BTreeSet<Token> = ends.collect();
        let mut start = Token::MIN;
        let mut ranges = Vec::with_capacity(ends.len());
        for end in ends {
            ranges.push((TokenRange { start, end }, self.sets(end)));
            start = end;
        }
        ranges
    }
}

/// Placements by keyspace.
pub(crate) type ByKeyspace = BTreeMap<String, Placements>;

/// Placements for every keyspace; those of before are kept where ring and strategies are the same.
pub(crate) fn of_all(
    cluster: &Cluster,
    schema: &Schema,
    last: Option<(&Cluster, &ByKeyspace)>,
) -> ByKeyspace {
    let same_ring = |last: &Cluster| last.ring == cluster.ring && last.next_ring() == cluster.next_ring();
    let last = last.filter(|(last, _)| same_ring(last));
    let next_replications = cluster.next_replications();
    let after = next_replications.as_ref().unwrap_or(&cluster.replications);
    let mut by_strategies: BTreeMap<Strategies, Placements> = BTreeMap::new();
    let mut placements = ByKeyspace::new();
    for keyspace in schema.keyspaces() {
        let strategies = Strategies::of(schema, &keyspace.name, &cluster.replications, after);
        let strategies = strategies.unwrap_or_else(|| Strategy::Local.into());
        let kept = last.and_then(|(_, last)| last.get(&keyspace.name));
        let kept = kept.filter(|kept| kept.strategies == strategies);
        let placed = match (kept, by_strategies.get(&strategies)) {
            (Some(placements), _) | (None, Some(placements)) => placements.clone(),
            (None, None) => Placements::new(cluster, strategies.clone()),
        };
        by_strategies.insert(strategies, placed.clone());
        placements.insert(keyspace.name.clone(), placed);
    }
    placements
}
