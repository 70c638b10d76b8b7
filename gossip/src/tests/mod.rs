//! Tests of gossip.

mod cluster;
mod convergence;
mod detector;
mod failure;
mod messages;
mod peers;
mod refusal;
mod transcripts;
