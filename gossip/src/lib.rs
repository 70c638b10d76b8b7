//! Membership by gossip, without I/O: who is in the cluster, what each node says about itself, and who is
//! alive.
//!
//! [`Gossip`] is a state machine. Its caller gives it the time, random numbers and the messages that
//! arrive, and sends the messages that it returns; they may be lost, late, doubled or out of order.
//! `ALGORITHM.md` beside this crate has the rules and why they hold.
//!
//! The chapters:
//! - [`gossip`]: the state machine;
//! - [`config`], [`state`], [`member`], [`event`]: what goes in and comes out;
//! - [`message`]: what travels, and how large it gets;
//! - [`reconcile`]: who lacks what, and what fits into a message;
//! - [`detector`]: phi-accrual failure detection;
//! - [`peers`]: whom to talk to in a round.

#![forbid(unsafe_code)]

pub mod config;
pub mod detector;
pub mod event;
pub mod gossip;
pub mod member;
pub mod message;
pub mod peers;
pub mod reconcile;
pub mod state;

#[cfg(test)]
mod tests;

pub use config::{Config, Identity};
pub use event::{Event, Refusal};
pub use gossip::{Gossip, Outgoing, RemoveError};
pub use member::Member;
pub use message::Message;
pub use state::{StateKey, ValueTooLong, status};
