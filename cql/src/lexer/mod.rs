//! Cuts a statement into tokens.
//!
//! Tokens follow Cassandra's grammar: `--`, `//` and `/* */` comments, `'...'` with `''` inside and
//! `$$...$$` strings, quoted identifiers, and literals for numbers, blobs, UUIDs and durations.

mod cursor;
mod number;

use std::ops::Range;

use crate::error::Error;
use cursor::Cursor;
pub(crate) use number::excerpt;

/// The longest statement, in bytes: 1 MiB. Larger values travel as bound values.
pub const MAX_STATEMENT_BYTES: usize = 1 << 20;

/// What kind of token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A word without quotes: keyword or identifier.
    Word,
    /// `"..."`.
    QuotedName,
    /// `'...'`.
    String,
    /// `$$...$$`.
    DollarString,
    /// Digits.
    Integer,
    /// A number with a point or an exponent.
    Float,
    /// `0x...`.
    Blob,
    /// 8-4-4-4-12 hexadecimal digits.
    Uuid,
    /// `1h30m`, `P1D`.
    Duration,
    /// One of `( ) [ ] { } , ; . : ? * + - = < > <= >= != += -=`.
    Symbol,
    /// The end of the statement.
    End,
}

/// A token: its kind and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    start: u32,
    end: u32,
}

impl Token {
    /// Its bytes in the statement.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Cuts `text` into tokens, the last of which is [`TokenKind::End`].
///
/// Costs 12 bytes for each token. Fails with a syntax error for a statement longer than
/// [`MAX_STATEMENT_BYTES`], an unknown character, or a string or comment without an end.
pub fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    if text.len() > MAX_STATEMENT_BYTES {
        return Err(Error::syntax(format!(
            "line 1:0 the statement has {} bytes; at most {MAX_STATEMENT_BYTES} are taken: bind large values instead",
            text.len()
        )));
    }
    let mut cursor = Cursor::new(text);
    let mut tokens = Vec::new();
    loop {
        cursor.skip_blanks()?;
        let start = cursor.at;
        let kind = next(&mut cursor)?;
        tokens.push(Token {
            kind,
            start: start as u32,
            end: cursor.at as u32,
        });
        if kind == TokenKind::End {
            return Ok(tokens);
        }
    }
}

fn next(cursor: &mut Cursor<'_>) -> Result<TokenKind, Error> {
    let Some(first) = cursor.peek(0) else {
        return Ok(TokenKind::End);
    };
    if let Some(kind) = number::literal(cursor)? {
        return Ok(kind);
    }
    match first {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
            cursor.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            Ok(TokenKind::Word)
        }
        b'"' => {
            cursor.quoted(b'"', "quoted name")?;
            Ok(TokenKind::QuotedName)
        }
        b'\'' => {
            cursor.quoted(b'\'', "string")?;
            Ok(TokenKind::String)
        }
        b'$' if cursor.peek(1) == Some(b'$') => {
            cursor.dollar_string()?;
            Ok(TokenKind::DollarString)
        }
        b'<' | b'>' | b'!' | b'+' | b'-' if cursor.peek(1) == Some(b'=') => {
            cursor.at += 2;
            Ok(TokenKind::Symbol)
        }
        b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b'.' | b':' | b'?' | b'*' | b'+' | b'-'
        | b'=' | b'<' | b'>' | b'/' | b'%' => {
            cursor.at += 1;
            Ok(TokenKind::Symbol)
        }
        _ => {
            let character = cursor.text[cursor.at..].chars().next().unwrap_or('\u{fffd}');
            Err(cursor.error(format!(
                "no viable alternative at character '{}'",
                character.escape_debug()
            )))
        }
    }
}

/// An error at a place of a statement, as `line L:C message`; lines count from 1, columns from 0.
pub fn error_at(text: &str, at: usize, message: impl std::fmt::Display) -> Error {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    // Columns count characters: every byte that doesn't continue one.
    let column = before[line_start..]
        .iter()
        .filter(|byte| **byte & 0xC0 != 0x80)
        .count();
    Error::syntax(format!("line {line}:{column} {message}"))
}
