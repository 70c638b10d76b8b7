//! The native client of Starling: QUIC and MessagePack, routed by token.
//!
//! A [`Session`] is connected to every node of a cluster, learns the ring from it and sends each request
//! to a replica of the data. Values go in and rows come out through serde, checked against their CQL types.
//!
//! ```no_run
//! # async fn example() -> Result<(), starling_client::Error> {
//! use serde::Deserialize;
//! use starling_client::Session;
//!
//! #[derive(Deserialize)]
//! struct Flight {
//!     origin: String,
//!     departure_delay: Option<i32>,
//! }
//!
//! let session = Session::builder().contact("127.0.0.1:7000").connect().await?;
//! let flights = session.prepare("SELECT origin, departure_delay FROM flights.by_tail WHERE tail = ?").await?;
//! let answer = session.execute(&flights, ("N14228",)).await?;
//! for flight in answer.rows()?.typed::<Flight>() {
//!     let flight = flight?;
//!     println!("{} {:?}", flight.origin, flight.departure_delay);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # When a node dies or falls silent
//! A process that is gone is found gone within about 300 ms, if its machine says so (ICMP), and its connection ends. A node that is paused
//! or cut off counts as silent after 400 ms and two round trips without a packet: new requests go to others, and of those that wait,
//! each that is [the same twice as once](ExecutionOptions::idempotent) goes to the next node beside; the first answer counts. That holds for
//! reads, and for plain writes with a timestamp, which a session can
//! [give to all of them](SessionBuilder::client_timestamps). Any other write fails with [`Outcome::Unknown`] when its connection ends,
//! 2.5 s after the last packet at the latest.
//!
//! [`shell`] is the engine of `starling shell`, and [`load`] reads CSV into tables.

#![forbid(unsafe_code)]

mod batch;
pub mod binding;
mod builder;
mod clock;
mod cluster;
mod connection;
pub mod decoding;
mod error;
mod execution;
pub mod load;
mod options;
mod paging;
mod prepared;
mod repetition;
mod response;
pub mod retry;
mod session;
pub mod shell;
mod statement;
mod text;
mod tls;

pub use batch::Batch;
pub use binding::{Maybe, Unset};
pub use builder::SessionBuilder;
pub use error::{Error, ErrorKind, Outcome};
pub use options::{DEFAULT_PAGE_SIZE, DEFAULT_TIMEOUT, ExecutionOptions};
pub use paging::{OwnedRow, RowStream, TypedRowStream};
pub use prepared::Prepared;
pub use response::{Response, Row, Rows};
pub use session::Session;
pub use statement::Statement;

/// The vocabulary of CQL that this crate's API speaks.
pub use starling_cql::{
    BatchKind, ColumnSpec, CqlType, SchemaChange,
    native::{Event, Topology, TopologyNode},
};
pub use starling_model::{Consistency, Timestamp};
