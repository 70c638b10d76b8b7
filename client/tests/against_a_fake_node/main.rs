//! The client, the loader and the shell against nodes of the test's making, over real QUIC.

mod fake;
mod load;
mod session;
mod shell;
mod silence;
