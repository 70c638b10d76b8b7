//! A statement as text.

use crate::options::{ExecutionOptions, option_setters};

/// CQL text, with options of its own. Made from a string, or by [`Session::statement`](crate::Session::statement)
/// with the session's options to change from.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) text: String,
    pub(crate) options: Option<ExecutionOptions>,
}

impl Statement {
    /// A statement with the options given.
    pub fn new(text: impl Into<String>, options: ExecutionOptions) -> Self {
        Self {
            text: text.into(),
            options: Some(options),
        }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn options_mut(&mut self) -> &mut ExecutionOptions {
        self.options.get_or_insert_default()
    }

    option_setters!();
}

impl From<&str> for Statement {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            options: None,
        }
    }
}

impl From<String> for Statement {
    fn from(text: String) -> Self {
        Self { text, options: None }
    }
}

impl From<&String> for Statement {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// Whether a statement only reads, by its first word: such a request may be repeated freely.
pub(crate) fn is_read(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        let after = if rest.starts_with("--") || rest.starts_with("//") {
            rest.find('\n').map(|end| &rest[end + 1..])
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| &rest[end + 2..])
        } else {
            break;
        };
        let Some(after) = after else { return false };
        rest = after.trim_start();
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    ["SELECT", "DESCRIBE", "DESC", "USE"]
        .iter()
        .any(|read| read.eq_ignore_ascii_case(&word))
}

#[cfg(test)]
mod tests {
    use super::is_read;

    #[test]
    fn reads_are_known_by_their_first_word() {
        for read in [
            "SELECT 1",
            " select * from t",
            "-- why\nSELECT 1",
            "/* why */ Select 1",
            "DESC TABLES",
        ] {
            assert!(is_read(read), "{read}");
        }
        for write in [
            "INSERT INTO t",
            "",
            "--",
            "/* SELECT",
            "SELECTED",
            "-- SELECT\nDELETE FROM t",
        ] {
            assert!(!is_read(write), "{write}");
        }
    }
}
