//! What a run leaves behind.
//!
//! - [`recorder`]: what one lane measures; [`mod@slice`]: a second of it on its way to the collector;
//! - [`collector`]: the timeline of all lanes;
//! - [`generators`]: how busy the processes are that make the load;
//! - [`disk_probe`]: the disk without the servers;
//! - [`process`]: CPU, memory and disk of server processes on this machine;
//! - [`quiet`]: when those have nothing left to do;
//! - [`window`]: what of it belongs to the measured time;
//! - [`result`]: the JSON that a run writes;
//! - [`availability`]: what faults did to the timeline;
//! - [`live`]: the terminal, while it runs.

pub mod availability;
pub mod collector;
pub mod disk_probe;
pub mod generators;
pub mod live;
pub mod process;
pub mod quiet;
pub mod recorder;
pub mod result;
pub mod slice;
pub mod window;

#[cfg(test)]
mod tests;
