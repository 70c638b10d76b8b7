//! CQL for Starling: the language and its types, the schema, statement plans, and the native-protocol codec.

#![forbid(unsafe_code)]

pub mod ast;
pub mod describe;
pub mod error;
pub mod lexer;
pub mod native;
pub mod ordered_key;
pub mod parser;
pub mod partition_key;
pub mod plan;
pub mod protocol;
pub mod request;
pub mod result;
pub mod schema;
pub mod types;
pub mod value;
pub mod virtual_table;

pub use error::{Error, ErrorKind, FailureReason, ReplicaFailure, WriteType};
pub use request::{BatchEntry, BatchKind, BatchRequest, QueryParameters, Statement, Values};
pub use result::{ColumnSpec, PreparedMetadata, QueryResult, Rows, SchemaChange, SchemaTarget};
pub use types::CqlType;
