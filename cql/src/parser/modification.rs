//! INSERT, UPDATE, DELETE, BATCH, TRUNCATE.

use super::{MAX_BATCH_STATEMENTS, cursor::Parser};
use crate::{
    ast::{
        Assignment, Batch, Change, Delete, DeleteTarget, Insert, Statement, TableName, Term, Update, Using,
    },
    error::Error,
    request::BatchKind,
};

const CONDITIONAL: &str = "a conditional write (IF)";

impl Parser<'_> {
    pub(super) fn insert(&mut self) -> Result<Insert, Error> {
        self.word("INSERT")?;
        self.word("INTO")?;
        let table = self.table_name()?;
        if self.is_word(0, "JSON") {
            return Err(Error::unsupported("INSERT JSON"));
        }
        self.symbol("(")?;
        let columns = self.comma_separated(|parser| {
            parser.count_term()?;
            parser.name("a column")
        })?;
        self.symbol(")")?;
        self.word("VALUES")?;
        self.symbol("(")?;
        let values = self.comma_separated(Self::term)?;
        self.symbol(")")?;
        if self.is_word(0, "IF") {
            return Err(Error::unsupported(CONDITIONAL));
        }
        let using = self.using()?;
        if columns.len() != values.len() {
            return Err(Error::invalid(format!(
                "Unmatched column names/values: {} columns and {} values",
                columns.len(),
                values.len()
            )));
        }
        Ok(Insert {
            table,
            columns,
            values,
            using,
        })
    }

    /// `[USING option [AND option]]`
    fn using(&mut self) -> Result<Using, Error> {
        let mut using = Using::default();
        if !self.word_if("USING") {
            return Ok(using);
        }
        loop {
            let slot = if self.word_if("TIMESTAMP") {
                &mut using.timestamp
            } else if self.word_if("TTL") {
                &mut using.ttl
            } else {
                return Err(self.expected("TIMESTAMP or TTL"));
            };
            if slot.is_some() {
                return Err(self.error("the option is given twice"));
            }
            *slot = Some(self.term()?);
            if !self.word_if("AND") {
                return Ok(using);
            }
        }
    }

    pub(super) fn update(&mut self) -> Result<Update, Error> {
        self.word("UPDATE")?;
        let table = self.table_name()?;
        let using = self.using()?;
        self.word("SET")?;
        let assignments = self.comma_separated(Self::assignment)?;
        self.word("WHERE")?;
        let relations = self.relations()?;
        if self.is_word(0, "IF") {
            return Err(Error::unsupported(CONDITIONAL));
        }
        Ok(Update {
            table,
            using,
            assignments,
            relations,
        })
    }

    fn assignment(&mut self) -> Result<Assignment, Error> {
        self.count_term()?;
        let column = self.name("a column")?;
        let change = if self.symbol_if("[") {
            let key = self.term()?;
            self.symbol("]")?;
            self.symbol("=")?;
            Change::Element {
                key,
                value: self.term()?,
            }
        } else if self.is_symbol(0, ".") {
            return Err(Error::unsupported("a field of a user-defined type"));
        } else if self.symbol_if("+=") {
            Change::Add(self.term()?)
        } else if self.symbol_if("-=") {
            Change::Subtract(self.term()?)
        } else {
            self.symbol("=")?;
            self.assigned(&column)?
        };
        Ok(Assignment { column, change })
    }

    /// After `column =`: a term, `column + term`, `column - term`, or `term + column`.
    fn assigned(&mut self, column: &str) -> Result<Change, Error> {
        let is_operation = self.is_symbol(1, "+") || self.is_symbol(1, "-");
        if is_operation && self.is_name_of(column) {
            self.advance();
            let plus = self.is_symbol(0, "+");
            self.advance();
            let term = self.term()?;
            return Ok(if plus {
                Change::Add(term)
            } else {
                Change::Subtract(term)
            });
        }
        let term: Term = self.deeper(Self::simple_term)?;
        if !self.symbol_if("+") {
            return Ok(Change::Set(term));
        }
        if !self.is_name_of(column) {
            return Err(self.expected(&format!("the column {column} itself")));
        }
        self.advance();
        Ok(Change::Prepend(term))
    }

    /// Whether the present token is this column's name.
    fn is_name_of(&self, column: &str) -> bool {
        let text = self.here();
        match text.strip_prefix('"') {
            Some(quoted) => quoted
                .strip_suffix('"')
                .is_some_and(|name| name.replace("\"\"", "\"") == column),
            None => text.eq_ignore_ascii_case(column) && column == column.to_ascii_lowercase(),
        }
    }

    pub(super) fn delete(&mut self) -> Result<Delete, Error> {
        self.word("DELETE")?;
        let targets = if self.is_word(0, "FROM") {
            Vec::new()
        } else {
            self.comma_separated(Self::delete_target)?
        };
        self.word("FROM")?;
        let table = self.table_name()?;
        let using = self.using()?;
        if using.ttl.is_some() {
            return Err(self.error("a DELETE has no TTL"));
        }
        self.word("WHERE")?;
        let relations = self.relations()?;
        if self.is_word(0, "IF") {
            return Err(Error::unsupported(CONDITIONAL));
        }
        Ok(Delete {
            targets,
            table,
            using,
            relations,
        })
    }

    fn delete_target(&mut self) -> Result<DeleteTarget, Error> {
        self.count_term()?;
        let column = self.name("a column")?;
        if self.is_symbol(0, ".") {
            return Err(Error::unsupported("a field of a user-defined type"));
        }
        let mut element = None;
        if self.symbol_if("[") {
            element = Some(self.term()?);
            self.symbol("]")?;
        }
        Ok(DeleteTarget { column, element })
    }

    pub(super) fn batch(&mut self) -> Result<Batch, Error> {
        self.word("BEGIN")?;
        let kind = if self.word_if("UNLOGGED") {
            BatchKind::Unlogged
        } else if self.word_if("COUNTER") {
            BatchKind::Counter
        } else {
            self.word_if("LOGGED");
            BatchKind::Logged
        };
        self.word("BATCH")?;
        let using = self.using()?;
        if using.ttl.is_some() {
            return Err(self.error("a BATCH has no TTL; give it to its statements"));
        }
        let mut statements = Vec::new();
        while !self.is_word(0, "APPLY") {
            if statements.len() >= MAX_BATCH_STATEMENTS {
                return Err(self.error(format!("a batch has at most {MAX_BATCH_STATEMENTS} statements")));
            }
            statements.push(self.batched()?);
            self.symbol_if(";");
        }
        self.word("APPLY")?;
        self.word("BATCH")?;
        Ok(Batch {
            kind,
            using,
            statements,
        })
    }

    fn batched(&mut self) -> Result<Statement, Error> {
        if self.is_word(0, "INSERT") {
            self.insert().map(Statement::Insert)
        } else if self.is_word(0, "UPDATE") {
            self.update().map(Statement::Update)
        } else if self.is_word(0, "DELETE") {
            self.delete().map(Statement::Delete)
        } else {
            Err(self.expected("INSERT, UPDATE, DELETE or APPLY BATCH"))
        }
    }

    pub(super) fn truncate(&mut self) -> Result<TableName, Error> {
        self.word("TRUNCATE")?;
        if (self.is_word(0, "TABLE") || self.is_word(0, "COLUMNFAMILY")) && !self.is_symbol(1, ".") {
            self.advance();
        }
        self.table_name()
    }
}
