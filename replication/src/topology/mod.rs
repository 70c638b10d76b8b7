//! How the ring changes while it serves: join, leave, remove, replace, another rack, other replicas of a keyspace.
//!
//! `ALGORITHM.md` beside this file has the invariants and why they hold. The chapters:
//! - `change`: what a change is; `alteration`: that of a keyspace;
//! - `ring_state`: the members and the change under way, as all nodes come to agree on them;
//! - `quorum`: when a level is met while replicas change;
//! - `fence`: requests that were planned on another ring;
//! - `message`: what nodes say to each other about it;
//! - `book`: the state of this node, and its file;
//! - `grants`: one change at a time;
//! - `proposal`: how a change begins;
//! - `drive`: how its coordinator carries it through, or gives it up;
//! - `lost`: changes that wait for nodes which are dead for good;
//! - `commands`: leave, remove, relocate, abort;
//! - `sparing`: whether nodes can be spared;
//! - `arrival`: join, and replace; `successors`: of several that are dead;
//! - `replication`: a keyspace gets other replicas;
//! - `fetch`: new replicas get their data;
//! - `tokens`: which ones a new member takes;
//! - `answer`: what a member answers;
//! - `service`: all of it put together.

mod alteration;
mod answer;
mod arrival;
mod book;
mod change;
mod commands;
mod drive;
mod error;
pub(crate) mod fence;
mod fetch;
mod grants;
mod lost;
mod message;
mod proposal;
pub(crate) mod quorum;
mod replication;
mod ring_state;
mod service;
pub(crate) mod sparing;
mod successors;
mod tokens;

#[cfg(test)]
mod tests;

pub use alteration::Alteration;
pub(crate) use book::Book;
pub use change::{Change, ChangeKind, Phase};
pub use error::ChangeError;
pub use message::{TopologyRequest, TopologyResponse};
pub(crate) use replication::{Altered, Wanted};
pub use ring_state::{Place, RingState, Stamp};
pub(crate) use service::{Parts, Topology};
pub(crate) use tokens::{choose_tokens, choose_tokens_aside};
