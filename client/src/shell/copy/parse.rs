//! Reads `COPY table [(columns)] TO|FROM place [WITH option = value AND ...]`.

use super::CopyOptions;

/// A COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) struct CopyCommand {
    /// As in CQL.
    pub(in crate::shell) table: String,
    /// As they are called, without quotes; none: those of the header, or all of the table.
    pub(in crate::shell) columns: Vec<String>,
    pub(in crate::shell) direction: Direction,
    pub(in crate::shell) place: Place,
    pub(in crate::shell) options: CopyOptions,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shell) enum Direction {
    To,
    From,
}

/// Where the CSV is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) enum Place {
    File(String),
    /// Standard output or input.
    Standard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word<'a> {
    /// A bare word, number or sign.
    Bare(&'a str),
    /// A name in double quotes, without them.
    Name(String),
    /// A string in single quotes, without them.
    Text(String),
}

const SHAPE: &str = "COPY is written COPY table [(column, ...)] TO|FROM 'file' [WITH option = value AND ...]";

/// Reads the statement, which begins with COPY.
pub(in crate::shell) fn parse(text: &str) -> Result<CopyCommand, String> {
    let words = words(text)?;
    let mut reader = Reader {
        words: &words[..],
        at: 1,
    };
    let table = reader.table()?;
    let columns = if reader.takes("(") {
        reader.columns()?
    } else {
        Vec::new()
    };
    let direction = match reader.next() {
        Some(Word::Bare(word)) if word.eq_ignore_ascii_case("TO") => Direction::To,
        Some(Word::Bare(word)) if word.eq_ignore_ascii_case("FROM") => Direction::From,
        _ => return Err(SHAPE.to_owned()),
    };
    let place = match (reader.next(), direction) {
        (Some(Word::Text(file)), _) => Place::File(file.clone()),
        (Some(Word::Bare(word)), Direction::To) if word.eq_ignore_ascii_case("STDOUT") => Place::Standard,
        (Some(Word::Bare(word)), Direction::From) if word.eq_ignore_ascii_case("STDIN") => Place::Standard,
        _ => return Err(format!("{SHAPE}; the file's name is in single quotes")),
    };
    let mut options = CopyOptions::default();
    if reader.takes("WITH") {
        loop {
            reader.option(&mut options)?;
            if !reader.takes("AND") {
                break;
            }
        }
    }
    if reader.next().is_some() {
        return Err(SHAPE.to_owned());
    }
    Ok(CopyCommand {
        table,
        columns,
        direction,
        place,
        options,
    })
}

struct Reader<'a> {
    words: &'a [Word<'a>],
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Word<'a>> {
        let word = self.words.get(self.at);
        self.at += 1;
        word
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let found =
            matches!(self.words.get(self.at), Some(Word::Bare(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    /// A name, folded to lower case unless it is quoted.
    fn name(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Word::Bare(word)) if word.starts_with(char::is_alphabetic) => Ok(word.to_ascii_lowercase()),
            Some(Word::Name(name)) => Ok(name.clone()),
            _ => Err(SHAPE.to_owned()),
        }
    }

    fn table(&mut self) -> Result<String, String> {
        let first = starling_cql::parser::quoted(&self.name()?);
        if !self.takes(".") {
            return Ok(first);
        }
        Ok(format!("{first}.{}", starling_cql::parser::quoted(&self.name()?)))
    }

    fn columns(&mut self) -> Result<Vec<String>, String> {
        let mut columns = vec![self.name()?];
        while self.takes(",") {
            columns.push(self.name()?);
        }
        if self.takes(")") {
            Ok(columns)
        } else {
            Err(SHAPE.to_owned())
        }
    }

    fn option(&mut self, options: &mut CopyOptions) -> Result<(), String> {
        let Some(Word::Bare(name)) = self.next() else {
            return Err(SHAPE.to_owned());
        };
        if !self.takes("=") {
            return Err(format!("the option {name} needs a value: {name} = ..."));
        }
        match self.next() {
            Some(Word::Bare("-")) => match self.next() {
                Some(Word::Bare(number)) => options.set(name, &format!("-{number}")),
                _ => Err(SHAPE.to_owned()),
            },
            Some(Word::Bare(value)) => options.set(name, value),
            Some(Word::Text(value) | Word::Name(value)) => options.set(name, value),
            None => Err(format!("the option {name} needs a value: {name} = ...")),
        }
    }
}

/// Splits into words. Signs are words of one character.
fn words(text: &str) -> Result<Vec<Word<'_>>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let (inner, length) = quoted(rest, first)?;
                words.push(if first == '"' {
                    Word::Name(inner)
                } else {
                    Word::Text(inner)
                });
                length
            }
            _ => {
                let is_word = |each: char| each.is_alphanumeric() || each == '_';
                let length = rest
                    .find(|each| !is_word(each))
                    .unwrap_or(rest.len())
                    .max(first.len_utf8());
                words.push(Word::Bare(&rest[..length]));
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// The content of the quotes that `text` begins with, and its length with them. Quotes within are doubled.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut inner = String::new();
    let mut at = 1;
    while let Some(end) = text[at..].find(quote) {
        inner.push_str(&text[at..at + end]);
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return Ok((inner, at));
        }
        inner.push(quote);
        at += 1;
    }
    Err("a quote is never closed".to_owned())
}
