//! Carrying out statements: from CQL text or a prepared id to the coordinator, and back to rows.
//!
//! The chapters:
//! - [`prepared`]: statements that were prepared, and plans of texts seen before;
//! - [`execute`]: a statement, by its kind;
//! - [`select`], [`modify`], [`change_schema`]: reads, writes and batches, definitions;
//! - [`system_tables`], [`traces`]: tables that are computed when they are read;
//! - [`topology`]: what clients and operators are told of the ring.

mod change_schema;
mod execute;
mod modify;
pub(crate) mod prepared;
mod select;
mod system_tables;
mod topology;
mod traces;

#[cfg(test)]
mod tests;
