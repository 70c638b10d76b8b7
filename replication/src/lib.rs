//! What a node does with a request.

#![forbid(unsafe_code)]

mod clock;
pub mod config;
mod durable_file;
pub mod env;
pub mod events;
mod identity;
pub mod message;
pub mod node;
pub mod start_error;
pub mod status;
pub mod tracing;

pub use config::{Bounds, Config, Timeouts};
pub use env::{CallError, Env, Store, StoreError};
pub use events::{ClusterEvent, Listener};
pub use message::{PeerRequest, PeerResponse};
pub use node::{Executed, Node};
pub use start_error::StartError;
pub use status::{MemberStatus, NodeStatus};
