//! Results as one page that needs nothing else: no script, no font, no picture from outside.
//!
//! - [`page`]: the page; `groups`: which results are repetitions; [`growth`]: latency over records;
//! - [`plot`]: its plots, as SVG; [`ratio`]: ratios and their confidence.

mod groups;
pub mod growth;
pub mod page;
pub mod plot;
pub mod ratio;

#[cfg(test)]
mod tests;
