//! What is done to a server: a workload file, and the operations that are drawn from it.
//!
//! - [`mod@file`]: the file's shape; [`ready`]: the files that come with the harness;
//! - [`keys`], [`zipf`], [`growth`]: which record an operation is about;
//! - [`field`], [`samples`], [`version`]: the values that are bound;
//! - [`script`]: the operations of one lane, in order;
//! - [`random`]: the source of all chance, seeded.

pub mod field;
pub mod file;
pub mod growth;
pub mod keys;
pub mod random;
pub mod ready;
pub mod samples;
pub mod script;
pub mod version;
pub mod zipf;

#[cfg(test)]
mod tests;
