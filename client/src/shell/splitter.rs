//! Where one statement ends and the next begins.
//!
//! A statement ends at a `;` outside of strings, quoted names and comments; a batch at the `;` after
//! `APPLY BATCH`. A command of the shell also ends with its line. All positions are bytes of UTF-8.

/// A statement in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Without the `;` and without white space and comments around it.
    pub(super) text: &'a str,
    /// Where it begins in the whole.
    pub(super) start: usize,
}

/// A text in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split<'a> {
    /// Complete statements. None is empty.
    pub(super) pieces: Vec<Piece<'a>>,
    /// What follows the last complete statement and is not empty: a statement without its `;`.
    pub(super) rest: Option<Piece<'a>>,
}

/// Words that begin a command of the shell, which ends with its line.
pub(super) const LINE_COMMANDS: [&str; 17] = [
    "?",
    "CAPTURE",
    "CLEAR",
    "CLS",
    "CONSISTENCY",
    "COPY",
    "DESC",
    "DESCRIBE",
    "EXIT",
    "EXPAND",
    "HELP",
    "LOGIN",
    "PAGING",
    "QUIT",
    "SHOW",
    "SOURCE",
    "TRACING",
];

/// Splits `text`.
pub(super) fn split(text: &str) -> Split<'_> {
    let mut pieces = Vec::new();
    let mut at = 0;
    loop {
        let start = skip_blank(text, at);
        if start == text.len() {
            return Split { pieces, rest: None };
        }
        let mut scanner = Scanner::new(text, start);
        let Some((end, next)) = scanner.find_end() else {
            let piece = Piece {
                text: text[start..].trim_end(),
                start,
            };
            return Split {
                pieces,
                rest: Some(piece),
            };
        };
        let piece = text[start..end].trim_end();
        if !piece.is_empty() {
            pieces.push(Piece { text: piece, start });
        }
        at = next;
    }
}

/// The number of the line, from 1, that a position is on.
pub(super) fn line_of(text: &str, position: usize) -> usize {
    text[..position].matches('\n').count() + 1
}

/// Skips white space and comments.
fn skip_blank(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        match comment(trimmed) {
            Ok(Some(length)) => at += length,
            Ok(None) => return at,
            Err(Unclosed) => return text.len(),
        }
    }
}

/// A string, a quoted name or a comment has no end.
struct Unclosed;

/// The length of the comment that `text` begins with; `None` if it begins with none.
fn comment(text: &str) -> Result<Option<usize>, Unclosed> {
    if text.starts_with("--") || text.starts_with("//") {
        return Ok(Some(text.find('\n').unwrap_or(text.len())));
    }
    match text.strip_prefix("/*") {
        Some(inner) => inner.find("*/").map(|end| Some(end + 4)).ok_or(Unclosed),
        None => Ok(None),
    }
}

/// The length of the string or quoted name that `text` begins with; `None` if it begins with none.
fn quoted(text: &str) -> Result<Option<usize>, Unclosed> {
    let quote = if text.starts_with("$$") {
        "$$"
    } else if text.starts_with('\'') {
        "'"
    } else if text.starts_with('"') {
        "\""
    } else {
        return Ok(None);
    };
    // A quote that is written twice ends the string and begins another: the same in the end.
    let inner = text[quote.len()..].find(quote).ok_or(Unclosed)?;
    Ok(Some(inner + 2 * quote.len()))
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    is_line_command: bool,
    /// Upper-cased words so far: the first three, then the last two matter.
    words: Vec<String>,
    parentheses: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, start: usize) -> Self {
        let first = text[start..]
            .split(|each: char| each.is_whitespace() || each == ';')
            .next()
            .unwrap_or("");
        let second = text[start + first.len()..]
            .split_whitespace()
            .next()
            .unwrap_or("");
        let is = |word: &&str| word.eq_ignore_ascii_case(first);
        let serial =
            first.eq_ignore_ascii_case("SERIAL") && second.to_ascii_uppercase().starts_with("CONSISTENCY");
        let is_line_command = LINE_COMMANDS.iter().any(is) || serial;
        Self {
            text,
            at: start,
            is_line_command,
            words: Vec::new(),
            parentheses: 0,
        }
    }

    /// Where the statement ends, and where to look for the next.
    fn find_end(&mut self) -> Option<(usize, usize)> {
        while let Some(next) = self.text[self.at..].chars().next() {
            let rest = &self.text[self.at..];
            if let Some(length) = comment(rest).ok()? {
                self.at += length;
            } else if let Some(length) = quoted(rest).ok()? {
                self.word("'");
                self.at += length;
            } else if self.is_end(next) {
                return Some((self.at, self.at + 1));
            } else if next.is_alphanumeric() || next == '_' {
                let length = rest
                    .find(|each: char| !each.is_alphanumeric() && each != '_')
                    .unwrap_or(rest.len());
                self.word(&rest[..length]);
                self.at += length;
            } else {
                match next {
                    '(' => self.parentheses += 1,
                    ')' => self.parentheses = self.parentheses.saturating_sub(1),
                    _ => {}
                }
                self.at += next.len_utf8();
            }
        }
        // The last line of a text needs no end.
        (self.is_line_command && self.parentheses == 0).then_some((self.at, self.at))
    }

    fn is_end(&self, next: char) -> bool {
        match next {
            ';' => !self.is_inside_batch(),
            '\n' => self.is_line_command && self.parentheses == 0,
            _ => false,
        }
    }

    fn word(&mut self, word: &str) {
        if self.words.len() >= 5 {
            self.words.remove(3);
        }
        self.words.push(word.to_ascii_uppercase());
    }

    /// Whether `BEGIN ... BATCH` has begun and `APPLY BATCH` has not come.
    fn is_inside_batch(&self) -> bool {
        let word = |index: usize| self.words.get(index).map(String::as_str);
        let begins = word(0) == Some("BEGIN")
            && (word(1) == Some("BATCH")
                || matches!(word(1), Some("UNLOGGED" | "LOGGED" | "COUNTER")) && word(2) == Some("BATCH"));
        let last = self.words.len();
        let applied = last >= 4 && word(last - 2) == Some("APPLY") && word(last - 1) == Some("BATCH");
        begins && !applied
    }
}
