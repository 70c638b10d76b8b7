//! The native client of Starling.

#![forbid(unsafe_code)]
