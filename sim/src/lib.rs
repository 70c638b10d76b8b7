//! A whole cluster in one deterministic process: virtual time, network and disks, faults, and checkers.
//!
//! The nodes are the real thing: `replication`'s logic, `cql`'s parser and plans, `sstable`'s engine.
//! What is simulated is their outside, and one seed decides all of it:
//! - [`executor`]: tasks and virtual time;
//! - [`network`]: what becomes of each message;
//! - [`disk`]: what a crash leaves;
//! - [`store`] and [`env`](mod@env): what the production shell builds from threads, here from tasks;
//! - [`cluster`], [`workload`], [`nemesis`]: nodes, those who use them, and what befalls them; [`operator`] and [`alterer`]: who changes
//!   the ring and the replication;
//! - [`history`], [`reach`] and [`checkers`]: what was promised, and whether it was kept;
//! - [`run`](mod@run): all of it together, for one seed; [`trace`]: its hash;
//! - [`bug`]: bugs on purpose, to see that the checkers find them.

#![forbid(unsafe_code)]

pub mod alterer;
pub mod bug;
pub mod checkers;
pub mod cluster;
pub mod disk;
pub mod env;
pub mod executor;
pub mod history;
pub mod nemesis;
pub mod network;
pub mod operator;
pub mod quarrel;
pub mod random;
pub mod reach;
pub mod run;
pub mod side_by_side;
pub mod store;
pub mod trace;
pub mod workload;
