//! Writing again what was kept elsewhere: a snapshot's content.

use std::time::Duration;

use bytes::Bytes;
use starling_cql::{Error, ErrorKind};
use starling_model::{DecoratedKey, Mutation};

use crate::{deadline::Deadline, env::Env, node::Node, tracing::Tracer};

/// How long a write is tried again that some replica neither takes nor gets a hint for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The first pause before it is tried again; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl<E: Env> Node<E> {
    /// Writes a mutation with the timestamps that it has, as read repair does. When it ends, every replica has it
    /// durably, or a durable hint waits for the replica: whoever calls this may forget the mutation.
    ///
    /// The merge law decides what it changes: nothing where something newer is. After an error some replicas may have it;
    /// writing it once more is harmless.
    pub async fn write_again(&self, mutation: Mutation) -> Result<(), Error> {
        let deadline = Deadline::after(&self.env, PATIENCE);
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self
                .coordinator
                .write_to_all(mutation.clone(), None, &Tracer::OFF)
                .await
            {
                Ok(true) => return Ok(()),
                Ok(false) => None,
                // What can't be right later either.
                Err(error) if matches!(error.kind, ErrorKind::Invalid) => return Err(error),
                Err(error) => Some(error),
            };
            if self.is_stopping() || deadline.is_over(&self.env) {
                return Err(failure.unwrap_or_else(|| {
                    Error::new(
                        ErrorKind::Overloaded,
                        "a replica does not take the write, and no hint can be kept for it; see that all nodes are up",
                    )
                }));
            }
            self.env.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// A partition key with its token in this cluster.
    pub fn decorate(&self, key: Bytes) -> DecoratedKey {
        DecoratedKey {
            token: self.config.partitioner.token(&key),
            key,
        }
    }
}
