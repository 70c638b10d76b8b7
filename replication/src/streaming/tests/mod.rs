//! Plans over all kinds of changes, and data that moves by them while nodes die.

mod moving;
mod parts;
mod plans;
mod sources;
