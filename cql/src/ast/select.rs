//! SELECT, and the WHERE clause that UPDATE and DELETE share.

use super::{Marker, TableName, Term};
use crate::types::CqlType;

/// SELECT.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// Each partition once.
    pub distinct: bool,
    /// What is returned.
    pub selection: Selection,
    /// From where.
    pub table: TableName,
    /// WHERE, all of which must hold.
    pub relations: Vec<Relation>,
    /// ORDER BY: column and whether it descends.
    pub order_by: Vec<(String, bool)>,
    /// PER PARTITION LIMIT.
    pub per_partition_limit: Option<Term>,
    /// LIMIT.
    pub limit: Option<Term>,
    /// ALLOW FILTERING.
    pub allow_filtering: bool,
}

/// What is returned.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// `*`.
    All,
    /// A list.
    Some(Vec<Selector>),
}

/// One item of a selection.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// What.
    pub selectable: Selectable,
    /// AS.
    pub alias: Option<String>,
}

/// What can be selected.
#[derive(Debug, Clone, PartialEq)]
pub enum Selectable {
    /// A column.
    Column(String),
    /// `COUNT(*)` or `COUNT(1)`.
    CountRows,
    /// `name(a, b)`; also `writetime`, `ttl` and `token`.
    Call {
        /// The function, without its keyspace.
        name: String,
        /// Its arguments.
        arguments: Vec<Selectable>,
    },
    /// `CAST(a AS type)`.
    Cast {
        /// What is converted.
        inner: Box<Selectable>,
        /// To what.
        cql_type: CqlType,
    },
    /// A constant or a marker, as a function's argument.
    Term(Term),
}

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `CONTAINS`
    Contains,
    /// `CONTAINS KEY`
    ContainsKey,
}

impl Operator {
    /// As CQL writes it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Contains => "CONTAINS",
            Self::ContainsKey => "CONTAINS KEY",
        }
    }

    /// Whether it bounds a range.
    pub fn is_slice(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual
        )
    }
}

/// The right side of IN.
#[derive(Debug, Clone, PartialEq)]
pub enum InValues {
    /// `IN (a, b)`.
    List(Vec<Term>),
    /// `IN ?`: one marker for the whole list.
    Marker(Marker),
}

/// One condition of a WHERE clause.
#[derive(Debug, Clone, PartialEq)]
pub enum Relation {
    /// `column operator value`.
    Column {
        /// The column.
        column: String,
        /// How it is compared.
        operator: Operator,
        /// With what.
        value: Term,
    },
    /// `column IN ...`.
    In {
        /// The column.
        column: String,
        /// The values.
        values: InValues,
    },
    /// `(a, b) operator (x, y)`.
    Tuple {
        /// The columns.
        columns: Vec<String>,
        /// How they are compared.
        operator: Operator,
        /// A tuple or a marker for one.
        value: Term,
    },
    /// `(a, b) IN ((x, y), ...)`.
    TupleIn {
        /// The columns.
        columns: Vec<String>,
        /// The tuples.
        values: InValues,
    },
    /// `token(a, b) operator value`.
    Token {
        /// The columns.
        columns: Vec<String>,
        /// How the token is compared.
        operator: Operator,
        /// With what.
        value: Term,
    },
    /// `column[key] = value`.
    Element {
        /// The column, a map.
        column: String,
        /// The key.
        key: Term,
        /// The value.
        value: Term,
    },
}
