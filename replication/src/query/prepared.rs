//! Statements that were prepared.
//!
//! A statement's id is the XXH3-128 of its keyspace and text, so that every node gives the same id to the
//! same statement, and a client that prepared it on one node can tell when another does not know it.
//! A plan goes by the schema that it was made from; when the schema has changed it is made anew.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::RwLock;
use starling_cql::{
    ColumnSpec, Error, ErrorKind, PreparedMetadata, parser,
    plan::{self, Plan},
    schema::Schema,
};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use crate::{env::Env, node::Node};

/// Plans of texts that came without PREPARE: how many are kept, and how long a text may be to be kept.
const TEXT_PLANS: usize = 256;
const TEXT_BYTES: usize = 1 << 20;

/// A statement with its plan.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) query: String,
    pub(crate) keyspace: Option<String>,
    pub(crate) plan: Plan,
    /// The schema that the plan was made from.
    schema_version: u128,
}

/// Statements by id, bounded by count and bytes: the least recently used go first.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    max_bytes: usize,
    uses: AtomicU64,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    statements: BTreeMap<u128, Slot>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    statement: Arc<Prepared>,
    /// The number of its last use.
    used: AtomicU64,
}

/// What a node knows of statements.
#[derive(Debug)]
pub(crate) struct PreparedStatements {
    /// Those that clients prepared.
    pub(crate) prepared: Cache,
    /// Plans of plain texts.
    pub(crate) texts: Cache,
}

impl PreparedStatements {
    pub(crate) fn new(capacity: usize, max_bytes: usize) -> Self {
        Self {
            prepared: Cache::new(capacity, max_bytes),
            texts: Cache::new(TEXT_PLANS, TEXT_BYTES),
        }
    }
}

impl Cache {
    pub(crate) fn new(capacity: usize, max_bytes: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            max_bytes,
            uses: AtomicU64::new(0),
            state: RwLock::new(State::default()),
        }
    }

    /// A statement, which counts as used.
    pub(crate) fn get(&self, id: u128) -> Option<Arc<Prepared>> {
        let state = self.state.read();
        let slot = state.statements.get(&id)?;
        slot.used
            .store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(&slot.statement))
    }

    /// Keeps a statement, in the place of the one that had its id.
    pub(crate) fn put(&self, id: u128, statement: Arc<Prepared>) {
        let bytes = weight(&statement);
        if bytes > self.max_bytes {
            return;
        }
        let mut state = self.state.write();
        let slot = Slot {
            statement,
            used: AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed)),
        };
        state.bytes += bytes;
        if let Some(old) = state.statements.insert(id, slot) {
            state.bytes -= weight(&old.statement);
        }
        if state.statements.len() > self.capacity || state.bytes > self.max_bytes {
            state.evict(self.capacity, self.max_bytes, id);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.read().statements.len()
    }
}

impl State {
    /// Removes the least recently used until a sixteenth is free, so that not every new one pays for it.
    fn evict(&mut self, capacity: usize, max_bytes: usize, newest: u128) {
        let mut by_use: Vec<(u64, u128)> = self
            .statements
            .iter()
            .filter(|(id, _)| **id != newest)
            .map(|(id, slot)| (slot.used.load(Ordering::Relaxed), *id))
            .collect();
        by_use.sort_unstable();
        for (_, id) in by_use {
            if self.statements.len() <= capacity - capacity / 16 && self.bytes <= max_bytes - max_bytes / 16 {
                return;
            }
            if let Some(slot) = self.statements.remove(&id) {
                self.bytes -= weight(&slot.statement);
            }
        }
    }
}

fn weight(statement: &Prepared) -> usize {
    statement.query.len() + statement.keyspace.as_ref().map_or(0, String::len)
}

/// The id of a statement.
pub(crate) fn statement_id(query: &str, keyspace: Option<&str>) -> u128 {
    let mut hash = Xxh3Default::new();
    let keyspace = keyspace.unwrap_or_default();
    hash.update(&(keyspace.len() as u64).to_be_bytes());
    hash.update(keyspace.as_bytes());
    hash.update(query.as_bytes());
    hash.digest128()
}

/// Changes when the columns of the result do.
fn result_id(columns: &[ColumnSpec]) -> Bytes {
    let text: Vec<String> = columns
        .iter()
        .map(|column| {
            format!(
                "{}\0{}\0{}\0{}\0",
                column.keyspace, column.table, column.name, column.cql_type
            )
        })
        .collect();
    Bytes::copy_from_slice(&xxh3_128(text.concat().as_bytes()).to_be_bytes())
}

/// Parses and plans.
pub(crate) fn plan_text(
    query: &str,
    keyspace: Option<&str>,
    schema: &Schema,
) -> Result<Arc<Prepared>, Error> {
    let statement = parser::parse(query)?;
    Ok(Arc::new(Prepared {
        plan: plan::prepare(&statement, schema, keyspace)?,
        query: query.to_owned(),
        keyspace: keyspace.map(str::to_owned),
        schema_version: schema.version(),
    }))
}

/// What a client is told of a prepared statement.
pub(crate) fn metadata(id: u128, statement: &Prepared) -> PreparedMetadata {
    let columns = statement.plan.result_columns().to_vec();
    PreparedMetadata {
        id: Bytes::copy_from_slice(&id.to_be_bytes()),
        result_id: result_id(&columns),
        markers: statement.plan.markers().to_vec(),
        partition_key: statement.plan.partition_key_markers(),
        columns,
    }
}

impl<E: Env> Node<E> {
    pub(crate) fn prepare_statement(
        &self,
        query: &str,
        keyspace: Option<&str>,
    ) -> Result<PreparedMetadata, Error> {
        let id = statement_id(query, keyspace);
        let statement = self.fresh(&self.prepared.prepared, id, || Some((query, keyspace)))?;
        let Some(statement) = statement else {
            return Err(Error::server(
                "a statement that was just prepared is unknown; this is a bug",
            ));
        };
        self.counters.prepared.one();
        Ok(metadata(id, &statement))
    }

    /// The statement that a client prepared, planned by the present schema.
    pub(crate) fn prepared_statement(&self, id: &Bytes) -> Result<Arc<Prepared>, Error> {
        let number = <[u8; 16]>::try_from(&id[..]).map(u128::from_be_bytes);
        let known = match number {
            Ok(number) => self.fresh(&self.prepared.prepared, number, || None)?,
            Err(_) => None,
        };
        known.ok_or_else(|| {
            Error::new(
                ErrorKind::Unprepared { id: id.clone() },
                "Prepared query not found: either it was never prepared on this node, or it was evicted to make room; prepare it again",
            )
        })
    }

    /// The plan of a text.
    pub(crate) fn text_statement(&self, query: &str, keyspace: Option<&str>) -> Result<Arc<Prepared>, Error> {
        let id = statement_id(query, keyspace);
        let planned = self.fresh(&self.prepared.texts, id, || Some((query, keyspace)))?;
        planned.ok_or_else(|| Error::server("a text that was just planned is unknown; this is a bug"))
    }

    /// A statement of the cache by the present schema; one that it does not have is made of `text`.
    fn fresh<'a>(
        &self,
        cache: &Cache,
        id: u128,
        text: impl FnOnce() -> Option<(&'a str, Option<&'a str>)>,
    ) -> Result<Option<Arc<Prepared>>, Error> {
        let schema = Arc::clone(&self.views.load().schema);
        let planned = match cache.get(id) {
            Some(statement) if statement.schema_version == schema.version() => return Ok(Some(statement)),
            Some(old) => plan_text(&old.query, old.keyspace.as_deref(), &schema)?,
            None => match text() {
                Some((query, keyspace)) => plan_text(query, keyspace, &schema)?,
                None => return Ok(None),
            },
        };
        cache.put(id, Arc::clone(&planned));
        Ok(Some(planned))
    }
}
