//! Up to when ranges were made equal on all their replicas, and what may be purged because of it.
//!
//! Each replica keeps, durably, for each table: ranges, the second up to which all their replicas had the same, and
//! which replicas those were. With other replicas it means nothing and is passed over.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use starling_model::{NodeId, Seconds, TableId, TokenRange};
use starling_sstable::{PurgePolicy, Repaired};
use xxhash_rust::xxh3::xxh3_64;

use super::AntiEntropy;
use crate::{
    durable_file,
    env::{Env, Store},
    message::decode_value,
    placements::Placements,
    snapshot::Snapshot,
    start_error::StartError,
};

const FILE: &str = "repaired";

const MAGIC: [u8; 8] = *b"STARREPR";

/// A range whose replicas were equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    tokens: TokenRange,
    at: Seconds,
    /// Digest of the replicas' ids.
    replicas: u64,
}

/// The ranges of a keyspace whose replicas stay who they are, each with the digest of its replicas' ids.
///
/// Who gains a range while the ring changes may not have heard of a deletion yet.
struct Settled {
    placements: Placements,
    arcs: Vec<(TokenRange, u64)>,
}

impl Settled {
    fn new(placements: &Placements) -> Self {
        let ranges = placements.ranges().into_iter();
        let settled = ranges.filter(|(_, sets)| sets.next.is_none());
        Self {
            placements: placements.clone(),
            arcs: settled.map(|(arc, sets)| (arc, digest(&sets.current))).collect(),
        }
    }

    /// Becomes those of these placements, if they are others.
    fn follow(&mut self, placements: &Placements) {
        if !self.placements.are_same(placements) {
            *self = Self::new(placements);
        }
    }
}

#[derive(Default)]
struct State {
    /// Ordered, disjoint.
    tables: BTreeMap<TableId, Vec<Entry>>,
    unsaved: bool,
    /// By keyspace, as of the placements that a policy was made for last: each session asks for one.
    settled: BTreeMap<String, Settled>,
}

/// What this node knows to be repaired.
pub(super) struct RepairedRanges<E: Env> {
    env: E,
    /// In seconds: how long after a deletion an older write may still arrive.
    horizon: u32,
    state: Arc<Mutex<State>>,
}

impl<E: Env> RepairedRanges<E> {
    pub(super) fn open(env: E, horizon: Duration) -> Result<Self, StartError> {
        let tables = match durable_file::read(&**env.fs(), Path::new(FILE), MAGIC) {
            Ok(bytes) => bytes.and_then(|bytes| decode_value::<Vec<(TableId, Vec<Entry>)>>(&bytes).ok()),
            Err(StartError::Damaged { file, problem }) => {
                ::tracing::warn!(file, problem, "tombstones are kept until the next repair");
                None
            }
            Err(other) => return Err(other),
        };
        Ok(Self {
            env,
            horizon: u32::try_from(horizon.as_secs().saturating_add(1)).unwrap_or(u32::MAX),
            state: Arc::new(Mutex::new(State {
                tables: tables.unwrap_or_default().into_iter().collect(),
                ..State::default()
            })),
        })
    }

    /// Notes that the replicas of a range had the same.
    fn note(&self, table: TableId, tokens: TokenRange, replicas: &[NodeId], at: Seconds) {
        let mut state = self.state.lock();
        let entry = Entry {
            tokens,
            at,
            replicas: digest(replicas),
        };
        insert(state.tables.entry(table).or_default(), entry);
        state.unsaved = true;
    }

    /// What may be purged of a table now.
    fn policy(&self, snapshot: &Snapshot, table: TableId) -> Option<PurgePolicy> {
        let known = snapshot.schema.table_by_id(table)?;
        let placements = snapshot.placements(&known.keyspace).ok()?;
        let mut state = self.state.lock();
        let State { tables, settled, .. } = &mut *state;
        let entries = tables.get(&table)?;
        let settled = settled
            .entry(known.keyspace.clone())
            .or_insert_with(|| Settled::new(placements));
        settled.follow(placements);
        let mut ranges: Vec<(TokenRange, Seconds)> = Vec::new();
        for (arc, replicas) in &settled.arcs {
            let first = entries.partition_point(|entry| entry.tokens.end <= arc.start);
            for entry in entries[first..]
                .iter()
                .take_while(|entry| entry.tokens.start < arc.end)
            {
                if entry.replicas == *replicas {
                    let up_to = Seconds(entry.at.0.saturating_sub(self.horizon));
                    ranges.push((overlap(entry.tokens, *arc), up_to));
                }
            }
        }
        Some(PurgePolicy::Repaired {
            grace: known.options.gc_grace_seconds(),
            up_to: Repaired::new(ranges),
        })
    }

    /// Writes what is known to disk, if it is news.
    async fn store(&self) {
        let content = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.unsaved) {
                return;
            }
            let tables: Vec<_> = state.tables.iter().collect();
            rmp_serde::to_vec(&tables)
        };
        let Ok(content) = content else { return };
        let fs = Arc::clone(self.env.fs());
        let replace = move || durable_file::replace(&*fs, Path::new(FILE), MAGIC, &content);
        if let Err(error) = self.env.blocking(replace).await {
            ::tracing::warn!(%error, "what is repaired can't be stored; after a restart tombstones are kept for longer");
            self.state.lock().unsaved = true;
        }
    }
}

impl<E: Env> AntiEntropy<E> {
    /// All replicas of a range had the same, as the session's coordinator tells. It counts if this node sees the
    /// same replicas.
    pub(super) async fn note_repaired(
        &self,
        table: TableId,
        tokens: TokenRange,
        replicas: &[NodeId],
        at: Seconds,
    ) {
        // A clock that is ahead must not make younger tombstones purgeable.
        let at = at.min(self.env.wall().seconds());
        self.repaired.note(table, tokens, replicas, at);
        self.hand_down_one(table).await;
    }

    /// Tells the storage what it may purge, where that is news, and stores what is known to be repaired.
    pub(super) async fn hand_down(&self) {
        let snapshot = self.coordinator.views.load();
        self.local
            .retain(|table| snapshot.schema.table_by_id(table).is_some());
        let exists = |table: TableId| snapshot.schema.table_by_id(table).is_some();
        self.coordinator.replica.purgeable.retain(exists);
        let tables: Vec<TableId> = {
            let mut state = self.repaired.state.lock();
            let State { tables, settled, .. } = &mut *state;
            tables.retain(|table, _| exists(*table));
            settled.retain(|keyspace, _| snapshot.placements(keyspace).is_ok());
            tables.keys().copied().collect()
        };
        for table in tables {
            self.hand_down_one(table).await;
        }
        self.repaired.store().await;
    }

    async fn hand_down_one(&self, table: TableId) {
        let snapshot = self.coordinator.views.load();
        let Some(policy) = self.repaired.policy(&snapshot, table) else {
            return;
        };
        let purgeable = &self.coordinator.replica.purgeable;
        if purgeable.set(table, &policy) && self.env.store().set_purge(table, policy).await.is_err() {
            purgeable.forget(table);
        }
    }
}

/// Which replicas, whatever their order.
fn digest(replicas: &[NodeId]) -> u64 {
    let mut ids: Vec<u128> = replicas.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
    xxh3_64(&bytes)
}

/// Lays a range over what was known; neighbours that say the same are one.
fn insert(entries: &mut Vec<Entry>, new: Entry) {
    let mut laid: Vec<Entry> = Vec::with_capacity(entries.len() + 2);
    for old in entries.drain(..) {
        let before = TokenRange {
            start: old.tokens.start,
            end: old.tokens.end.min(new.tokens.start),
        };
        let behind = TokenRange {
            start: old.tokens.start.max(new.tokens.end),
            end: old.tokens.end,
        };
        for tokens in [before, behind].into_iter().filter(|part| part.start < part.end) {
            laid.push(Entry {
                tokens,
                ..old.clone()
            });
        }
    }
    laid.push(new);
    laid.sort_unstable_by_key(|entry| entry.tokens.start);
    for entry in laid {
        match entries.last_mut() {
            Some(last)
                if last.tokens.end == entry.tokens.start
                    && (last.at, last.replicas) == (entry.at, entry.replicas) =>
            {
                last.tokens.end = entry.tokens.end;
            }
            _ => entries.push(entry),
        }
    }
}

fn overlap(a: TokenRange, b: TokenRange) -> TokenRange {
    TokenRange {
        start: a.start.max(b.start),
        end: a.end.min(b.end),
    }
}
