//! Carrying out statements: from CQL text or a prepared id to the coordinator, and back to rows.
//!
//! The chapters:
//! - [`prepared`]: statements that were prepared, and plans of texts seen before;
//! - [`execute`]: a statement, by its kind;
//! - [`select`], [`modify`], [`change_schema`]: reads, writes and batches, definitions;
//! - [`to_the_end`]: what goes on when the client has gone;
//! - [`system_tables`], [`traces`]: tables that are computed when they are read;
//! - [`topology`]: what clients and operators are told of the ring.

mod change_schema;
mod execute;
mod modify;
pub(crate) mod prepared;
mod select;
mod system_tables;
mod to_the_end;
mod topology;
mod traces;

#[cfg(test)]
mod tests;
