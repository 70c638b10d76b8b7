//! Anti-entropy, from its sums to whole clusters.

mod cluster;
mod digest;
mod engines;
mod prints;
mod purging;
mod tree;
