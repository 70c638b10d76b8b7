//! Sessions in the background, all the time: of each range of each table the first of its live replicas looks after
//! it, one range after the other, so that a round takes about the configured time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use starling_model::{NodeId, TableId, TokenRange};

use super::{
    AntiEntropy,
    divergence::{Divergences, TableDivergence},
    local::TreeSizes,
    session::{Manner, Outcome, Session, SessionError, Subject},
    wire::SessionRequest,
};
use crate::{
    env::Env,
    placements::Placements,
    snapshot::{Peer, Snapshot},
};

/// The shortest pause between two ranges.
const SHORTEST: Duration = Duration::from_millis(20);

/// How often the storage is told what it may purge, and the file written, at most.
const HAND_DOWN: Duration = Duration::from_secs(5);

/// A range and its replicas, dead ones among them.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) table: TableId,
    pub(super) name: String,
    pub(super) grace: u32,
    pub(super) tokens: TokenRange,
    pub(super) replicas: Vec<Arc<Peer>>,
    /// How many replicas there should be: more than are known while the ring is learnt.
    pub(super) expected: usize,
    /// No change of the ring takes the range to other replicas.
    pub(super) settled: bool,
}

impl Range {
    fn live(&self) -> Vec<Arc<Peer>> {
        self.replicas.iter().filter(|peer| peer.alive).cloned().collect()
    }

    fn ids(&self) -> Vec<NodeId> {
        self.replicas.iter().map(|peer| peer.id).collect()
    }

    /// The same replicas, as they are now.
    pub(super) fn refresh(&mut self, snapshot: &Snapshot) {
        let peers = snapshot.peers_of(&self.ids());
        if peers.len() == self.replicas.len() {
            self.replicas = peers;
        }
    }

    /// Whether `node` looks after it: the first replica that is alive does.
    fn is_looked_after_by(&self, node: NodeId) -> bool {
        let first = self.replicas.iter().find(|peer| peer.alive);
        first.is_some_and(|peer| peer.id == node)
    }

    /// Whether just these are its replicas.
    fn has_replicas_of(&self, placements: &Placements) -> bool {
        placements.current_within(self.tokens).all(|current| {
            let is_current = |peer: &Arc<Peer>| current.contains(&peer.id);
            current.len() == self.expected && self.replicas.iter().all(is_current)
        })
    }

    fn lacks_replicas(&self) -> bool {
        self.replicas.len() != self.expected
    }

    fn is_complete(&self) -> bool {
        self.settled && !self.lacks_replicas() && self.replicas.iter().all(|peer| peer.alive)
    }
}

fn placements_of(snapshot: &Snapshot, table: TableId) -> Option<&Placements> {
    let table = snapshot.schema.table_by_id(table)?;
    snapshot.placements(&table.keyspace).ok()
}

/// Whether the range's replicas are those of a ring.
fn has_its_replicas(snapshot: &Snapshot, arc: &Range) -> bool {
    placements_of(snapshot, arc.table).is_some_and(|placements| arc.has_replicas_of(placements))
}

/// The ranges of all tables of users for which `wanted` holds.
pub(super) fn arcs(snapshot: &Snapshot, wanted: impl Fn(&str, &str) -> bool) -> Vec<Range> {
    let mut arcs = Vec::new();
    for keyspace in snapshot.schema.keyspaces() {
        let Ok(placements) = snapshot.placements(&keyspace.name) else {
            continue;
        };
        let mut ranges = placements.ranges();
        ranges.retain(|(_, sets)| !sets.current.is_empty());
        for table in snapshot.schema.tables(&keyspace.name) {
            if !wanted(&table.keyspace, &table.name) {
                continue;
            }
            for (tokens, sets) in &ranges {
                arcs.push(Range {
                    table: table.id,
                    name: format!("{}.{}", table.keyspace, table.name),
                    grace: table.options.gc_grace_seconds(),
                    tokens: *tokens,
                    replicas: snapshot.peers_of(&sets.current),
                    expected: sets.current.len(),
                    settled: sets.next.is_none(),
                });
            }
        }
    }
    arcs
}

impl<E: Env> AntiEntropy<E> {
    /// The sessions in the background; ends after [`stop`](AntiEntropy::stop).
    pub(crate) async fn run(self: Arc<Self>) {
        let mut handed = self.env.monotonic();
        while !self.is_stopping() {
            let own = self.own_arcs();
            let round = u32::try_from(own.len()).unwrap_or(u32::MAX).max(1);
            let pause = (self.config.interval / round).max(SHORTEST);
            if own.is_empty() || !self.config.enabled {
                self.env.sleep(self.config.interval.min(HAND_DOWN)).await;
            }
            for arc in own {
                if !self.config.enabled {
                    break;
                }
                // Not all nodes at the same time.
                let share = u32::try_from(self.env.random() % 1000).unwrap_or(0);
                self.env.sleep(pause / 2 + pause * share / 1000).await;
                if self.is_stopping() {
                    return;
                }
                self.look_after(arc).await;
                if self.env.monotonic().saturating_sub(handed) >= HAND_DOWN {
                    handed = self.env.monotonic();
                    self.hand_down().await;
                }
            }
            handed = self.env.monotonic();
            self.hand_down().await;
        }
    }

    /// The ranges whose first live replica this node is.
    fn own_arcs(&self) -> Vec<Range> {
        let snapshot = self.coordinator.views.load();
        let mut arcs = arcs(&snapshot, |_, _| true);
        arcs.retain(|arc| arc.is_looked_after_by(self.me));
        let known: BTreeSet<(TableId, TokenRange)> = arcs.iter().map(|arc| (arc.table, arc.tokens)).collect();
        self.divergences.lock().look_after(&known);
        arcs
    }

    /// One session, if the range is as it was when the round began; a change is for the next round, in which it may be another's.
    async fn look_after(self: &Arc<Self>, mut arc: Range) {
        arc.refresh(&self.coordinator.views.load());
        if !arc.is_looked_after_by(self.me) {
            return;
        }
        let manner = Manner {
            preview: false,
            patient: true,
        };
        if let Err(error) = self.session(&arc, manner, &|| false).await {
            ::tracing::debug!(table = arc.name, tokens = %arc.tokens, %error, "a range could not be compared; it will be tried again");
        }
    }

    /// A session over a range with those of its replicas that are alive. If those are all, and agree in the end,
    /// each of them is told. It ends early when `is_unwanted`, and when its replicas are others by now: who is none any more
    /// forgets what it had, and must neither be believed nor written to.
    pub(super) async fn session(
        self: &Arc<Self>,
        arc: &Range,
        manner: Manner,
        is_unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Outcome, SessionError> {
        let planned = self.coordinator.views.load();
        if !has_its_replicas(&planned, arc) {
            return Err(SessionError::Moved);
        }
        let ends = || {
            if is_unwanted() {
                return Some(SessionError::Unwanted);
            }
            let now = self.coordinator.views.load();
            let is_other = now.cluster.stamp != planned.cluster.stamp && !has_its_replicas(&now, arc);
            is_other.then_some(SessionError::Moved)
        };
        let complete = arc.is_complete() && self.is_settled(arc);
        let subject = Subject {
            table: arc.table,
            grace: arc.grace,
            tokens: arc.tokens,
            replicas: arc.live(),
        };
        let mut session = Session::new(self, subject, manner);
        let ended = session.run(&ends).await;
        let found = session.found();
        self.counters.repair_sessions.one();
        let now = self.env.wall().seconds();
        match &ended {
            Ok(()) => {
                self.count(&found);
                let missing = arc.replicas.iter().find(|peer| !peer.alive);
                let absent = missing
                    .map(|peer| format!("the replica {} is down", peer.address))
                    .or_else(|| {
                        arc.lacks_replicas()
                            .then(|| "not all replicas are known yet".to_owned())
                    });
                self.note(arc, manner, |divergences| match absent {
                    Some(problem) => {
                        divergences.incomplete(arc.table, arc.tokens, now, found.differing, problem);
                    }
                    None if complete && found.unsettled() == 0 => {
                        divergences.agree(arc.table, arc.tokens, now);
                    }
                    None => divergences.compared(arc.table, arc.tokens, now, found.unsettled()),
                });
            }
            // Nothing is known to be wrong.
            Err(SessionError::Unwanted | SessionError::Moved) => {}
            Err(error) => {
                self.counters.repair_failures.one();
                let problem = error.to_string();
                self.note(arc, manner, |divergences| {
                    divergences.incomplete(arc.table, arc.tokens, now, found.unsettled(), problem);
                });
            }
        }
        let outcome = ended.map(|()| found);
        if let Ok(outcome) = &outcome
            && complete
            && !manner.preview
        {
            self.tell(arc, outcome).await;
        }
        outcome
    }

    /// Notes what was found, if it is of a range that this node looks after.
    fn note(&self, arc: &Range, manner: Manner, change: impl FnOnce(&mut Divergences)) {
        let mut divergences = self.divergences.lock();
        if manner.patient || divergences.has(arc.table, arc.tokens) {
            change(&mut divergences);
        }
    }

    fn count(&self, outcome: &Outcome) {
        self.counters.repair_differences.add(outcome.differing);
        self.counters.repair_writes.add(outcome.written);
        self.counters.repair_bytes.add(outcome.fetched);
    }

    /// Tells the replicas that they had the same. One that does not hear it purges later.
    async fn tell(self: &Arc<Self>, arc: &Range, outcome: &Outcome) {
        if !self.is_settled(arc) {
            return;
        }
        let told = arc.replicas.iter().map(|peer| {
            let request = SessionRequest::Repaired {
                table: arc.table,
                tokens: arc.tokens,
                replicas: arc.ids(),
                at: outcome.at,
            };
            self.ask(peer, request, self.coordinator.timeouts.write)
        });
        futures::future::join_all(told).await;
    }

    /// Whether the range still has these replicas, and no other ones are on their way.
    fn is_settled(&self, arc: &Range) -> bool {
        let snapshot = self.coordinator.views.load();
        placements_of(&snapshot, arc.table).is_some_and(|placements| {
            arc.has_replicas_of(placements) && placements.sets(arc.tokens.end).next.is_none()
        })
    }

    /// What is known of the tables that this node looks after.
    pub(crate) fn divergence(&self) -> Vec<TableDivergence> {
        let snapshot = self.coordinator.views.load();
        let divergences = self.divergences.lock();
        let keyspaces = snapshot.schema.keyspaces();
        keyspaces
            .flat_map(|keyspace| snapshot.schema.tables(&keyspace.name))
            .filter_map(|table| divergences.of(table.id, format!("{}.{}", table.keyspace, table.name)))
            .collect()
    }

    /// What the trees cost.
    pub(crate) fn trees(&self) -> TreeSizes {
        self.local.sizes()
    }
}
