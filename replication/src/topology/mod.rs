//! How the ring changes while it serves: join, leave, remove, replace, another rack.
//!
//! `ALGORITHM.md` beside this file has the invariants and why they hold. The chapters:
//! - `change`: what a change is;
//! - `ring_state`: the members and the change under way, as all nodes come to agree on them;
//! - `quorum`: when a level is met while replicas change.

mod change;
pub(crate) mod quorum;
mod ring_state;

#[cfg(test)]
mod tests;

pub use change::{Change, ChangeKind, Phase};
pub use ring_state::{Place, RingState, Stamp};
