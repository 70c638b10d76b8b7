//! Terms.

use bytes::Bytes;

use super::cursor::Parser;
use crate::{
    ast::{Literal, Term},
    error::Error,
    lexer::TokenKind,
    value::{self, Duration},
};

impl Parser<'_> {
    /// A constant, a marker, a collection, a tuple, a function call, a cast or a type hint.
    pub(super) fn term(&mut self) -> Result<Term, Error> {
        let term = self.deeper(Self::simple_term)?;
        if ["+", "-", "*", "/", "%"]
            .iter()
            .any(|operator| self.is_symbol(0, operator))
        {
            return Err(Error::unsupported("arithmetic in a term"));
        }
        Ok(term)
    }

    /// A term that no operator follows, or whose operator is the caller's.
    pub(super) fn simple_term(&mut self) -> Result<Term, Error> {
        self.count_term()?;
        if let Some(marker) = self.marker_if()? {
            return Ok(Term::Marker(marker));
        }
        match self.kind() {
            TokenKind::Word => self.word_term(),
            TokenKind::QuotedName => self.call(),
            TokenKind::Symbol => self.symbol_term(),
            TokenKind::End => Err(self.expected("a value")),
            _ => self.literal().map(Term::Literal),
        }
    }

    fn word_term(&mut self) -> Result<Term, Error> {
        let text = self.here();
        let literal = match text.to_ascii_lowercase().as_str() {
            "null" => Literal::Null,
            "true" => Literal::Boolean(true),
            "false" => Literal::Boolean(false),
            "nan" => Literal::Float("NaN".to_owned()),
            "infinity" => Literal::Float("Infinity".to_owned()),
            "cast" if self.is_symbol(1, "(") => return self.cast(),
            _ if self.is_symbol(1, "(") || self.is_symbol(1, ".") => return self.call(),
            _ => return Err(self.expected("a value")),
        };
        self.advance();
        Ok(Term::Literal(literal))
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        let text = self.here();
        let literal = match self.kind() {
            TokenKind::String | TokenKind::DollarString => {
                return Ok(Literal::String(self.string("a string")?));
            }
            TokenKind::Integer => Literal::Integer(text.to_owned()),
            TokenKind::Float => Literal::Float(text.to_owned()),
            TokenKind::Blob => {
                let bytes =
                    value::parse_hex(&text[2..]).ok_or_else(|| self.expected("hexadecimal digits"))?;
                Literal::Blob(Bytes::from(bytes))
            }
            TokenKind::Uuid => Literal::Uuid(value::parse_uuid(text).ok_or_else(|| self.expected("a UUID"))?),
            TokenKind::Duration => {
                Literal::Duration(Duration::parse(text).ok_or_else(|| self.expected("a duration"))?)
            }
            _ => return Err(self.expected("a value")),
        };
        self.advance();
        Ok(literal)
    }

    fn symbol_term(&mut self) -> Result<Term, Error> {
        if self.symbol_if("-") {
            return self.negative();
        }
        if self.symbol_if("[") {
            let items = self.items("]")?;
            return Ok(Term::List(items));
        }
        if self.symbol_if("{") {
            return self.set_or_map();
        }
        if self.symbol_if("(") {
            return self.parenthesis();
        }
        Err(self.expected("a value"))
    }

    fn negative(&mut self) -> Result<Term, Error> {
        let text = self.here();
        let literal = match self.kind() {
            TokenKind::Integer => Literal::Integer(format!("-{text}")),
            TokenKind::Float => Literal::Float(format!("-{text}")),
            TokenKind::Duration => Duration::parse(text)
                .and_then(Duration::negated)
                .map(Literal::Duration)
                .ok_or_else(|| self.expected("a duration"))?,
            TokenKind::Word if text.eq_ignore_ascii_case("nan") => Literal::Float("NaN".to_owned()),
            TokenKind::Word if text.eq_ignore_ascii_case("infinity") => {
                Literal::Float("-Infinity".to_owned())
            }
            _ => return Err(self.expected("a number")),
        };
        self.advance();
        Ok(Term::Literal(literal))
    }

    /// Terms up to a closing symbol, perhaps none.
    fn items(&mut self, close: &str) -> Result<Vec<Term>, Error> {
        if self.symbol_if(close) {
            return Ok(Vec::new());
        }
        let items = self.comma_separated(Self::term)?;
        self.symbol(close)?;
        Ok(items)
    }

    fn set_or_map(&mut self) -> Result<Term, Error> {
        if self.symbol_if("}") {
            return Ok(Term::Set(Vec::new()));
        }
        let first = self.term()?;
        if !self.symbol_if(":") {
            let mut items = vec![first];
            while self.symbol_if(",") {
                items.push(self.term()?);
            }
            self.symbol("}")?;
            return Ok(Term::Set(items));
        }
        let mut pairs = vec![(first, self.term()?)];
        while self.symbol_if(",") {
            let key = self.term()?;
            self.symbol(":")?;
            pairs.push((key, self.term()?));
        }
        self.symbol("}")?;
        Ok(Term::Map(pairs))
    }

    /// After `(`: a type hint, or a tuple.
    fn parenthesis(&mut self) -> Result<Term, Error> {
        let is_name = matches!(self.kind(), TokenKind::Word | TokenKind::QuotedName);
        if is_name && (self.is_symbol(1, ")") || self.is_symbol(1, "<")) && !self.is_constant_word() {
            let cql_type = self.cql_type()?;
            self.symbol(")")?;
            let term = Box::new(self.deeper(Self::simple_term)?);
            return Ok(Term::Hint { cql_type, term });
        }
        let items = self.comma_separated(Self::term)?;
        self.symbol(")")?;
        Ok(Term::Tuple(items))
    }

    fn is_constant_word(&self) -> bool {
        ["null", "true", "false", "nan", "infinity"]
            .iter()
            .any(|word| self.is_word(0, word))
    }

    fn cast(&mut self) -> Result<Term, Error> {
        self.advance();
        self.symbol("(")?;
        let term = Box::new(self.term()?);
        self.word("AS")?;
        let cql_type = self.cql_type()?;
        self.symbol(")")?;
        Ok(Term::Cast { term, cql_type })
    }

    fn call(&mut self) -> Result<Term, Error> {
        let name = self.function_name()?;
        self.symbol("(")?;
        let arguments = self.items(")")?;
        Ok(Term::Call { name, arguments })
    }

    /// A function's name, without `system.` before it. `token` is a reserved word but a function.
    pub(super) fn function_name(&mut self) -> Result<String, Error> {
        if self.word_if("token") {
            return Ok("token".to_owned());
        }
        let first = self.name("the name of a function")?;
        if !self.symbol_if(".") {
            return Ok(first);
        }
        if first != "system" {
            return Err(Error::unsupported("a user-defined function"));
        }
        self.function_name()
    }
}
