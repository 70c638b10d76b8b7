//! SELECT and WHERE.

use super::cursor::Parser;
use crate::{
    ast::{InValues, Operator, Relation, Select, Selectable, Selection, Selector, Term},
    error::Error,
    lexer::TokenKind,
};

impl Parser<'_> {
    pub(super) fn select(&mut self) -> Result<Select, Error> {
        self.word("SELECT")?;
        if self.is_word(0, "JSON")
            && !self.is_symbol(1, ",")
            && !self.is_word(1, "FROM")
            && !self.is_word(1, "AS")
        {
            return Err(Error::unsupported("SELECT JSON"));
        }
        let distinct = self.is_word(0, "DISTINCT")
            && !self.is_symbol(1, ",")
            && !self.is_word(1, "FROM")
            && !self.is_word(1, "AS")
            && self.word_if("DISTINCT");
        let selection = if self.symbol_if("*") {
            Selection::All
        } else {
            Selection::Some(self.comma_separated(Self::selector)?)
        };
        self.word("FROM")?;
        let table = self.table_name()?;
        let relations = if self.word_if("WHERE") {
            self.relations()?
        } else {
            Vec::new()
        };
        if self.is_word(0, "GROUP") {
            return Err(Error::unsupported("GROUP BY"));
        }
        let mut order_by = Vec::new();
        if self.word_if("ORDER") {
            self.word("BY")?;
            if self.is_word(1, "ANN") {
                return Err(Error::unsupported("ORDER BY ... ANN OF"));
            }
            order_by = self.comma_separated(Self::order)?;
        }
        let mut per_partition_limit = None;
        if self.word_if("PER") {
            self.word("PARTITION")?;
            self.word("LIMIT")?;
            per_partition_limit = Some(self.term()?);
        }
        let limit = if self.word_if("LIMIT") {
            Some(self.term()?)
        } else {
            None
        };
        let allow_filtering = self.word_if("ALLOW");
        if allow_filtering {
            self.word("FILTERING")?;
        }
        Ok(Select {
            distinct,
            selection,
            table,
            relations,
            order_by,
            per_partition_limit,
            limit,
            allow_filtering,
        })
    }

    /// `column [ASC | DESC]`
    pub(super) fn order(&mut self) -> Result<(String, bool), Error> {
        let column = self.name("a column")?;
        let descending = self.word_if("DESC");
        if !descending {
            self.word_if("ASC");
        }
        Ok((column, descending))
    }

    fn selector(&mut self) -> Result<Selector, Error> {
        let selectable = self.deeper(Self::selectable)?;
        let alias = if self.word_if("AS") {
            Some(self.name("an alias")?)
        } else {
            None
        };
        Ok(Selector { selectable, alias })
    }

    fn selectable(&mut self) -> Result<Selectable, Error> {
        self.count_term()?;
        let is_name = matches!(self.kind(), TokenKind::Word | TokenKind::QuotedName);
        let selectable = if is_name && (self.is_symbol(1, "(") || self.is_symbol(1, ".")) {
            self.selected_call()?
        } else if is_name
            && !["null", "true", "false", "nan", "infinity"]
                .iter()
                .any(|word| self.is_word(0, word))
        {
            let column = self.name("a column")?;
            if self.is_symbol(0, "[") {
                return Err(Error::unsupported("selecting an element of a collection"));
            }
            Selectable::Column(column)
        } else {
            Selectable::Term(self.simple_term()?)
        };
        if ["+", "-", "*", "/", "%"]
            .iter()
            .any(|operator| self.is_symbol(0, operator))
        {
            return Err(Error::unsupported("arithmetic in a selection"));
        }
        Ok(selectable)
    }

    fn selected_call(&mut self) -> Result<Selectable, Error> {
        if self.is_word(0, "CAST") {
            self.advance();
            self.symbol("(")?;
            let inner = Box::new(self.deeper(Self::selectable)?);
            self.word("AS")?;
            let cql_type = self.cql_type()?;
            self.symbol(")")?;
            return Ok(Selectable::Cast { inner, cql_type });
        }
        let name = self.function_name()?;
        self.symbol("(")?;
        if name == "count" && (self.is_symbol(0, "*") || (self.here() == "1" && self.is_symbol(1, ")"))) {
            self.advance();
            self.symbol(")")?;
            return Ok(Selectable::CountRows);
        }
        let mut arguments = Vec::new();
        if !self.symbol_if(")") {
            arguments = self.comma_separated(|parser| parser.deeper(Self::selectable))?;
            self.symbol(")")?;
        }
        Ok(Selectable::Call { name, arguments })
    }

    /// Conditions joined by AND.
    pub(super) fn relations(&mut self) -> Result<Vec<Relation>, Error> {
        let mut relations = vec![self.deeper(Self::relation)?];
        while self.word_if("AND") {
            self.count_term()?;
            relations.push(self.deeper(Self::relation)?);
        }
        if self.is_word(0, "OR") {
            return Err(Error::unsupported("OR in a WHERE clause"));
        }
        Ok(relations)
    }

    fn relation(&mut self) -> Result<Relation, Error> {
        if self.is_word(0, "TOKEN") && self.is_symbol(1, "(") {
            self.advance();
            let columns = self.column_list()?;
            let operator = self.comparison()?;
            return Ok(Relation::Token {
                columns,
                operator,
                value: self.term()?,
            });
        }
        if self.is_symbol(0, "(") {
            return self.tuple_relation();
        }
        let column = self.name("a column")?;
        if self.symbol_if("[") {
            let key = self.term()?;
            self.symbol("]")?;
            self.symbol("=")?;
            return Ok(Relation::Element {
                column,
                key,
                value: self.term()?,
            });
        }
        if self.word_if("IN") {
            return Ok(Relation::In {
                column,
                values: self.in_values()?,
            });
        }
        let operator = self.operator()?;
        Ok(Relation::Column {
            column,
            operator,
            value: self.term()?,
        })
    }

    fn tuple_relation(&mut self) -> Result<Relation, Error> {
        if self.is_symbol(1, "(") {
            // Parentheses around a whole condition.
            self.advance();
            let relation = self.deeper(Self::relation)?;
            self.symbol(")")?;
            return Ok(relation);
        }
        let columns = self.column_list()?;
        if self.word_if("IN") {
            return Ok(Relation::TupleIn {
                columns,
                values: self.in_values()?,
            });
        }
        let operator = self.comparison()?;
        Ok(Relation::Tuple {
            columns,
            operator,
            value: self.term()?,
        })
    }

    fn column_list(&mut self) -> Result<Vec<String>, Error> {
        self.symbol("(")?;
        let columns = self.comma_separated(|parser| {
            parser.count_term()?;
            parser.name("a column")
        })?;
        self.symbol(")")?;
        Ok(columns)
    }

    fn in_values(&mut self) -> Result<InValues, Error> {
        if let Some(marker) = self.marker_if()? {
            return Ok(InValues::Marker(marker));
        }
        self.symbol("(")?;
        let mut values: Vec<Term> = Vec::new();
        if !self.symbol_if(")") {
            values = self.comma_separated(Self::term)?;
            self.symbol(")")?;
        }
        Ok(InValues::List(values))
    }

    fn operator(&mut self) -> Result<Operator, Error> {
        if self.word_if("CONTAINS") {
            return Ok(if self.word_if("KEY") {
                Operator::ContainsKey
            } else {
                Operator::Contains
            });
        }
        for (word, what) in [
            ("LIKE", "LIKE"),
            ("IS", "IS NOT NULL"),
            ("NOT", "NOT"),
            ("BETWEEN", "BETWEEN"),
        ] {
            if self.is_word(0, word) {
                return Err(Error::unsupported(format!("{what} in a WHERE clause")));
            }
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Operator, Error> {
        let operator = match self.here() {
            "=" => Operator::Equal,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "!=" => return Err(Error::unsupported("!= in a WHERE clause")),
            _ => return Err(self.expected("a comparison")),
        };
        self.advance();
        Ok(operator)
    }
}
