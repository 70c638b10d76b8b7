//! Terms: what stands where a value is wanted.

use bytes::Bytes;

use crate::{types::CqlType, value::Duration};

/// A bind marker, `?` or `:name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Its position among the statement's markers, from 0.
    pub index: u16,
    /// Its name, if it has one.
    pub name: Option<String>,
}

/// A constant, as written; which types it can stand for is decided where the type is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `NULL`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// Digits, perhaps with a sign.
    Integer(String),
    /// A number with a point or an exponent, `NaN`, `Infinity`, perhaps with a sign.
    Float(String),
    /// A string.
    String(String),
    /// `0x...`.
    Blob(Bytes),
    /// A UUID.
    Uuid(u128),
    /// `1h30m`, `P1DT2H`.
    Duration(Duration),
}

/// What stands where a value is wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// A constant.
    Literal(Literal),
    /// A bind marker.
    Marker(Marker),
    /// `[a, b]`.
    List(Vec<Term>),
    /// `{a, b}`; `{}` is also an empty map.
    Set(Vec<Term>),
    /// `{a: b}`.
    Map(Vec<(Term, Term)>),
    /// `(a, b)`.
    Tuple(Vec<Term>),
    /// `name(a, b)`.
    Call {
        /// The function, without its keyspace.
        name: String,
        /// Its arguments.
        arguments: Vec<Term>,
    },
    /// `CAST(a AS type)`.
    Cast {
        /// What is converted.
        term: Box<Term>,
        /// To what.
        cql_type: CqlType,
    },
    /// `(type) a`: says which type a term has.
    Hint {
        /// The type.
        cql_type: CqlType,
        /// The term.
        term: Box<Term>,
    },
}
