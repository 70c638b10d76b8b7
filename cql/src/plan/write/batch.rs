//! Batches.

use starling_model::{Mutation, ReadCommand};

use super::{Present, WritePlan, apply, present, timing};
use crate::{
    ast::Batch,
    error::Error,
    plan::{
        Context,
        bind::{BoundValues, Markers, Target},
        combine,
        expression::Expression,
    },
    request::{BatchKind, Values},
    result::ColumnSpec,
    schema::Schema,
    types::CqlType,
};

/// A batch, ready.
#[derive(Debug, Clone)]
pub struct BatchPlan {
    kind: BatchKind,
    markers: Vec<ColumnSpec>,
    timestamp: Option<Expression>,
    parts: Vec<WritePlan>,
}

impl BatchPlan {
    pub(in crate::plan) fn new(
        batch: &Batch,
        schema: &Schema,
        keyspace: Option<&str>,
    ) -> Result<Self, Error> {
        if batch.kind == BatchKind::Counter {
            return Err(Error::unsupported("a counter batch"));
        }
        let mut markers = Markers::default();
        let target = Target::named("[timestamp]", &CqlType::Bigint);
        let timestamp = batch
            .using
            .timestamp
            .as_ref()
            .map(|term| Expression::new(term, &target, &mut markers))
            .transpose()?;
        let mut parts = Vec::with_capacity(batch.statements.len());
        for statement in &batch.statements {
            let part = WritePlan::new(statement, schema, keyspace, &mut markers)?;
            if timestamp.is_some() && part.timestamp.is_some() {
                return Err(Error::invalid(
                    "Timestamp must be set either on BATCH or individual statements",
                ));
            }
            parts.push(part);
        }
        Ok(Self {
            kind: batch.kind,
            markers: markers.finish()?,
            timestamp,
            parts,
        })
    }

    /// Logged or not.
    pub fn kind(&self) -> BatchKind {
        self.kind
    }

    /// The statements in it.
    pub fn parts(&self) -> &[WritePlan] {
        &self.parts
    }

    /// The bind markers of all parts.
    pub fn markers(&self) -> &[ColumnSpec] {
        &self.markers
    }

    /// Which markers are the first part's partition key.
    pub fn partition_key_markers(&self) -> Vec<u16> {
        self.parts
            .first()
            .map(WritePlan::partition_key_markers)
            .unwrap_or_default()
    }

    /// Whether something has to be read first.
    pub fn needs_reads(&self) -> bool {
        self.parts.iter().any(WritePlan::needs_reads)
    }

    /// What has to be read first and given to [`mutations`](Self::mutations).
    pub fn reads(&self, values: &Values, context: &mut Context<'_>) -> Result<Vec<ReadCommand>, Error> {
        let values = BoundValues::new(&self.markers, values)?;
        let mut reads = Vec::new();
        for part in &self.parts {
            reads.extend(present::reads(part, &values, context)?);
        }
        Ok(reads)
    }

    /// The writes: one for each partition of each table.
    pub fn mutations(
        &self,
        values: &Values,
        present: &Present,
        context: &mut Context<'_>,
    ) -> Result<Vec<Mutation>, Error> {
        let values = BoundValues::new(&self.markers, values)?;
        let timestamp = timing::timestamp(self.timestamp.as_ref(), &values, context)?;
        let mut mutations = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            mutations.extend(apply::mutations(part, &values, present, timestamp, context)?);
        }
        Ok(combine(mutations))
    }
}
