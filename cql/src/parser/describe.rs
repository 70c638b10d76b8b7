//! DESCRIBE.

use super::cursor::Parser;
use crate::{
    ast::{Describe, TableName},
    error::Error,
    lexer::TokenKind,
};

/// Kinds of objects that there are none of: plural, singular as CQL writes it, singular for messages.
const OTHER_KINDS: [(&str, &str, &str); 4] = [
    ("TYPES", "TYPE", "user defined type"),
    ("FUNCTIONS", "FUNCTION", "user defined function"),
    ("AGGREGATES", "AGGREGATE", "user defined aggregate"),
    ("INDEXES", "INDEX", "index"),
];

impl Parser<'_> {
    pub(super) fn describe(&mut self) -> Result<Describe, Error> {
        self.advance();
        let describe = self.described()?;
        if self.words_if(&["WITH", "INTERNALS"]) {
            return Err(Error::unsupported("DESCRIBE ... WITH INTERNALS"));
        }
        Ok(describe)
    }

    fn described(&mut self) -> Result<Describe, Error> {
        if self.word_if("CLUSTER") {
            return Ok(Describe::Cluster);
        }
        if self.word_if("SCHEMA") {
            return Ok(Describe::Schema { full: false });
        }
        if self.words_if(&["FULL", "SCHEMA"]) {
            return Ok(Describe::Schema { full: true });
        }
        if self.word_if("KEYSPACES") {
            return Ok(Describe::Keyspaces);
        }
        let only = self.words_if(&["ONLY", "KEYSPACE"]);
        if only || self.word_if("KEYSPACE") {
            let has_name =
                matches!(self.kind(), TokenKind::Word | TokenKind::QuotedName) && !self.is_word(0, "WITH");
            let name = if has_name {
                Some(self.name("a keyspace")?)
            } else {
                None
            };
            return Ok(Describe::Keyspace { name, only });
        }
        if self.word_if("TABLES") || self.word_if("COLUMNFAMILIES") {
            return Ok(Describe::Tables);
        }
        if self.word_if("TABLE") || self.word_if("COLUMNFAMILY") {
            return Ok(Describe::Table(self.table_name()?));
        }
        self.other_kind()
    }

    fn other_kind(&mut self) -> Result<Describe, Error> {
        if self.words_if(&["MATERIALIZED", "VIEW"]) {
            return Ok(Describe::Missing {
                kind: "materialized view",
                name: self.table_name()?,
            });
        }
        for (plural, singular, kind) in OTHER_KINDS {
            let names_follow = !matches!(self.token(1).kind, TokenKind::End | TokenKind::Symbol);
            if self.is_word(0, plural) && !names_follow {
                self.advance();
                return Ok(Describe::None);
            }
            if self.is_word(0, singular) && names_follow {
                self.advance();
                return Ok(Describe::Missing {
                    kind,
                    name: self.table_name()?,
                });
            }
        }
        let first: TableName = self.table_name()?;
        Ok(Describe::Any(first))
    }
}
