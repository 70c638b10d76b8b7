//! Tests of gossip.

mod cluster;
mod convergence;
mod departure;
mod detector;
mod failure;
mod messages;
mod peers;
mod refusal;
mod scale;
mod suspicion;
mod transcripts;
