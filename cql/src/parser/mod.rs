//! Reads CQL text (CQL 3.4) into [`ast`](crate::ast): recursive descent, one function for each rule.
//!
//! Bounds: a statement has at most [`MAX_STATEMENT_BYTES`] bytes, [`MAX_TERMS`] terms and 65,535 bind
//! markers; terms, functions and types nest at most [`MAX_DEPTH`] deep; a batch has at most
//! [`MAX_BATCH_STATEMENTS`] parts. Syntax errors begin with `line L:C`, lines from 1, columns from 0.
//! Grammar that Starling has no use for yet answers with "... is not supported yet".

mod cursor;
mod definition;
mod describe;
mod modification;
mod select;
mod statement;
mod table;
mod term;
mod types;
mod words;

use crate::{ast::Statement, error::Error};
use cursor::Parser;

pub use crate::lexer::MAX_STATEMENT_BYTES;
pub use words::{is_reserved, quoted};

/// How deep terms, functions and types can nest.
pub const MAX_DEPTH: usize = 32;

/// The most terms in a statement: constants, markers, and what is made of them.
pub const MAX_TERMS: usize = 100_000;

/// The most statements in a batch (also the protocol's bound).
pub const MAX_BATCH_STATEMENTS: usize = 65_535;

/// Reads one statement; a semicolon at its end is optional.
///
/// Fails with a syntax error, or with "not supported yet" for what other servers of CQL know.
pub fn parse(text: &str) -> Result<Statement, Error> {
    let mut parser = Parser::new(text)?;
    let statement = parser.statement()?;
    parser.symbol_if(";");
    parser.end()?;
    Ok(statement)
}

/// Reads a type, as `system_schema.columns` has it: `frozen<map<text, int>>`.
pub fn parse_type(text: &str) -> Result<crate::types::CqlType, Error> {
    let mut parser = Parser::new(text)?;
    let cql_type = parser.cql_type()?;
    parser.end()?;
    Ok(cql_type)
}

/// Reads a term: a literal, a function call, a collection.
pub fn parse_term(text: &str) -> Result<crate::ast::Term, Error> {
    let mut parser = Parser::new(text)?;
    let term = parser.term()?;
    parser.end()?;
    Ok(term)
}
