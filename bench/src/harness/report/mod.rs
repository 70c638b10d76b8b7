//! Results as one page that needs nothing else: no script, no font, no picture from outside.
//!
//! - [`page`]: the page; `groups`: which results are repetitions; [`growth`]: latency over records;
//! - [`plot`]: its plots, as SVG; [`chart`]: some of them as a picture by itself; [`ratio`]: ratios and their confidence.

pub mod chart;
mod groups;
pub mod growth;
pub mod page;
pub mod plot;
pub mod ratio;

#[cfg(test)]
mod tests;
