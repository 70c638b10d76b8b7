//! Plans over all kinds of changes, and data that moves by them while nodes die.

mod crashes;
mod moving;
mod parts;
mod plans;
mod sources;
