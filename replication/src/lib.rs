//! What a node does with a request.

#![forbid(unsafe_code)]

pub mod anti_entropy;
mod batch;
pub mod budget;
mod clock;
mod clock_floor;
pub mod config;
mod coordinator;
mod deadline;
mod durable_file;
pub mod env;
pub mod events;
mod few;
mod gate;
pub mod hints;
mod identity;
mod latency;
mod membership;
pub mod message;
mod newest;
pub mod node;
mod peer_clocks;
mod peers;
mod placements;
mod purgeable;
mod query;
mod replica;
mod restore;
mod schema_agreement;
mod service;
mod snapshot;
pub mod start_error;
pub mod status;
mod storage_settings;
pub mod streaming;
#[cfg(test)]
mod testing;
pub mod topology;
pub mod tracing;
mod truncations;

pub use anti_entropy::{
    demand::{RepairProgress, RepairRequest},
    divergence::{DivergedRange, TableDivergence, diverged_longest},
};
pub use budget::{Budget, Charge};
pub use config::{Bounds, Config, Repair, Timeouts};
pub use coordinator::{
    losses::{Loss, LossRequest},
    waiting::{DamageStatus, WaitingDamage},
};
pub use env::{CallError, Damaged, Env, Exported, Store, StoreError, StoredPage};
pub use events::{ClusterEvent, Listener};
pub use identity::has_joined;
pub use message::{PeerRequest, PeerResponse};
pub use node::{Executed, Node};
pub use start_error::StartError;
pub use status::{DepartedStatus, MemberStatus, NodeStatus, Owners};
pub use streaming::{StreamStatus, estimate::Estimate};
