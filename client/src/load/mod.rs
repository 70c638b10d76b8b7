//! CSV into a table: the engine of `COPY ... FROM` and of the demo's sample data.
//!
//! Rows are inserted one by one, each routed to its replicas, with a bounded number in flight. Inserts are
//! idempotent, so that what fails for a passing reason is tried again; what fails for good is counted,
//! reported with its line, and the rest goes on.

mod options;
mod progress;
mod record;
mod report;
mod run;

pub use options::LoadOptions;
pub use progress::{Bar, Progress, Silent};
pub use report::{LineError, LoadReport, MAX_REPORTED_ERRORS};
pub use run::csv;
