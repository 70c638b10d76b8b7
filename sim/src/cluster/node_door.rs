//! What a client sends to a node.

use std::sync::Arc;

use starling_cql::{BatchRequest, Error, ErrorKind, QueryParameters, Statement};
use starling_model::Consistency;
use starling_replication::{Executed, Node};

use crate::env::SimEnv;

/// A client's request.
#[derive(Debug, Clone)]
pub enum Request {
    /// A statement's text.
    Query(String, QueryParameters),
    /// A statement that is prepared first, if it is not yet, and executed by its id.
    Prepared(String, QueryParameters),
    /// A batch of statements.
    Batch(BatchRequest),
}

impl Request {
    /// How many replicas must answer.
    pub fn level(&self) -> Consistency {
        match self {
            Self::Query(_, parameters) | Self::Prepared(_, parameters) => parameters.consistency,
            Self::Batch(request) => request.parameters.consistency,
        }
    }

    /// Does what a driver and the protocol's server do with it.
    pub(super) async fn carry_out(self, node: &Arc<Node<SimEnv>>) -> Result<Executed, Error> {
        match self {
            Self::Query(text, parameters) => node.execute(Statement::Text(text), parameters, false).await,
            Self::Prepared(text, parameters) => {
                let prepared = node.prepare(&text, None)?;
                if prepared.markers.len() != bound(&parameters) {
                    return Err(Error::new(
                        ErrorKind::Protocol,
                        "the simulated driver bound the wrong number of values",
                    ));
                }
                node.execute(Statement::Prepared(prepared.id), parameters, false)
                    .await
            }
            Self::Batch(request) => node.batch(request, false).await,
        }
    }
}

fn bound(parameters: &QueryParameters) -> usize {
    match &parameters.values {
        starling_cql::Values::Positional(values) => values.len(),
        starling_cql::Values::Named(values) => values.len(),
    }
}
