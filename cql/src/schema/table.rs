//! Tables.

use serde::{Deserialize, Serialize};
use starling_model::{ColumnId, TableId};

use super::{Column, ColumnKind, DroppedColumn, TableOptions, system};

/// The most columns a table can have, dropped ones included.
pub(super) const MAX_COLUMNS: usize = 4_096;

/// A table.
///
/// Invariants, checked by [`Table::is_sound`]:
/// 1. `columns` are in the order of `SELECT *`: the partition key, the clustering columns, then static
///    and then regular columns by name;
/// 2. names are unique, ids are unique also among dropped columns;
/// 3. there is a partition key, key columns have no non-frozen collection, duration or counter type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Table {
    /// Its keyspace.
    pub keyspace: String,
    /// Its name.
    pub name: String,
    /// Its id; a table that is dropped and created again has another.
    pub id: TableId,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its options.
    pub options: TableOptions,
    /// The columns it had.
    pub dropped: Vec<DroppedColumn>,
}

impl Table {
    /// The partition key's columns, in order.
    pub fn partition_key(&self) -> &[Column] {
        &self.columns[..self.end_of(ColumnKind::PartitionKey)]
    }

    /// The clustering columns, in order.
    pub fn clustering(&self) -> &[Column] {
        &self.columns
            [self.end_of(ColumnKind::PartitionKey)..self.end_of(ColumnKind::Clustering { descending: true })]
    }

    /// The static columns, by name.
    pub fn statics(&self) -> &[Column] {
        &self.columns
            [self.end_of(ColumnKind::Clustering { descending: true })..self.end_of(ColumnKind::Static)]
    }

    /// The regular columns, by name.
    pub fn regulars(&self) -> &[Column] {
        &self.columns[self.end_of(ColumnKind::Static)..]
    }

    fn end_of(&self, kind: ColumnKind) -> usize {
        self.columns
            .partition_point(|column| rank(column.kind) <= rank(kind))
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A column by id; `None` if it was dropped or never was.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// A column's place among the columns of its kind, as `system_schema.columns` has it: -1 for static
    /// and regular ones.
    pub fn position(&self, column: &Column) -> i32 {
        let among = |columns: &[Column]| columns.iter().position(|other| other.id == column.id);
        let position = match column.kind {
            ColumnKind::PartitionKey => among(self.partition_key()),
            ColumnKind::Clustering { .. } => among(self.clustering()),
            ColumnKind::Static | ColumnKind::Regular => None,
        };
        position.map_or(-1, |position| position as i32)
    }

    /// Whether it is built in.
    pub fn is_system(&self) -> bool {
        system::is_system_keyspace(&self.keyspace)
    }

    /// `keyspace.name`, for messages.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.keyspace, self.name)
    }

    /// Puts the columns in order (invariant 1). Key columns keep their order among themselves.
    pub(crate) fn sort_columns(&mut self) {
        self.columns.sort_by(|a, b| {
            rank(a.kind).cmp(&rank(b.kind)).then_with(|| {
                if a.kind.is_key() {
                    std::cmp::Ordering::Equal
                } else {
                    a.name.cmp(&b.name)
                }
            })
        });
    }

    /// Whether the invariants hold. What comes from other nodes is checked with this before it is used.
    pub fn is_sound(&self) -> bool {
        let ordered = self.columns.windows(2).all(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            rank(a.kind) < rank(b.kind)
                || (rank(a.kind) == rank(b.kind) && (a.kind.is_key() || a.name < b.name))
        });
        let mut names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        let dropped = self.dropped.iter().map(|dropped| dropped.column.id);
        let mut ids: Vec<ColumnId> = self
            .columns
            .iter()
            .map(|column| column.id)
            .chain(dropped)
            .collect();
        ids.sort_unstable();
        ordered
            && ids.len() <= MAX_COLUMNS
            && names.windows(2).all(|pair| pair[0] != pair[1])
            && ids.windows(2).all(|pair| pair[0] != pair[1])
            && self
                .columns
                .first()
                .is_some_and(|column| column.kind == ColumnKind::PartitionKey)
            && self
                .columns
                .iter()
                .all(|column| column.cql_type.depth() <= crate::types::MAX_TYPE_DEPTH)
            && self
                .columns
                .iter()
                .filter(|column| column.kind.is_key())
                .all(|column| column.cql_type.can_be_key())
    }
}

fn rank(kind: ColumnKind) -> u8 {
    match kind {
        ColumnKind::PartitionKey => 0,
        ColumnKind::Clustering { .. } => 1,
        ColumnKind::Static => 2,
        ColumnKind::Regular => 3,
    }
}
