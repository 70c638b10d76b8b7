//! CREATE, ALTER and DROP KEYSPACE, and options.

use super::cursor::Parser;
use crate::{
    ast::{AlterKeyspace, CreateKeyspace, DropKeyspace, DropTable, OptionValue},
    error::Error,
    lexer::TokenKind,
};

impl Parser<'_> {
    pub(super) fn create_keyspace(&mut self) -> Result<CreateKeyspace, Error> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.name("a keyspace")?;
        self.word("WITH")?;
        Ok(CreateKeyspace {
            name,
            if_not_exists,
            options: self.options()?,
        })
    }

    pub(super) fn alter_keyspace(&mut self) -> Result<AlterKeyspace, Error> {
        let if_exists = self.if_exists()?;
        let name = self.name("a keyspace")?;
        self.word("WITH")?;
        Ok(AlterKeyspace {
            name,
            if_exists,
            options: self.options()?,
        })
    }

    pub(super) fn drop_keyspace(&mut self) -> Result<DropKeyspace, Error> {
        let if_exists = self.if_exists()?;
        Ok(DropKeyspace {
            if_exists,
            name: self.name("a keyspace")?,
        })
    }

    pub(super) fn drop_table(&mut self) -> Result<DropTable, Error> {
        let if_exists = self.if_exists()?;
        Ok(DropTable {
            if_exists,
            table: self.table_name()?,
        })
    }

    /// `name = value [AND ...]`
    fn options(&mut self) -> Result<Vec<(String, OptionValue)>, Error> {
        let mut options = vec![self.option()?];
        while self.word_if("AND") {
            options.push(self.option()?);
        }
        Ok(options)
    }

    pub(super) fn option(&mut self) -> Result<(String, OptionValue), Error> {
        self.count_term()?;
        let name = self.name("an option")?;
        self.symbol("=")?;
        if self.symbol_if("{") {
            let mut pairs = Vec::new();
            if !self.symbol_if("}") {
                pairs = self.comma_separated(Self::option_pair)?;
                self.symbol("}")?;
            }
            return Ok((name, OptionValue::Map(pairs)));
        }
        Ok((name, OptionValue::Literal(self.option_text()?)))
    }

    fn option_pair(&mut self) -> Result<(String, String), Error> {
        self.count_term()?;
        let key = self.option_text()?;
        self.symbol(":")?;
        Ok((key, self.option_text()?))
    }

    /// A constant's text, without quotes.
    fn option_text(&mut self) -> Result<String, Error> {
        let negative = self.symbol_if("-");
        let text = match self.kind() {
            TokenKind::String | TokenKind::DollarString if !negative => return self.string("a string"),
            TokenKind::Integer | TokenKind::Float => self.here().to_owned(),
            TokenKind::Blob | TokenKind::Uuid | TokenKind::Word if !negative => self.here().to_owned(),
            _ => return Err(self.expected("a constant")),
        };
        self.advance();
        Ok(if negative { format!("-{text}") } else { text })
    }
}
