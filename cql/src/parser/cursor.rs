//! The parser's place among the tokens, and the small steps of every rule.

use super::{MAX_DEPTH, MAX_TERMS, words};
use crate::{
    ast::{Marker, TableName},
    error::Error,
    lexer::{self, Token, TokenKind},
};

/// The longest identifier, in bytes.
const MAX_NAME_BYTES: usize = 65_535;

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    markers: usize,
    terms: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, Error> {
        let tokens = lexer::tokens(text)?;
        Ok(Self {
            text,
            tokens,
            at: 0,
            markers: 0,
            terms: 0,
            depth: 0,
        })
    }

    pub(super) fn token(&self, ahead: usize) -> Token {
        // The last token is the end, and stays there.
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    pub(super) fn kind(&self) -> TokenKind {
        self.token(0).kind
    }

    pub(super) fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.range()]
    }

    /// The text of the present token.
    pub(super) fn here(&self) -> &'a str {
        self.text_of(self.token(0))
    }

    pub(super) fn advance(&mut self) -> Token {
        let token = self.token(0);
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// A syntax error at the present token.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        lexer::error_at(self.text, self.token(0).range().start, message)
    }

    /// "expected ... but found ..." at the present token.
    pub(super) fn expected(&self, what: &str) -> Error {
        match self.kind() {
            TokenKind::End => self.error(format!("expected {what} but the statement ends here")),
            _ => self.error(format!(
                "expected {what} but found '{}'",
                lexer::excerpt(self.here())
            )),
        }
    }

    pub(super) fn end(&self) -> Result<(), Error> {
        if self.kind() == TokenKind::End {
            return Ok(());
        }
        Err(self.expected("the end of the statement"))
    }

    /// Whether the token `ahead` is this keyword, in any case.
    pub(super) fn is_word(&self, ahead: usize, word: &str) -> bool {
        let token = self.token(ahead);
        token.kind == TokenKind::Word && self.text_of(token).eq_ignore_ascii_case(word)
    }

    /// Moves past a keyword, if it is there.
    pub(super) fn word_if(&mut self, word: &str) -> bool {
        let found = self.is_word(0, word);
        if found {
            self.advance();
        }
        found
    }

    /// Moves past several keywords, if all are there.
    pub(super) fn words_if(&mut self, words: &[&str]) -> bool {
        let found = words
            .iter()
            .enumerate()
            .all(|(ahead, word)| self.is_word(ahead, word));
        if found {
            for _ in words {
                self.advance();
            }
        }
        found
    }

    pub(super) fn word(&mut self, word: &str) -> Result<(), Error> {
        if self.word_if(word) {
            Ok(())
        } else {
            Err(self.expected(word))
        }
    }

    pub(super) fn is_symbol(&self, ahead: usize, symbol: &str) -> bool {
        let token = self.token(ahead);
        token.kind == TokenKind::Symbol && self.text_of(token) == symbol
    }

    pub(super) fn symbol_if(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(0, symbol);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> Result<(), Error> {
        if self.symbol_if(symbol) {
            Ok(())
        } else {
            Err(self.expected(&format!("'{symbol}'")))
        }
    }

    /// An identifier in its final form.
    pub(super) fn name(&mut self, what: &str) -> Result<String, Error> {
        let token = self.token(0);
        let text = self.text_of(token);
        let name = match token.kind {
            TokenKind::Word => {
                let name = text.to_ascii_lowercase();
                if words::is_reserved(&name) {
                    return Err(self.error(format!(
                        "expected {what} but found the reserved word '{text}'; put it in double quotes to use it as a name"
                    )));
                }
                name
            }
            TokenKind::QuotedName => text[1..text.len() - 1].replace("\"\"", "\""),
            _ => return Err(self.expected(what)),
        };
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(self.error(format!("{what} is empty or too long")));
        }
        self.advance();
        Ok(name)
    }

    /// `[keyspace.]table`
    pub(super) fn table_name(&mut self) -> Result<TableName, Error> {
        let first = self.name("a table name")?;
        if self.symbol_if(".") {
            return Ok(TableName {
                keyspace: Some(first),
                name: self.name("a table name")?,
            });
        }
        Ok(TableName {
            keyspace: None,
            name: first,
        })
    }

    /// Items between commas, at least one.
    pub(super) fn comma_separated<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut items = vec![item(self)?];
        while self.symbol_if(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A string without its quotes.
    pub(super) fn string(&mut self, what: &str) -> Result<String, Error> {
        let text = self.here();
        let string = match self.kind() {
            TokenKind::String => text[1..text.len() - 1].replace("''", "'"),
            TokenKind::DollarString => text[2..text.len() - 2].to_owned(),
            _ => return Err(self.expected(what)),
        };
        self.advance();
        Ok(string)
    }

    /// `?` or `:name`, if there is one.
    pub(super) fn marker_if(&mut self) -> Result<Option<Marker>, Error> {
        let name = if self.symbol_if("?") {
            None
        } else if self.is_symbol(0, ":") {
            self.advance();
            // Any word names a marker, reserved or not.
            if self.kind() == TokenKind::Word {
                let token = self.advance();
                Some(self.text_of(token).to_ascii_lowercase())
            } else {
                Some(self.name("the name of a bind marker")?)
            }
        } else {
            return Ok(None);
        };
        let Ok(index) = u16::try_from(self.markers) else {
            return Err(self.error("a statement has at most 65535 bind markers"));
        };
        if self.markers >= usize::from(u16::MAX) {
            return Err(self.error("a statement has at most 65535 bind markers"));
        }
        self.markers += 1;
        Ok(Some(Marker { index, name }))
    }

    /// Counts one more term.
    pub(super) fn count_term(&mut self) -> Result<(), Error> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.error(format!("the statement has more than {MAX_TERMS} terms")));
        }
        Ok(())
    }

    /// Runs a rule one level deeper.
    pub(super) fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(format!("the statement nests more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    pub(super) fn if_not_exists(&mut self) -> Result<bool, Error> {
        if self.word_if("IF") {
            self.word("NOT")?;
            self.word("EXISTS")?;
            return Ok(true);
        }
        Ok(false)
    }

    pub(super) fn if_exists(&mut self) -> Result<bool, Error> {
        if self.word_if("IF") {
            self.word("EXISTS")?;
            return Ok(true);
        }
        Ok(false)
    }
}
