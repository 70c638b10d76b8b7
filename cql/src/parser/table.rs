//! CREATE TABLE and ALTER TABLE.

use super::cursor::Parser;
use crate::{
    ast::{AlterTable, ColumnDefinition, CreateTable, TableChange},
    error::Error,
};

impl Parser<'_> {
    pub(super) fn create_table(&mut self) -> Result<CreateTable, Error> {
        let if_not_exists = self.if_not_exists()?;
        let table = self.table_name()?;
        let mut create = CreateTable {
            table,
            if_not_exists,
            columns: Vec::new(),
            partition_key: Vec::new(),
            clustering: Vec::new(),
            clustering_order: Vec::new(),
            options: Vec::new(),
        };
        self.symbol("(")?;
        loop {
            self.table_item(&mut create)?;
            if !self.symbol_if(",") || self.is_symbol(0, ")") {
                break;
            }
        }
        self.symbol(")")?;
        if self.word_if("WITH") {
            self.table_option(&mut create)?;
            while self.word_if("AND") {
                self.table_option(&mut create)?;
            }
        }
        Ok(create)
    }

    /// A column, or PRIMARY KEY (...).
    fn table_item(&mut self, create: &mut CreateTable) -> Result<(), Error> {
        self.count_term()?;
        if self.is_word(0, "PRIMARY") {
            self.only_primary_key(create)?;
            self.advance();
            self.word("KEY")?;
            self.symbol("(")?;
            if self.symbol_if("(") {
                create.partition_key = self.comma_separated(|parser| parser.name("a column"))?;
                self.symbol(")")?;
            } else {
                create.partition_key.push(self.name("a column")?);
            }
            if self.symbol_if(",") {
                create.clustering = self.comma_separated(|parser| parser.name("a column"))?;
            }
            return self.symbol(")");
        }
        let column = self.column_definition()?;
        if self.is_word(0, "PRIMARY") {
            self.only_primary_key(create)?;
            self.advance();
            self.word("KEY")?;
            create.partition_key.push(column.name.clone());
        }
        create.columns.push(column);
        Ok(())
    }

    fn only_primary_key(&self, create: &CreateTable) -> Result<(), Error> {
        if create.partition_key.is_empty() {
            return Ok(());
        }
        Err(self.error("Multiple PRIMARY KEYs specified (exactly one required)"))
    }

    fn column_definition(&mut self) -> Result<ColumnDefinition, Error> {
        let name = self.name("a column")?;
        let cql_type = self.cql_type()?;
        let is_static = self.word_if("STATIC");
        if self.is_word(0, "MASKED") {
            return Err(Error::unsupported("a column mask"));
        }
        Ok(ColumnDefinition {
            name,
            cql_type,
            is_static,
        })
    }

    fn table_option(&mut self, create: &mut CreateTable) -> Result<(), Error> {
        if self.words_if(&["COMPACT", "STORAGE"]) {
            return Err(Error::unsupported("COMPACT STORAGE"));
        }
        if self.words_if(&["CLUSTERING", "ORDER", "BY"]) {
            self.symbol("(")?;
            create.clustering_order.extend(self.comma_separated(Self::order)?);
            return self.symbol(")");
        }
        if self.is_word(0, "ID") && self.is_symbol(1, "=") {
            return Err(Error::unsupported("WITH ID"));
        }
        create.options.push(self.option()?);
        Ok(())
    }

    pub(super) fn alter_table(&mut self) -> Result<AlterTable, Error> {
        let if_exists = self.if_exists()?;
        let table = self.table_name()?;
        let change = if self.word_if("ADD") {
            self.added()?
        } else if self.word_if("DROP") {
            self.dropped()?
        } else if self.word_if("RENAME") {
            self.renamed()?
        } else if self.word_if("WITH") {
            let mut options = vec![self.option()?];
            while self.word_if("AND") {
                options.push(self.option()?);
            }
            TableChange::With(options)
        } else if self.is_word(0, "ALTER") {
            return Err(Error::invalid("Altering column types is no longer supported"));
        } else {
            return Err(self.expected("ADD, DROP, RENAME or WITH"));
        };
        Ok(AlterTable {
            table,
            if_exists,
            change,
        })
    }

    fn added(&mut self) -> Result<TableChange, Error> {
        let if_not_exists = self.if_not_exists()?;
        let columns = if self.symbol_if("(") {
            let columns = self.comma_separated(Self::column_definition)?;
            self.symbol(")")?;
            columns
        } else {
            self.comma_separated(Self::column_definition)?
        };
        Ok(TableChange::Add {
            if_not_exists,
            columns,
        })
    }

    fn dropped(&mut self) -> Result<TableChange, Error> {
        if self.words_if(&["COMPACT", "STORAGE"]) {
            return Err(Error::unsupported("COMPACT STORAGE"));
        }
        let if_exists = self.if_exists()?;
        let columns = if self.symbol_if("(") {
            let columns = self.comma_separated(|parser| parser.name("a column"))?;
            self.symbol(")")?;
            columns
        } else {
            self.comma_separated(|parser| parser.name("a column"))?
        };
        if self.is_word(0, "USING") {
            return Err(Error::unsupported("DROP ... USING TIMESTAMP"));
        }
        Ok(TableChange::Drop { if_exists, columns })
    }

    fn renamed(&mut self) -> Result<TableChange, Error> {
        let if_exists = self.if_exists()?;
        let mut columns = Vec::new();
        loop {
            let from = self.name("a column")?;
            self.word("TO")?;
            columns.push((from, self.name("a column")?));
            if !self.word_if("AND") {
                return Ok(TableChange::Rename { if_exists, columns });
            }
        }
    }
}
