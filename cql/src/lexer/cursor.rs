//! A place in the text.

use super::error_at;
use crate::error::Error;

/// Walks over the bytes of a statement. `at` is always at a character's first byte.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    pub(super) fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let count = self.rest().iter().take_while(|byte| wanted(**byte)).count();
        self.at += count;
        count
    }

    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        error_at(self.text, self.at, message)
    }

    /// Skips blanks and comments.
    pub(super) fn skip_blanks(&mut self) -> Result<(), Error> {
        loop {
            self.skip_while(|byte| byte.is_ascii_whitespace());
            match (self.peek(0), self.peek(1)) {
                (Some(b'-'), Some(b'-')) | (Some(b'/'), Some(b'/')) => {
                    self.skip_while(|byte| byte != b'\n');
                }
                (Some(b'/'), Some(b'*')) => {
                    let Some(length) = find(&self.rest()[2..], *b"*/") else {
                        return Err(self.error("the comment has no end"));
                    };
                    self.at += length + 4;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Moves past a quoted piece, in which a doubled quote stands for one.
    pub(super) fn quoted(&mut self, quote: u8, what: &str) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        loop {
            self.skip_while(|byte| byte != quote);
            match (self.peek(0), self.peek(1)) {
                (None, _) => {
                    self.at = start;
                    return Err(self.error(format!("the {what} has no end")));
                }
                (_, Some(next)) if next == quote => self.at += 2,
                _ => {
                    self.at += 1;
                    return Ok(());
                }
            }
        }
    }

    /// Moves past `$$...$$`.
    pub(super) fn dollar_string(&mut self) -> Result<(), Error> {
        match find(&self.rest()[2..], *b"$$") {
            Some(length) => {
                self.at += length + 4;
                Ok(())
            }
            None => Err(self.error("the string has no end")),
        }
    }
}

fn find(bytes: &[u8], pair: [u8; 2]) -> Option<usize> {
    bytes.windows(2).position(|window| *window == pair)
}
