//! The WHERE clause: what it says of the partition key, of the clustering columns, and what is left to be
//! filtered row by row.

mod analysis;
mod clustering;
mod filter;
mod keys;
mod product;
mod relation;

use starling_model::{DecoratedKey, TokenRange};

use super::expression::Expression;
use crate::{ast::Operator, schema::Column, types::CqlType};

pub(super) use filter::ReadyFilter;

/// The values that a column may have.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    /// `= value`, or each of `IN (...)`.
    These(Vec<Expression>),
    /// `IN ?`: a marker for a list of this element type.
    ListMarker(Expression, CqlType),
}

/// What is said of the partition key.
#[derive(Debug, Clone)]
pub(super) enum PartitionPart {
    /// Nothing that selects partitions.
    All,
    /// The values of each component.
    Keys(Vec<(Column, Choice)>),
    /// Bounds of the token.
    Tokens(Vec<(Operator, Expression)>),
}

/// Leading clustering columns with given values: one column, or several together.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Which columns.
    pub(super) columns: Vec<Column>,
    /// The values: of several columns, each choice is a tuple.
    pub(super) values: SegmentValues,
}

#[derive(Debug, Clone)]
pub(super) enum SegmentValues {
    /// One column's.
    Single(Choice),
    /// Tuples for several columns.
    Tuples(Vec<Vec<Expression>>),
}

/// One end of a slice: values for its first columns, and whether rows with them belong to it.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) columns: Vec<Column>,
    pub(super) values: Vec<Expression>,
    pub(super) inclusive: bool,
}

/// What is said of the clustering columns.
#[derive(Debug, Clone, Default)]
pub(super) struct ClusteringPart {
    pub(super) segments: Vec<Segment>,
    /// The least of the next columns.
    pub(super) lower: Option<Bound>,
    /// The greatest of the next columns.
    pub(super) upper: Option<Bound>,
}

impl ClusteringPart {
    /// How many columns have given values.
    pub(super) fn fixed(&self) -> usize {
        self.segments.iter().map(|segment| segment.columns.len()).sum()
    }

    pub(super) fn is_slice(&self) -> bool {
        self.lower.is_some() || self.upper.is_some()
    }

    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty() && !self.is_slice()
    }
}

/// A condition that each row is checked against.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) column: Column,
    pub(super) test: Test,
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Compare(Operator, Expression),
    In(Choice),
    Element(Expression, Expression),
}

/// A WHERE clause, sorted out.
#[derive(Debug, Clone)]
pub(super) struct Restrictions {
    pub(super) partition: PartitionPart,
    pub(super) clustering: ClusteringPart,
    pub(super) filters: Vec<Filter>,
    /// Whether rows have to be read that are not returned.
    pub(super) needs_filtering: bool,
}

/// The partitions to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Partitions {
    Keys(Vec<DecoratedKey>),
    /// An arc that does not wrap; `None`: nothing.
    Tokens(Option<TokenRange>),
}
