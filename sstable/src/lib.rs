//! Starling's storage engine.

pub mod fs;
