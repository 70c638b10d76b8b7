//! The table, the statements and the keys.

use bytes::{BufMut, Bytes, BytesMut};

/// The keyspace that the harness makes; one with the same name is dropped first.
pub const KEYSPACE: &str = "starling_bench";

/// Bytes of a row's value.
pub const VALUE_BYTES: usize = 100;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// INSERT of one row; keys come in random order, each about once.
    Write,
    /// SELECT of one row by its key, uniformly among those that were loaded.
    Read,
}

impl Operation {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }

    /// The statement that is prepared.
    pub fn statement(self) -> String {
        match self {
            Self::Write => format!("INSERT INTO {KEYSPACE}.rows (key, value) VALUES (?, ?)"),
            Self::Read => format!("SELECT value FROM {KEYSPACE}.rows WHERE key = ?"),
        }
    }
}

/// The statements that make the table.
pub fn schema(replication_factor: u32) -> [String; 3] {
    [
        format!("DROP KEYSPACE IF EXISTS {KEYSPACE}"),
        format!(
            "CREATE KEYSPACE {KEYSPACE} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication_factor}}}"
        ),
        format!("CREATE TABLE {KEYSPACE}.rows (key blob PRIMARY KEY, value blob)"),
    ]
}

/// Makes keys and values, the same ones for the same seed.
#[derive(Debug, Clone)]
pub struct Generator {
    state: u64,
    rows: u64,
}

impl Generator {
    /// Keys of `rows` rows, in an order that `seed` determines.
    pub fn new(seed: u64, rows: u64) -> Self {
        Self {
            state: seed,
            rows: rows.max(1),
        }
    }

    /// The 16-byte key of a row.
    pub fn key(row: u64) -> Bytes {
        let mut key = BytesMut::with_capacity(16);
        key.put_u64(scramble(row));
        key.put_u64(row);
        key.freeze()
    }

    /// Some row's key.
    pub fn random_key(&mut self) -> Bytes {
        let row = self.next() % self.rows;
        Self::key(row)
    }

    /// A value of [`VALUE_BYTES`] that does not compress to nothing.
    pub fn value(&mut self) -> Bytes {
        let mut value = BytesMut::with_capacity(VALUE_BYTES + 8);
        while value.len() < VALUE_BYTES {
            value.put_u64(self.next());
        }
        value.truncate(VALUE_BYTES);
        value.freeze()
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.state)
    }
}

/// The finalizer of `splitmix64` (Steele, Lea and Flood, 2014): a bijection that looks random.
fn scramble(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
