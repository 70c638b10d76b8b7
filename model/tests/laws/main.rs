//! The laws of the vocabulary, by property: merging, encodings, order, the clock.

mod clock;
mod encoding;
mod generators;
mod merge;
mod ordered;
mod pages;
mod range_tombstones;
mod ring_arcs;
mod slices;
mod views;
