//! Values in their CQL serialization (native protocol v5, section 6): checked, read from literals and
//! text, written as text and JSON.
//!
//! A value is its bytes and its type; nothing here keeps a decoded form of it.

mod calendar;
mod check;
mod collection;
mod decimal;
mod duration;
mod format;
mod json;
mod literal;
mod scalar;
mod text;

pub use calendar::{civil_from_days, days_from_civil, format_date, format_time, format_timestamp};
pub use check::{MAX_VARINT_BYTES, normalize, validate};
pub use collection::{Collection, elements, pairs, write_elements};
pub use decimal::Decimal;
pub use duration::Duration;
pub use format::{FormatOptions, format};
pub use json::json;
pub use literal::{constant, type_of};
pub use scalar::{format_uuid, int, long, parse_hex, parse_uuid, timeuuid_micros, timeuuid_parts};
pub use text::parse_text;
