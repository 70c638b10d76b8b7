//! A prepared statement.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use starling_cql::{ColumnSpec, PreparedMetadata, Values, request::Bound};

use crate::{
    error::Error,
    options::{ExecutionOptions, option_setters},
    repetition::Repetition,
};

/// A statement that nodes know by an id, with typed bind markers. Cheap to clone; the copies of one statement
/// may have options of their own.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: ExecutionOptions,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) text: String,
    pub(crate) keyspace: Option<String>,
    /// Changes when a node that forgot the statement, or learnt of another schema, prepares it anew.
    metadata: ArcSwap<PreparedMetadata>,
    /// The markers that values are bound by. They never change.
    markers: Vec<ColumnSpec>,
    pub(crate) is_read: bool,
    pub(crate) repetition: Repetition,
}

impl Prepared {
    pub(crate) fn new(
        text: String,
        keyspace: Option<String>,
        metadata: PreparedMetadata,
        options: ExecutionOptions,
    ) -> Self {
        let shared = Shared {
            is_read: crate::statement::is_read(&text),
            repetition: Repetition::of(&text, &metadata.markers),
            text,
            keyspace,
            markers: metadata.markers.clone(),
            metadata: ArcSwap::from_pointee(metadata),
        };
        Self {
            shared: Arc::new(shared),
            options,
        }
    }

    /// The text it was prepared from.
    pub fn text(&self) -> &str {
        &self.shared.text
    }

    /// The bind markers, in order.
    pub fn markers(&self) -> &[ColumnSpec] {
        &self.shared.markers
    }

    /// The columns of the result; none for statements that return no rows.
    pub fn columns(&self) -> Vec<ColumnSpec> {
        self.shared.metadata.load().columns.clone()
    }

    /// How it is carried out.
    pub fn options(&self) -> &ExecutionOptions {
        &self.options
    }

    fn options_mut(&mut self) -> &mut ExecutionOptions {
        &mut self.options
    }

    option_setters!();
}

impl Shared {
    /// The id that nodes know the statement by.
    pub(crate) fn id(&self) -> Bytes {
        self.metadata.load().id.clone()
    }

    /// What a node said when the statement was prepared there again.
    pub(crate) fn renew(&self, metadata: PreparedMetadata) -> Result<(), Error> {
        if metadata.markers != self.markers {
            return Err(Error::invalid(
                "the types of the statement's bind markers changed with the schema; nothing was done, \
                 prepare the statement again",
            ));
        }
        self.metadata.store(Arc::new(metadata));
        Ok(())
    }

    /// The serialized partition key that the values give, and the keyspace; `None` if the markers don't
    /// bind a whole key.
    pub(crate) fn partition_key(&self, values: &Values) -> Option<(&str, Bytes)> {
        let metadata = self.metadata.load();
        let Values::Positional(values) = values else {
            return None;
        };
        let component = |index: &u16| match values.get(usize::from(*index)) {
            Some(Bound::Value(Some(value))) => Some(value),
            _ => None,
        };
        let first = self.markers.get(usize::from(*metadata.partition_key.first()?))?;
        let key = if let [only] = &metadata.partition_key[..] {
            component(only)?.clone()
        } else {
            let mut key = Vec::new();
            for index in &metadata.partition_key {
                let value = component(index)?;
                key.extend_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
                key.extend_from_slice(value);
                key.push(0);
            }
            key.into()
        };
        Some((&first.keyspace, key))
    }
}
