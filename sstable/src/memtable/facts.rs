//! What is known of a memtable's content without reading it.

use starling_model::{DecodeError, Partition, Row, Timestamp, encoding::RowView};

/// A summary, by which readers skip a source and compactions know what is older elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The oldest and the newest timestamp; `None`: there is nothing.
    pub timestamps: Option<(Timestamp, Timestamp)>,
    /// A partition, a range or a row was deleted. Deleted cells don't count.
    pub deletions: bool,
}

impl Facts {
    /// The summary of a partition's content.
    pub fn of(partition: &Partition) -> Self {
        let mut facts = Self::default();
        let ranges = partition.ranges.iter().map(|tombstone| tombstone.deletion);
        for deletion in ranges.chain(partition.deletion) {
            facts.deletions = true;
            facts.timestamp(deletion.timestamp);
        }
        for row in std::iter::once(&partition.static_row).chain(partition.rows.values()) {
            facts.deletions |= row.deletion.is_some();
            timestamps(row).for_each(|timestamp| facts.timestamp(timestamp));
        }
        facts
    }

    /// Adds a row.
    pub fn row(&mut self, row: &RowView<'_>) -> Result<(), DecodeError> {
        self.deletions |= row.deletion.is_some();
        if let Some((oldest, newest)) = row.timestamps()? {
            self.timestamp(oldest);
            self.timestamp(newest);
        }
        Ok(())
    }

    /// Adds another summary.
    pub fn add(&mut self, other: Self) {
        self.deletions |= other.deletions;
        if let Some((oldest, newest)) = other.timestamps {
            self.timestamp(oldest);
            self.timestamp(newest);
        }
    }

    fn timestamp(&mut self, timestamp: Timestamp) {
        let (oldest, newest) = self.timestamps.unwrap_or((timestamp, timestamp));
        self.timestamps = Some((oldest.min(timestamp), newest.max(timestamp)));
    }
}

/// All timestamps in a row.
fn timestamps(row: &Row) -> impl Iterator<Item = Timestamp> {
    row.marker
        .iter()
        .map(|marker| marker.timestamp)
        .chain(row.deletion.iter().map(|deletion| deletion.timestamp))
        .chain(row.cells.iter().map(|cell| cell.timestamp))
}
