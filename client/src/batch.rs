//! Batches: several writes as one request.

use serde::Serialize;
use starling_cql::{BatchEntry, BatchKind, Values, request};

use crate::{
    binding,
    error::Error,
    options::{ExecutionOptions, option_setters},
    prepared::{Prepared, Shared},
    repetition::Repetition,
};
use std::sync::Arc;

/// Several INSERT, UPDATE and DELETE statements that go as one request.
///
/// A logged batch is applied in full or not at all, in the end. One that ends with an [unknown outcome](crate::Outcome::Unknown) mostly is
/// within seconds, though its node has died; where all nodes that keep it are hindered for as long as hints are kept (three hours unless
/// set) it may stay written in part. To repeat it is right if twice is the same as once. An unlogged one saves round trips where all
/// parts are of one partition, and promises nothing beyond that.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) kind: BatchKind,
    pub(crate) parts: Vec<Part>,
    pub(crate) options: Option<ExecutionOptions>,
}

/// The most parts of one batch: the native protocol of CQL counts them with 16 bits.
const MAX_BATCH_PARTS: usize = 65_535;

#[derive(Debug, Clone)]
pub(crate) enum Part {
    Text(String),
    Prepared(Arc<Shared>, Values),
}

impl Batch {
    /// A batch without parts.
    pub fn new(kind: BatchKind) -> Self {
        Self {
            kind,
            parts: Vec::new(),
            options: None,
        }
    }

    /// An empty logged batch.
    pub fn logged() -> Self {
        Self::new(BatchKind::Logged)
    }

    /// An empty unlogged batch.
    pub fn unlogged() -> Self {
        Self::new(BatchKind::Unlogged)
    }

    /// Adds a statement without bind markers.
    pub fn text(&mut self, text: impl Into<String>) -> Result<&mut Self, Error> {
        self.add(Part::Text(text.into()))
    }

    /// Adds a prepared statement with its values. If they don't fit, the batch stays as it is.
    pub fn bind(&mut self, prepared: &Prepared, values: impl Serialize) -> Result<&mut Self, Error> {
        let values = binding::bind(prepared.markers(), &values)?;
        self.add(Part::Prepared(Arc::clone(&prepared.shared), values))
    }

    fn add(&mut self, part: Part) -> Result<&mut Self, Error> {
        if self.parts.len() == MAX_BATCH_PARTS {
            return Err(Error::invalid(format!(
                "a batch has at most {MAX_BATCH_PARTS} statements"
            )));
        }
        self.parts.push(part);
        Ok(self)
    }

    /// How many statements it has.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether it has no statement.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn options_mut(&mut self) -> &mut ExecutionOptions {
        self.options.get_or_insert_default()
    }

    option_setters!();

    /// That of its most delicate part.
    pub(crate) fn repetition(&self) -> Repetition {
        if self.kind == BatchKind::Counter {
            return Repetition::Unknown;
        }
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => Repetition::of(text, &[]),
            Part::Prepared(shared, _) => shared.repetition,
        });
        parts.max().unwrap_or(Repetition::Unknown)
    }

    pub(crate) fn entries(&self) -> Vec<BatchEntry> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => BatchEntry {
                    statement: request::Statement::Text(text.clone()),
                    values: Values::default(),
                },
                Part::Prepared(shared, values) => BatchEntry {
                    statement: request::Statement::Prepared(shared.id()),
                    values: values.clone(),
                },
            })
            .collect()
    }
}
