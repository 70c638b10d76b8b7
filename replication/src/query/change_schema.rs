//! CREATE, ALTER, DROP.

use std::{sync::Arc, time::Duration};

use starling_cql::{
    Error, QueryResult,
    plan::SchemaPlan,
    schema::{Definition, Schema, SchemaEntry},
};
use starling_ring::{Replication, Strategy};

use crate::{deadline::Deadline, env::Env, node::Node, tracing::Tracer};

/// How often the others' versions are looked at while waiting for agreement.
const LOOK: Duration = Duration::from_millis(10);
/// How long a change waits, after all live nodes have it, until they say so by gossip. Only for the
/// comfort of drivers, which would poll for it.
const COMFORT: Duration = Duration::from_secs(1);

impl<E: Env> Node<E> {
    /// Changes the schema: durable here, then on all live nodes, then answered.
    pub(super) async fn change_schema(
        self: &Arc<Self>,
        plan: &SchemaPlan,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<QueryResult, Error> {
        let ring = Arc::clone(&self.views.load().cluster.ring);
        let datacenters: Vec<String> = ring.datacenters().into_iter().collect();
        let plan = plan.clone().with_datacenters(&datacenters);
        let node = Arc::clone(self);
        let (entries, (change, replaced)) = self
            .agreement
            .change(move |schema, version| {
                let (entries, change) = plan.entries(schema, version, &mut || node.env.random())?;
                let replaced = replaced_replicas(schema, &entries);
                if let Some(keyspace) = &replaced {
                    node.check_ring_rests(keyspace)?;
                }
                Ok((entries, (change, replaced)))
            })
            .await?;
        for entry in &entries {
            warnings.extend(self.replication_warning(entry));
        }
        warnings.extend(replaced.map(|keyspace| {
            format!(
                "The data of keyspace {keyspace} does not move by itself to its new replicas: until `starling repair \
                 {keyspace}` has ended, reads may miss rows that were written before"
            )
        }));
        if !entries.is_empty() {
            tracer.note(
                || self.env.wall(),
                || "The schema changed here; telling the others".to_owned(),
            );
            let missing = self
                .agreement
                .spread(&entries, self.config.timeouts.schema, tracer)
                .await;
            warnings.extend(missing);
            let deadline = Deadline::after(&self.env, COMFORT.min(self.config.timeouts.schema));
            while !self.membership.agrees_on_schema() && !deadline.is_over(&self.env) {
                self.env.sleep(LOOK).await;
            }
        }
        Ok(change.map_or(QueryResult::Void, QueryResult::SchemaChange))
    }

    /// While the ring changes, ranges are on their way by the replicas that were known at its start.
    fn check_ring_rests(&self, keyspace: &str) -> Result<(), Error> {
        let snapshot = self.views.load();
        let Some((change, _)) = &snapshot.cluster.change else {
            return Ok(());
        };
        Err(Error::invalid(format!(
            "the replicas of keyspace '{keyspace}' can't become others while data moves to other nodes ({}); nothing was \
             changed; repeat the statement when that is done (`starling topology` shows it)",
            change.kind
        )))
    }

    fn replication_warning(&self, entry: &SchemaEntry) -> Option<String> {
        let Some(Definition::Keyspace(keyspace)) = &entry.definition else {
            return None;
        };
        let strategy = Strategy::parse(&keyspace.replication.class, &keyspace.replication.options).ok()?;
        let ring = Arc::clone(&self.views.load().cluster.ring);
        let datacenters = ring.datacenters();
        let names = datacenters.iter().map(String::as_str).collect();
        let factor = Replication::new(&strategy, &names).total();
        let nodes = u32::try_from(ring.members().len()).unwrap_or(u32::MAX);
        (factor > nodes).then(|| {
            format!(
                "Your replication factor {factor} for keyspace {} is higher than the number of nodes {nodes}",
                keyspace.name
            )
        })
    }
}

/// The keyspace whose data these entries give to other replicas; `None` if there is none. A new keyspace has no data.
fn replaced_replicas(schema: &Schema, entries: &[SchemaEntry]) -> Option<String> {
    entries.iter().find_map(|entry| {
        let Some(Definition::Keyspace(new)) = &entry.definition else {
            return None;
        };
        let old = schema.keyspace(&new.name)?;
        let has_tables = schema.tables(&new.name).next().is_some();
        (has_tables && old.replication != new.replication).then(|| new.name.clone())
    })
}
