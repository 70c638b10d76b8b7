//! What a change of the ring costs, and what it leads to: for operators, before anything happens.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use starling_model::{NodeId, TableId, TokenSet};
use starling_ring::{Ring, Strategy};

use super::{
    StreamReply, StreamRequest, Streaming,
    plan::{self, Rings, Strategies, Way},
    wire::MAX_SETS,
};
use crate::{
    env::Env,
    snapshot::Snapshot,
    topology::{ChangeKind, sparing},
};

/// What a newcomer is assumed to fetch in a second where no rate is set, in bytes: about half of the 212 to 312 MB that were measured
/// on two cores with nothing else at work (docs/convergence.md), because requests go first.
pub const ASSUMED_RATE: u64 = 120 << 20;

/// What a change moves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// What it is.
    pub change: String,
    /// Who fetches from whom.
    pub moves: Vec<Move>,
    /// Every node, before and after.
    pub nodes: Vec<Balance>,
    /// Bytes that go over the wire.
    pub bytes: u64,
    /// How long the slowest newcomer fetches, in seconds, at [`rate`](Self::rate).
    pub seconds: u64,
    /// Bytes a second that this is reckoned with for each newcomer.
    pub rate: u64,
    /// What the operator should know before.
    pub warnings: Vec<String>,
}

/// What a node fetches from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Who fetches: a host id.
    pub to: String,
    /// From whom.
    pub from: String,
    /// In how many pieces the tokens lie, of all keyspaces.
    pub ranges: usize,
    /// How many bytes, about.
    pub bytes: u64,
}

/// A node before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Its host id.
    pub node: String,
    /// Bytes of its replicas now; 0 of a node that did not answer.
    pub bytes_before: u64,
    /// The same afterwards, about.
    pub bytes_after: u64,
    /// The share of the token space whose first replica it is, 0 to 1.
    pub share_before: f64,
    /// The same afterwards.
    pub share_after: f64,
}

/// What is to be asked before: of whom, of which table, which tokens.
type Wanted = (NodeId, TableId, TokenSet);

/// All that a change makes nodes move, without sizes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flows {
    /// Who fetches what from whom.
    pub(super) fetches: Vec<(NodeId, Wanted)>,
    /// What nodes forget afterwards.
    pub(super) losses: Vec<Wanted>,
    /// What they have now.
    pub(super) holdings: Vec<Wanted>,
    pub(super) warnings: BTreeSet<String>,
}

/// Who fetches what, of all tables: pure but for the clock that it has not.
pub(super) fn flows(snapshot: &Snapshot, rings: &Rings, change: &ChangeKind) -> Flows {
    let mut flows = Flows::default();
    for table in snapshot.schema.all_tables().filter(|table| !table.is_system()) {
        let Some(strategies) = Strategies::through(snapshot, change, &table.keyspace) else {
            continue;
        };
        let current = rings.current.placement(&strategies.before);
        let fetches = rings.fetches(&strategies);
        let gainers: BTreeSet<NodeId> = fetches.iter().map(|gain| gain.node).collect();
        for gainer in gainers {
            for (way, tokens) in plan::by_way(&fetches, gainer) {
                let sources = match &way {
                    Way::Partner(partner) => vec![*partner],
                    Way::Quorum(quorum) => {
                        if quorum.is_lost() {
                            flows.warnings.insert(format!(
                                "keyspace {}: some ranges have no other replica; their data goes with the node",
                                table.keyspace
                            ));
                        } else if quorum.needed < quorum.safe {
                            flows.warnings.insert(format!(
                                "keyspace {}: of some ranges too few replicas are left to be sure of every write; run `starling repair` afterwards",
                                table.keyspace
                            ));
                        }
                        quorum.choose(gainer, |_| true).unwrap_or_default()
                    }
                };
                let fetches = sources
                    .into_iter()
                    .map(|from| (gainer, (from, table.id, tokens.clone())));
                flows.fetches.extend(fetches);
            }
        }
        let losses = rings.losses(&strategies).into_iter();
        flows
            .losses
            .extend(losses.map(|(node, tokens)| (node, table.id, tokens)));
        let holdings = rings.current.members().iter().map(|member| {
            let tokens: TokenSet = current.ranges_of(member.id).into();
            (member.id, table.id, tokens)
        });
        flows.holdings.extend(holdings);
    }
    flows
}

/// The share of the token space whose first replica each member is.
fn shares(ring: &Ring) -> BTreeMap<NodeId, f64> {
    let placement = ring.placement(&Strategy::Simple { factor: 1 });
    let all = |id| {
        let tokens: TokenSet = placement.ranges_of(id).into();
        tokens.width() as f64 / u64::MAX as f64
    };
    ring.members()
        .iter()
        .map(|member| (member.id, all(member.id)))
        .collect()
}

/// What a change would do. A node that would come in has neither a name nor an address yet.
fn planned(change: &ChangeKind) -> String {
    match change {
        ChangeKind::Join { member, .. } => format!(
            "a new node joins in datacenter '{}', rack '{}'",
            member.datacenter, member.rack
        ),
        ChangeKind::Replace { dead, .. } => format!("a new node replaces the dead node {dead}"),
        _ => change.to_string(),
    }
}

/// Puts an estimate together from the flows and what was answered about their sizes.
pub(super) fn estimate(
    change: &ChangeKind,
    rings: &Rings,
    flows: &Flows,
    sizes: &BTreeMap<NodeId, Vec<(TableId, TokenSet, u64)>>,
    rate: u64,
) -> Estimate {
    let size = |(node, table, tokens): &Wanted| {
        let of_node = sizes.get(node).into_iter().flatten();
        let mut found = of_node.filter(|(of, set, _)| of == table && set == tokens);
        found.next().map_or(0, |(_, _, bytes)| *bytes)
    };
    let mut moves: BTreeMap<(NodeId, NodeId), (usize, u64)> = BTreeMap::new();
    let mut gained: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut fetched: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut seen: BTreeMap<(NodeId, TableId), Vec<&TokenSet>> = BTreeMap::new();
    for (to, wanted) in &flows.fetches {
        let bytes = size(wanted);
        let sum = moves.entry((*to, wanted.0)).or_default();
        sum.0 += wanted.2.ranges().len();
        sum.1 += bytes;
        *fetched.entry(*to).or_default() += bytes;
        // Copies of the same range from several replicas become one, with what is there already.
        let is_there = |(node, table, tokens): &Wanted| {
            node == to && *table == wanted.1 && wanted.2.without(tokens).is_empty()
        };
        let known = seen.entry((*to, wanted.1)).or_default();
        if !known.contains(&&wanted.2) && !flows.holdings.iter().any(is_there) {
            known.push(&wanted.2);
            *gained.entry(*to).or_default() += bytes;
        }
    }
    let sum_of = |wanted: &[Wanted], node: NodeId| -> u64 {
        wanted.iter().filter(|(of, _, _)| *of == node).map(&size).sum()
    };
    let (before, after) = (shares(&rings.current), shares(&rings.next));
    let ids: BTreeSet<NodeId> = before.keys().chain(after.keys()).copied().collect();
    let nodes = ids.into_iter().map(|id| {
        let holds = sum_of(&flows.holdings, id);
        let gains = gained.get(&id).copied().unwrap_or(0);
        let stays = holds.saturating_sub(sum_of(&flows.losses, id));
        Balance {
            node: id.to_string(),
            bytes_before: holds,
            bytes_after: if after.contains_key(&id) { stays + gains } else { 0 },
            share_before: before.get(&id).copied().unwrap_or(0.0),
            share_after: after.get(&id).copied().unwrap_or(0.0),
        }
    });
    let nodes = nodes.collect();
    Estimate {
        change: planned(change),
        nodes,
        bytes: fetched.values().sum(),
        seconds: fetched
            .values()
            .max()
            .map_or(0, |most| most.div_ceil(rate.max(1))),
        rate,
        warnings: flows.warnings.iter().cloned().collect(),
        moves: moves
            .into_iter()
            .map(|((to, from), (ranges, bytes))| Move {
                to: to.to_string(),
                from: from.to_string(),
                ranges,
                bytes,
            })
            .collect(),
    }
}

impl<E: Env> Streaming<E> {
    /// What a change would move. Asks the nodes concerned how much they have; nothing changes.
    pub(crate) fn estimate<'a>(&'a self, change: &'a ChangeKind) -> BoxFuture<'a, Estimate> {
        self.reckon(change).boxed()
    }

    async fn reckon(&self, change: &ChangeKind) -> Estimate {
        let snapshot = self.views.load();
        let rings = Rings::through(&snapshot.cluster.ring, change, change.dead());
        let mut flows = flows(&snapshot, &rings, change);
        let (replications, members) = (&snapshot.cluster.replications, rings.current.members());
        let shortages = sparing::shortages(&snapshot.schema, replications, members, change);
        let shortages = shortages.into_iter();
        flows
            .warnings
            .extend(shortages.map(|shortage| format!("{shortage}: it needs --force")));
        let mut questions: BTreeMap<NodeId, BTreeMap<TableId, Vec<TokenSet>>> = BTreeMap::new();
        let fetches = flows.fetches.iter().map(|(_, wanted)| wanted);
        for (node, table, tokens) in fetches.chain(&flows.losses).chain(&flows.holdings) {
            let sets = questions.entry(*node).or_default().entry(*table).or_default();
            if !sets.contains(tokens) {
                sets.push(tokens.clone());
            }
        }
        let mut sizes: BTreeMap<NodeId, Vec<(TableId, TokenSet, u64)>> = BTreeMap::new();
        for (node, tables) in questions
            .into_iter()
            .filter(|(node, _)| !rings.gone.contains(node))
        {
            for (table, sets) in tables {
                match self.sizes_at(&snapshot, node, table, &sets).await {
                    Some(answer) => {
                        let answers = sets.into_iter().zip(answer);
                        let known = sizes.entry(node).or_default();
                        known.extend(answers.map(|(tokens, bytes)| (table, tokens, bytes)));
                    }
                    None => {
                        flows.warnings.insert(format!(
                            "node {node} does not tell how much data it has; it counts as none here"
                        ));
                        break;
                    }
                }
            }
        }
        let rate = match self.throttle.rate() {
            0 => ASSUMED_RATE,
            rate => rate,
        };
        estimate(change, &rings, &flows, &sizes, rate)
    }

    async fn sizes_at(
        &self,
        snapshot: &Snapshot,
        node: NodeId,
        table: TableId,
        sets: &[TokenSet],
    ) -> Option<Vec<u64>> {
        let mut all = Vec::with_capacity(sets.len());
        for sets in sets.chunks(MAX_SETS) {
            let sets = sets.to_vec();
            let request = StreamRequest::Sizes { table, sets };
            let reply = if node == self.id {
                self.source.answer(request).await.ok()?
            } else {
                let peer = snapshot.cluster.peers.get(&node).filter(|peer| peer.alive)?;
                self.ask_peer(peer, request).await.ok()?
            };
            let StreamReply::Sizes(sizes) = reply else {
                return None;
            };
            all.extend(sizes);
        }
        Some(all)
    }
}
