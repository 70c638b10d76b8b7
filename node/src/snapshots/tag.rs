//! The names of snapshots.

use std::fmt;

/// The longest name, in bytes.
const MAX_BYTES: usize = 64;

/// A snapshot's name, which is that of its directory: 1 to 64 ASCII letters, digits, `-`, `_` and `.`, and no `.`
/// first. So it is one component of a path, everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Checks a name; what is wrong with it, in a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=MAX_BYTES).contains(&text.len()) && text.chars().all(fine) && !text.starts_with('.') {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} can't be the name of a snapshot: it has 1 to {MAX_BYTES} letters, digits, '-', '_' and '.', and \
             does not begin with '.'"
        ))
    }

    /// The name for a snapshot that has none, by when it is made, in seconds since the epoch: `20261122-094501`.
    pub fn at(seconds: i64) -> Self {
        let time =
            time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        Self(format!(
            "{:04}{:02}{:02}-{:02}{:02}{:02}",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component_of_a_path() {
        for fine in ["a", "before-2.1", "20261122-094501", "A_b", &"x".repeat(64)] {
            assert_eq!(Tag::new(fine).unwrap().as_str(), fine);
        }
        let wrong = [
            "", ".", "..", ".hidden", "a/b", "../x", "a b", "a\n", "ä", "a\0", "C:\\",
        ];
        for wrong in wrong.iter().copied().chain([&*"x".repeat(65)]) {
            assert!(Tag::new(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_snapshot_without_a_name_is_called_by_its_time() {
        assert_eq!(Tag::at(1_795_340_701).as_str(), "20261122-094501");
        assert!(Tag::new(Tag::at(0).as_str()).is_ok());
    }
}
