//! Tests of the ring, by chapter.

mod allocation;
mod clusters;
mod levels;
mod partitioner;
mod placement;
mod ring;
mod strategy;
