//! CQL for Starling: the language and its types, the schema, statement plans, and the native-protocol codec.

#![forbid(unsafe_code)]

pub mod error;
pub mod native;
pub mod protocol;
pub mod request;
pub mod result;
pub mod types;

pub use error::{Error, ErrorKind, WriteType};
pub use request::{BatchEntry, BatchKind, BatchRequest, QueryParameters, Statement, Values};
pub use result::{ColumnSpec, PreparedMetadata, QueryResult, Rows, SchemaChange, SchemaTarget};
pub use types::CqlType;
