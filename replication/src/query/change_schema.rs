//! CREATE, ALTER, DROP.

use std::{sync::Arc, time::Duration};

use starling_cql::{
    Error, QueryResult,
    plan::{Plan, SchemaPlan},
    schema::{Definition, Keyspace, Replication, Schema, SchemaEntry},
};
use starling_ring::{Member, Replication as Factors, Strategy};

use crate::{
    deadline::Deadline,
    env::Env,
    node::Node,
    schema_agreement::check_datacenters,
    topology::{Alteration, Altered, ChangeError, ChangeKind, Wanted},
    tracing::Tracer,
};

/// How often the others' versions are looked at while waiting for agreement.
const LOOK: Duration = Duration::from_millis(10);
/// How long a change waits, after all live nodes have it, until they say so by gossip. Only for the
/// comfort of drivers, which would poll for it.
const COMFORT: Duration = Duration::from_secs(1);

impl<E: Env> Node<E> {
    /// The schema that requests see.
    pub fn schema(&self) -> Arc<Schema> {
        Arc::clone(&self.views.load().schema)
    }

    /// Changes the schema: durable here, then on all live nodes, then answered. A keyspace that gets other replicas does so by
    /// a change of the ring, which may still be under way then.
    pub(super) async fn change_schema(
        self: &Arc<Self>,
        plan: &SchemaPlan,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<QueryResult, Error> {
        let ring = Arc::clone(&self.views.load().cluster.ring);
        let datacenters: Vec<String> = ring.datacenters().into_iter().collect();
        let plan = plan.clone().with_datacenters(&datacenters);
        let is_altered = self.alter_replication(&plan, tracer, warnings).await?;
        let node = Arc::clone(self);
        let (entries, change) = self
            .agreement
            .change(move |schema, version| {
                let (mut entries, change) = plan.entries(schema, version, &mut || node.env.random())?;
                entries.retain_mut(|entry| keep_original(schema, entry));
                Ok((entries, change))
            })
            .await?;
        for entry in &entries {
            if let Some(Definition::Keyspace(keyspace)) = &entry.definition {
                warnings.extend(self.replication_warnings(&keyspace.name, &keyspace.replication));
            }
        }
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
        }
        if is_altered || !entries.is_empty() {
            let deadline = Deadline::after(&self.env, COMFORT.min(self.config.timeouts.schema));
            while !self.membership.agrees_on_schema() && !deadline.is_over(&self.env) {
                self.env.sleep(LOOK).await;
            }
        }
        Ok(change.map_or(QueryResult::Void, QueryResult::SchemaChange))
    }

    /// The change that an `ALTER KEYSPACE` would begin. An error if it is another statement, or the keyspace would be replicated
    /// as it is; nothing changes.
    pub fn plan_alteration(&self, statement: &str) -> Result<ChangeKind, Error> {
        let nothing = || Error::invalid("only ALTER KEYSPACE with another replication moves data");
        let planned = self.text_statement(statement, None)?;
        let Plan::Schema(plan) = &planned.plan else {
            return Err(nothing());
        };
        let snapshot = self.views.load();
        let datacenters: Vec<String> = snapshot.cluster.ring.datacenters().into_iter().collect();
        let plan = plan.clone().with_datacenters(&datacenters);
        let (keyspace, to) = plan.altered_replication(&snapshot.schema)?.ok_or_else(nothing)?;
        check_datacenters(&to, snapshot.cluster.ring.members())?;
        Ok(ChangeKind::Alter(Alteration {
            keyspace: keyspace.name.clone(),
            created: keyspace.created,
            from: keyspace.replication.clone(),
            to,
            dropped: Vec::new(),
        }))
    }

    /// Gives a keyspace other replicas, if that is what the statement says; whether it has them now. Nothing changed after an
    /// error.
    async fn alter_replication(
        self: &Arc<Self>,
        plan: &SchemaPlan,
        tracer: &Tracer,
        warnings: &mut Vec<String>,
    ) -> Result<bool, Error> {
        let schema = Arc::clone(&self.views.load().schema);
        let Some((keyspace, to)) = plan.altered_replication(&schema)? else {
            return Ok(false);
        };
        check_datacenters(&to, self.views.load().cluster.ring.members())?;
        let name = &keyspace.name;
        tracer.note(
            || self.env.wall(),
            || format!("Keyspace {name} gets other replicas: {to}"),
        );
        // Half: clients' drivers wait about as long as the schema may take, and want an answer before.
        let deadline = Deadline::after(&self.env, self.config.timeouts.schema / 2);
        let wanted = Wanted {
            original: original(&schema, &keyspace).clone(),
            created: keyspace.created,
            keyspace: name.clone(),
            to: to.clone(),
        };
        let altered = self.ring_changes.alter(wanted, deadline).await;
        let altered = altered.map_err(|error| not_altered(name, &error))?;
        warnings.extend(self.replication_warnings(name, &to));
        if altered == Altered::UnderWay {
            warnings.push(format!(
                "The data of keyspace {name} is on its way to its new replicas. Reads and writes go on meanwhile, and the schema \
                 shows the new replication once all of it is there (`starling topology` tells how far it is, `starling topology \
                 abort` gives it up)"
            ));
        }
        Ok(altered == Altered::Done)
    }

    /// As Cassandra words it, for drivers' users know the sentence.
    fn replication_warnings(&self, keyspace: &str, replication: &Replication) -> Vec<String> {
        let Ok(strategy) = Strategy::parse(&replication.class, &replication.options) else {
            return Vec::new();
        };
        let ring = Arc::clone(&self.views.load().cluster.ring);
        let datacenters = ring.datacenters();
        let names = datacenters.iter().map(String::as_str).collect();
        let factors = Factors::new(&strategy, &names);
        let warning = |factor: u32, datacenter: Option<&str>| {
            let is_there = |member: &&Member| datacenter.is_none_or(|name| member.datacenter == name);
            let nodes = ring.members().iter().filter(is_there).count();
            let place = datacenter.map_or_else(String::new, |name| format!(" in datacenter {name}"));
            (factor as usize > nodes).then(|| {
                format!(
                    "Your replication factor {factor} for keyspace {keyspace} is higher than the number of nodes {nodes}{place}"
                )
            })
        };
        match factors.by_datacenter() {
            None => warning(factors.total(), None).into_iter().collect(),
            Some(factors) => {
                let warnings = factors.iter().map(|(name, factor)| warning(*factor, Some(name)));
                warnings.flatten().collect()
            }
        }
    }
}

/// What a keyspace was created with: that is what its entry keeps saying.
fn original<'a>(schema: &'a Schema, keyspace: &'a Keyspace) -> &'a Replication {
    let original = schema.created_with(&keyspace.name, keyspace.created);
    original.unwrap_or(&keyspace.replication)
}

/// An altered keyspace's entry is told without another replication; whether it says anything new then.
fn keep_original(schema: &Schema, entry: &mut SchemaEntry) -> bool {
    let Some(Definition::Keyspace(keyspace)) = &mut entry.definition else {
        return true;
    };
    let Some(original) = schema.created_with(&keyspace.name, keyspace.created) else {
        return true;
    };
    Arc::make_mut(keyspace).replication = original.clone();
    let known = schema.entry(&entry.name);
    known.is_none_or(|known| known.definition != entry.definition)
}

fn not_altered(keyspace: &str, error: &ChangeError) -> Error {
    let message = format!("keyspace '{keyspace}' can't get other replicas: {error}");
    match error {
        ChangeError::Busy { .. } | ChangeError::Down { .. } | ChangeError::Refused(_) => {
            Error::invalid(message)
        }
        _ => Error::server(message),
    }
}
