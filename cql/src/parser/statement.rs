//! Which statement it is.

use super::cursor::Parser;
use crate::{ast::Statement, error::Error};

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement, Error> {
        let word = self.here().to_ascii_uppercase();
        match word.as_str() {
            "SELECT" => self.select().map(Statement::Select),
            "INSERT" => self.insert().map(Statement::Insert),
            "UPDATE" => self.update().map(Statement::Update),
            "DELETE" => self.delete().map(Statement::Delete),
            "BEGIN" => self.batch().map(Statement::Batch),
            "TRUNCATE" => self.truncate().map(Statement::Truncate),
            "USE" => {
                self.advance();
                self.name("a keyspace").map(Statement::Use)
            }
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop(),
            "DESCRIBE" | "DESC" => self.describe().map(Statement::Describe),
            "GRANT" | "REVOKE" | "LIST" | "COMMENT" | "ADD" => Err(Error::unsupported(word)),
            _ => Err(self.expected(
                "a statement (SELECT, INSERT, UPDATE, DELETE, BEGIN BATCH, CREATE, ALTER, DROP, ...)",
            )),
        }
    }

    fn create(&mut self) -> Result<Statement, Error> {
        self.word("CREATE")?;
        if self.word_if("KEYSPACE") || self.word_if("SCHEMA") {
            return self.create_keyspace().map(Statement::CreateKeyspace);
        }
        if self.word_if("TABLE") || self.word_if("COLUMNFAMILY") {
            return self.create_table().map(Statement::CreateTable);
        }
        Err(self.other_object("CREATE"))
    }

    fn alter(&mut self) -> Result<Statement, Error> {
        self.word("ALTER")?;
        if self.word_if("KEYSPACE") || self.word_if("SCHEMA") {
            return self.alter_keyspace().map(Statement::AlterKeyspace);
        }
        if self.word_if("TABLE") || self.word_if("COLUMNFAMILY") {
            return self.alter_table().map(Statement::AlterTable);
        }
        Err(self.other_object("ALTER"))
    }

    fn drop(&mut self) -> Result<Statement, Error> {
        self.word("DROP")?;
        if self.word_if("KEYSPACE") || self.word_if("SCHEMA") {
            return self.drop_keyspace().map(Statement::DropKeyspace);
        }
        if self.word_if("TABLE") || self.word_if("COLUMNFAMILY") {
            return self.drop_table().map(Statement::DropTable);
        }
        Err(self.other_object("DROP"))
    }

    /// The error for an object that other servers know.
    fn other_object(&self, verb: &str) -> Error {
        if self.is_word(0, "OR") && self.is_word(1, "REPLACE") {
            return Error::unsupported(format!("{verb} OR REPLACE"));
        }
        let known = [
            "INDEX",
            "CUSTOM",
            "TYPE",
            "FUNCTION",
            "AGGREGATE",
            "MATERIALIZED",
            "TRIGGER",
            "ROLE",
            "USER",
            "IDENTITY",
        ];
        match known.iter().find(|word| self.is_word(0, word)) {
            Some(&"MATERIALIZED") => Error::unsupported(format!("{verb} MATERIALIZED VIEW")),
            Some(&"CUSTOM") => Error::unsupported(format!("{verb} CUSTOM INDEX")),
            Some(word) => Error::unsupported(format!("{verb} {word}")),
            None => self.expected("KEYSPACE or TABLE"),
        }
    }
}
