//! Literals that begin with a digit, or look as if: numbers, blobs, UUIDs, durations.

use super::{TokenKind, cursor::Cursor};
use crate::{error::Error, value::Duration};

/// Moves past such a literal, if there is one here.
pub(super) fn literal(cursor: &mut Cursor<'_>) -> Result<Option<TokenKind>, Error> {
    if let Some(length) = uuid_length(cursor.rest()) {
        cursor.at += length;
        return Ok(Some(TokenKind::Uuid));
    }
    match cursor.peek(0) {
        Some(b'p' | b'P') => Ok(iso_duration(cursor)),
        Some(b'0'..=b'9') => number(cursor).map(Some),
        _ => Ok(None),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn uuid_length(rest: &[u8]) -> Option<usize> {
    let candidate = rest.get(..36)?;
    let fits = candidate.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    let ends = rest.get(36).is_none_or(|byte| !is_word(*byte));
    (fits && ends).then_some(36)
}

fn iso_duration(cursor: &mut Cursor<'_>) -> Option<TokenKind> {
    let of = |wanted: fn(u8) -> bool| cursor.rest().iter().take_while(|byte| wanted(**byte)).count();
    // P0001-02-03T04:05:06, else P1Y2M3DT4H5M6S or P3W.
    let lengths = [
        of(|byte| is_word(byte) || byte == b'-' || byte == b':'),
        of(is_word),
    ];
    for length in lengths {
        let text = cursor.text.get(cursor.at..cursor.at + length)?;
        if text.len() > 1
            && text.as_bytes()[1..].iter().any(u8::is_ascii_digit)
            && Duration::parse(text).is_some()
        {
            cursor.at += length;
            return Some(TokenKind::Duration);
        }
    }
    None
}

fn number(cursor: &mut Cursor<'_>) -> Result<TokenKind, Error> {
    let start = cursor.at;
    if cursor.peek(0) == Some(b'0') && matches!(cursor.peek(1), Some(b'x' | b'X')) {
        cursor.at += 2;
        let digits = cursor.skip_while(|byte| byte.is_ascii_hexdigit());
        if cursor.peek(0).is_some_and(is_word) {
            return Err(cursor.error("a blob literal has hexadecimal digits only"));
        }
        if digits % 2 == 1 {
            cursor.at = start;
            return Err(cursor.error("a blob literal has an even number of digits"));
        }
        return Ok(TokenKind::Blob);
    }
    cursor.skip_while(|byte| byte.is_ascii_digit());
    let mut kind = TokenKind::Integer;
    if cursor.peek(0) == Some(b'.') {
        cursor.at += 1;
        cursor.skip_while(|byte| byte.is_ascii_digit());
        kind = TokenKind::Float;
    }
    if matches!(cursor.peek(0), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(cursor.peek(1), Some(b'+' | b'-')));
        if cursor.peek(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
            cursor.at += 1 + sign;
            cursor.skip_while(|byte| byte.is_ascii_digit());
            kind = TokenKind::Float;
        }
    }
    let tail = cursor.text[cursor.at..]
        .char_indices()
        .find(|(_, character)| !(character.is_ascii_alphanumeric() || matches!(character, '_' | 'µ' | 'μ')))
        .map_or(cursor.text.len() - cursor.at, |(at, _)| at);
    if tail == 0 {
        return Ok(kind);
    }
    let end = cursor.at + tail;
    if Duration::parse(&cursor.text[start..end]).is_some() {
        cursor.at = end;
        return Ok(TokenKind::Duration);
    }
    cursor.at = start;
    Err(cursor.error(format!(
        "'{}' is no number and no duration",
        excerpt(&cursor.text[start..end])
    )))
}

/// At most 40 characters of a text, for messages.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
