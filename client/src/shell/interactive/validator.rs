//! Whether what was typed is whole: Enter carries it out then, and begins a new line otherwise.

use reedline::{ValidationResult, Validator};

use crate::shell::splitter;

/// Asks the splitter.
pub(super) struct Whole;

impl Validator for Whole {
    fn validate(&self, line: &str) -> ValidationResult {
        match splitter::split(line).rest {
            Some(_) => ValidationResult::Incomplete,
            None => ValidationResult::Complete,
        }
    }
}
