//! The table whose replicas are compared: partitions of some rows.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use starling_cql::{
    BatchEntry, BatchKind, BatchRequest, QueryParameters, Statement, Values,
    protocol::{Request, RequestFrame},
    request::Bound,
};
use starling_model::Consistency;

use crate::{
    connection::{Connection, check},
    error::Error,
    workload::Generator,
};

/// The keyspace; one with the same name is dropped first.
pub(super) const KEYSPACE: &str = "starling_bench";

/// Requests in flight while rows are written.
const IN_FLIGHT: u64 = 64;

/// How a partition's place among the differences is chosen: a prime, so that they spread.
const STRIDE: u64 = 7_919;

/// How many partitions, of how many rows each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) partitions: u64,
    pub(super) rows: u64,
}

/// Writes rows through one connection.
pub(super) struct Writer {
    connection: Connection,
    id: Bytes,
    shape: Shape,
    generator: Generator,
    /// Requests so far.
    sent: u64,
}

impl Writer {
    /// Makes the table.
    pub(super) async fn open(address: SocketAddr, shape: Shape) -> Result<Self, Error> {
        let mut connection = Connection::open(address).await?;
        for statement in [
            format!("DROP KEYSPACE IF EXISTS {KEYSPACE}"),
            format!(
                "CREATE KEYSPACE {KEYSPACE} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}"
            ),
            format!("CREATE TABLE {KEYSPACE}.cells (key blob, row int, value blob, PRIMARY KEY (key, row))"),
        ] {
            connection.run(&statement).await?;
        }
        let insert = format!("INSERT INTO {KEYSPACE}.cells (key, row, value) VALUES (?, ?, ?)");
        Ok(Self {
            id: connection.prepare(&insert).await?,
            connection,
            shape,
            generator: Generator::new(1, shape.partitions),
            sent: 0,
        })
    }

    /// Writes every row once.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        let Shape { partitions, rows } = self.shape;
        self.write((0..partitions).map(|partition| (partition, 0..rows)))
            .await
    }

    /// Writes one row anew in each of `count` partitions. With another `turn` they are others.
    pub(super) async fn change(&mut self, count: u64, turn: u64) -> Result<(), Error> {
        let Shape { partitions, rows } = self.shape;
        let changed = (0..count).map(|n| {
            let row = n % rows;
            ((turn * 104_729 + n * STRIDE) % partitions, row..row + 1)
        });
        self.write(changed).await
    }

    async fn write(&mut self, parts: impl Iterator<Item = (u64, std::ops::Range<u64>)>) -> Result<(), Error> {
        let mut waiting = 0;
        for (partition, rows) in parts {
            if waiting == IN_FLIGHT {
                self.connection.flush().await?;
                check(self.connection.next().await?, false)?;
                waiting -= 1;
            }
            let frame = self.batch(partition, rows);
            // The answers are not told apart: each is an error or none.
            self.connection.queue((self.sent % 16_384) as i16, &frame)?;
            self.sent += 1;
            waiting += 1;
        }
        self.connection.flush().await?;
        for _ in 0..waiting {
            check(self.connection.next().await?, false)?;
        }
        Ok(())
    }

    fn batch(&mut self, partition: u64, rows: std::ops::Range<u64>) -> RequestFrame {
        let key = Generator::key(partition);
        let entries = rows.map(|row| {
            let mut clustering = BytesMut::with_capacity(4);
            clustering.put_i32(row as i32);
            let value = self.generator.value().slice(..16);
            let values = [key.clone(), clustering.freeze(), value];
            BatchEntry {
                statement: Statement::Prepared(self.id.clone()),
                values: Values::Positional(
                    values
                        .into_iter()
                        .map(|value| Bound::Value(Some(value)))
                        .collect(),
                ),
            }
        });
        Request::Batch(BatchRequest {
            kind: BatchKind::Unlogged,
            entries: entries.collect(),
            parameters: QueryParameters::with_consistency(Consistency::Quorum),
        })
        .into()
    }
}
