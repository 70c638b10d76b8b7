//! How the nodes come to one schema.
//!
//! The schema is a set of entries that merge by last writer wins (`cql::schema`): commutative, associative
//! and idempotent, so nodes that have heard of the same changes hold the same schema, in whatever order.
//!
//! Contract:
//! 1. A change is durable on this node before it is visible or acknowledged. Changes are stored one after the
//!    other, away from the tasks that serve, and to their end even if nobody waits for them any more.
//! 2. A change is pushed to all live members, and its statement ends when all of them have it durably, or
//!    after a bounded wait.
//! 3. Members tell the version of their schema by gossip; who sees another version than its own pulls the
//!    other's entries. So partitions and lost pushes heal.
//! 4. When a table goes out of the schema its data is removed from this node's storage, and what its options ask of the
//!    storage is told to it, also at the start.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    FutureExt,
    channel::oneshot,
    future::{BoxFuture, join_all},
    lock::Mutex as AsyncMutex,
};
use parking_lot::Mutex;
use starling_cql::{
    Error,
    schema::{Definition, Replication, Schema, SchemaEntry},
};
use starling_model::{TableId, Timestamp};
use starling_ring::{Member, Strategy, StrategyError};
use starling_sstable::{TableSettings, fs::Fs};

use crate::{
    clock::Clock,
    durable_file::{self, ReplaceError},
    env::{Env, Store},
    events::{ClusterEvent, Listeners},
    message::{Request, Response, decode_value},
    peers::Peers,
    snapshot::{Peer, Views},
    start_error::StartError,
    status::Counters,
    storage_settings,
    tracing::Tracer,
};

const PATH: &str = "node/schema";
const MAGIC: [u8; 8] = *b"STRLSCHM";

/// Called after the schema became another one.
pub(crate) type OnChange = Box<dyn Fn() + Send + Sync>;

/// A node's schema, and its way to agree with the others.
pub(crate) struct SchemaAgreement<E: Env> {
    env: E,
    views: Arc<Views>,
    peers: Arc<Peers<E>>,
    clock: Arc<Clock>,
    counters: Arc<Counters>,
    listeners: Arc<Listeners>,
    on_change: OnChange,
    /// Held while a change is made and stored: changes come one after the other.
    changing: AsyncMutex<()>,
    /// Whom the schema is being pulled from.
    pulling: Mutex<BTreeSet<starling_model::NodeId>>,
}

/// The parts that a node's schema agreement works with.
pub(crate) struct Parts<E: Env> {
    pub(crate) env: E,
    pub(crate) views: Arc<Views>,
    pub(crate) peers: Arc<Peers<E>>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) listeners: Arc<Listeners>,
}

/// Reads the schema that an earlier run stored.
pub(crate) fn load(fs: &dyn Fs) -> Result<Schema, StartError> {
    let mut schema = Schema::default();
    if let Some(content) = durable_file::read(fs, Path::new(PATH), MAGIC)? {
        let entries: Vec<SchemaEntry> = decode_value(&content).map_err(|problem| StartError::Damaged {
            file: PATH.to_owned(),
            problem,
        })?;
        schema.merge(entries);
    }
    Ok(schema)
}

/// Entries as they travel and are stored.
pub(crate) fn encode_entries<'a>(entries: impl Iterator<Item = &'a SchemaEntry>) -> Bytes {
    let entries: Vec<&SchemaEntry> = entries.collect();
    // Writing to memory can't fail, and no entry has a part of unknown length.
    rmp_serde::to_vec(&entries)
        .expect("schema entries can be encoded")
        .into()
}

impl<E: Env> SchemaAgreement<E> {
    pub(crate) fn new(parts: Parts<E>, on_change: OnChange) -> Self {
        Self {
            env: parts.env,
            views: parts.views,
            peers: parts.peers,
            clock: parts.clock,
            counters: parts.counters,
            listeners: parts.listeners,
            on_change,
            changing: AsyncMutex::new(()),
            pulling: Mutex::new(BTreeSet::new()),
        }
    }

    /// Makes a change: `plan` computes the entries from the present schema and a new version. They are
    /// durable here when this ends; [`spread`](Self::spread) takes them to the others. Nothing changed after an
    /// error, unless it says otherwise.
    pub(crate) fn change<T: Send + 'static>(
        self: &Arc<Self>,
        plan: impl FnOnce(&Schema, Timestamp) -> Result<(Vec<SchemaEntry>, T), Error> + Send + 'static,
    ) -> BoxFuture<'static, Result<(Vec<SchemaEntry>, T), Error>> {
        let agreement = Arc::clone(self);
        self.to_its_end(async move {
            let _changing = agreement.changing.lock().await;
            let schema = Arc::clone(&agreement.views.load().schema);
            let version = agreement.clock.tick(agreement.env.wall());
            let (entries, outcome) = plan(&schema, version)?;
            for entry in &entries {
                if let Some(Definition::Keyspace(keyspace)) = &entry.definition {
                    check_replication(&keyspace.replication)?;
                }
                storage_settings::check(entry)?;
            }
            agreement.merge(entries.clone()).await?;
            Ok((entries, outcome))
        })
    }

    /// Learns what a peer says.
    pub(crate) async fn learn(self: &Arc<Self>, entries: Vec<SchemaEntry>) -> Result<(), Error> {
        let agreement = Arc::clone(self);
        self.to_its_end(async move {
            let _changing = agreement.changing.lock().await;
            for entry in &entries {
                // Later changes made here must win over what was seen here.
                agreement.clock.observe(entry.version, agreement.env.wall());
            }
            agreement.merge(entries).await
        })
        .await
    }

    /// Does work that must not stop half-way when its caller is dropped: a second change would write the file
    /// that the first one is still writing.
    fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let (done, outcome) = oneshot::channel();
        self.env.spawn(async move {
            // Nobody may be left to hear of it.
            let _ = done.send(work.await);
        });
        outcome
            .map(|outcome| {
                outcome.unwrap_or_else(|_| {
                    Err(Error::server(
                        "the node stopped before the schema change was done; look at the schema before you \
                         repeat it",
                    ))
                })
            })
            .boxed()
    }

    /// Merges, makes durable, then visible. Nothing changes here if the disk fails. Call it under `changing`.
    async fn merge(&self, entries: Vec<SchemaEntry>) -> Result<(), Error> {
        let old = Arc::clone(&self.views.load().schema);
        let mut new = Schema::clone(&old);
        let changes = new.merge(entries);
        if new == *old {
            return Ok(());
        }
        let content = encode_entries(new.entries());
        let fs = Arc::clone(self.env.fs());
        let stored = self
            .env
            .blocking(move || durable_file::replace(&*fs, Path::new(PATH), MAGIC, &content))
            .await;
        if let Err(error) = stored {
            self.counters.store_failures.one();
            ::tracing::error!(%error, file = PATH, "the schema can't be stored; it stays as it was");
            return Err(Error::server(not_stored(&error)));
        }
        let gone: Vec<TableId> = old
            .all_tables()
            .map(|table| table.id)
            .filter(|id| new.table_by_id(*id).is_none())
            .collect();
        self.views.set_schema(new);
        self.counters.schema_changes.one();
        self.free(gone);
        self.hand_down(&old);
        for change in changes {
            self.listeners.tell(&ClusterEvent::Schema(change));
        }
        (self.on_change)();
        Ok(())
    }

    /// Tells the storage what tables want that are new, or not as in the `old` schema.
    pub(crate) fn hand_down(&self, old: &Schema) {
        let schema = Arc::clone(&self.views.load().schema);
        for table in schema.all_tables().filter(|table| !table.is_system()) {
            let before = old.table_by_id(table.id);
            if before.is_some_and(|before| before.options == table.options) {
                continue;
            }
            // A peer of a later release may want what this one does not know.
            let settings = storage_settings::of(&table.options).unwrap_or_else(|error| {
                ::tracing::warn!(table = %table.name, error = error.message, "the table is stored as if it had no such options");
                TableSettings::default()
            });
            if before.is_none() && settings == TableSettings::default() {
                continue;
            }
            let told = self.env.store().set_options(table.id, settings);
            let name = table.name.clone();
            self.env.spawn(async move {
                if let Err(error) = told.await {
                    ::tracing::warn!(table = name, %error, "the storage did not take the table's options; a restart brings them");
                }
            });
        }
    }

    /// Removes dropped tables' data.
    fn free(&self, tables: Vec<TableId>) {
        for table in tables {
            let removed = self.env.store().truncate(table);
            self.env.spawn(async move {
                if let Err(error) = removed.await {
                    ::tracing::warn!(%table, %error, "a dropped table's data could not be removed");
                }
            });
        }
    }

    /// Pushes entries to all live members and waits, at most `timeout`, until all of them have them. Those
    /// that don't answer will pull them later; the returned sentences name them.
    pub(crate) async fn spread(
        &self,
        entries: &[SchemaEntry],
        timeout: Duration,
        tracer: &Tracer,
    ) -> Vec<String> {
        let snapshot = self.views.load();
        let encoded = encode_entries(entries.iter());
        let pushes = snapshot.cluster.live_others().map(|peer| {
            let body = Request::SchemaPush(encoded.clone());
            async move { (peer, self.peers.ask(peer, body, timeout, tracer).await) }
        });
        let mut missing = Vec::new();
        for (peer, pushed) in join_all(pushes).await {
            if let Err(error) = pushed {
                ::tracing::warn!(peer = %peer.address, %error, "a schema change did not reach a live member; it will pull it");
                missing.push(format!(
                    "node {} has not taken the schema change yet ({error}); it will take it later",
                    peer.address
                ));
            }
        }
        missing
    }

    /// Asks a member for its schema, if nobody is asking it already.
    pub(crate) fn pull_from(self: &Arc<Self>, peer: &Arc<Peer>, timeout: Duration) {
        if !self.pulling.lock().insert(peer.id) {
            return;
        }
        let (agreement, peer) = (Arc::clone(self), Arc::clone(peer));
        self.env.spawn(async move {
            let learnt = agreement.pull(&peer, timeout).await;
            agreement.pulling.lock().remove(&peer.id);
            if let Err(problem) = learnt {
                ::tracing::debug!(peer = %peer.address, problem, "the schema could not be pulled");
            }
        });
    }

    /// Asks a member for its schema and learns it.
    pub(crate) async fn pull(self: &Arc<Self>, peer: &Peer, timeout: Duration) -> Result<(), String> {
        let pulled = self
            .peers
            .ask(peer, Request::SchemaPull, timeout, &Tracer::OFF)
            .await;
        match pulled {
            Ok(Response::Schema(entries)) => self.learn_encoded(&entries).await.map_err(|e| e.to_string()),
            Ok(_) => Err("the answer does not fit the request".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Learns entries in the encoding that they travel in.
    pub(crate) async fn learn_encoded(self: &Arc<Self>, entries: &[u8]) -> Result<(), Error> {
        let entries: Vec<SchemaEntry> = decode_value(entries)
            .map_err(|problem| Error::server(format!("malformed schema entries: {problem}")))?;
        self.learn(entries).await
    }
}

/// What a client is told whose change the disk did not take.
fn not_stored(error: &ReplaceError) -> String {
    match error {
        ReplaceError::Unchanged(error) => format!(
            "the schema can't be stored ({error}): nothing was changed; free or repair this node's disk, or send \
             the statement to another node"
        ),
        ReplaceError::Unsure(error) => format!(
            "the schema can't be stored for sure ({error}): nothing was changed now, but a restart of this node may \
             bring the change about; repair its disk and repeat the statement"
        ),
    }
}

/// When the oldest of the tables that users made got its present definition.
pub(crate) fn oldest_user_table(schema: &Schema) -> Option<Timestamp> {
    schema
        .entries()
        .filter(|entry| match &entry.definition {
            Some(Definition::Table(table)) => schema.table_by_id(table.id).is_some(),
            _ => false,
        })
        .map(|entry| entry.version)
        .min()
}

/// Refuses replication options that the ring can't place data by.
fn check_replication(replication: &Replication) -> Result<(), Error> {
    parsed(replication).map(drop).map_err(unusable)
}

/// Refuses them, too, if they name a datacenter that no member is in: there, data would go to nobody.
pub(crate) fn check_datacenters<'a>(
    replication: &Replication,
    members: impl IntoIterator<Item = &'a Member>,
) -> Result<(), Error> {
    let members = members.into_iter();
    let datacenters = members.map(|member| member.datacenter.clone()).collect();
    let strategy = parsed(replication).and_then(|strategy| strategy.expand(&datacenters));
    strategy.map(drop).map_err(unusable)
}

fn parsed(replication: &Replication) -> Result<Strategy, StrategyError> {
    Strategy::parse(&replication.class, &replication.options)
}

fn unusable(error: StrategyError) -> Error {
    Error::new(starling_cql::ErrorKind::Config, error.to_string())
}
