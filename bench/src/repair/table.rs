//! The table whose replicas are compared: partitions of some rows.

use std::{collections::BTreeMap, net::SocketAddr, ops::Range};

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
pub(crate) const KEYSPACE: &str = "starling_bench";

/// Requests in flight while rows are written.
const IN_FLIGHT: usize = 64;

/// Failures of a run of writes that are forgiven.
const FORGIVEN: u32 = 10_000;

/// What was sent and is not answered yet, by stream.
type Waiting = BTreeMap<i16, (u64, Range<u64>)>;

/// How a partition's place among the differences is chosen: a prime, so that they spread.
const STRIDE: u64 = 7_919;

/// How many partitions, of how many rows each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) partitions: u64,
    pub(crate) rows: u64,
}

/// Writes rows through one connection.
pub(crate) struct Writer {
    connection: Connection,
    id: Bytes,
    shape: Shape,
    generator: Generator,
    /// Requests so far, about.
    sent: u64,
}

impl Writer {
    /// Makes the table.
    pub(crate) async fn open(address: SocketAddr, shape: Shape) -> Result<Self, Error> {
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
    pub(crate) async fn fill(&mut self) -> Result<(), Error> {
        let Shape { partitions, rows } = self.shape;
        self.write((0..partitions).map(|partition| (partition, 0..rows)))
            .await
    }

    /// Writes one row anew in each of `count` partitions. With another `turn` they are others.
    pub(crate) async fn change(&mut self, count: u64, turn: u64) -> Result<(), Error> {
        let Shape { partitions, rows } = self.shape;
        let changed = (0..count).map(|n| {
            let row = n % rows;
            ((turn * 104_729 + n * STRIDE) % partitions, row..row + 1)
        });
        self.write(changed).await
    }

    /// Writes rows of partitions. A write that fails, for the disk of a busy machine stalls, is sent again a few times.
    async fn write(&mut self, parts: impl Iterator<Item = (u64, Range<u64>)>) -> Result<(), Error> {
        let mut waiting = BTreeMap::new();
        let mut failures = 0;
        for (partition, rows) in parts {
            while waiting.len() >= IN_FLIGHT {
                self.connection.flush().await?;
                self.take(&mut waiting, &mut failures).await?;
            }
            self.send(&mut waiting, partition, rows)?;
        }
        while !waiting.is_empty() {
            self.connection.flush().await?;
            self.take(&mut waiting, &mut failures).await?;
        }
        Ok(())
    }

    fn send(&mut self, waiting: &mut Waiting, partition: u64, rows: Range<u64>) -> Result<(), Error> {
        let frame = self.batch(partition, rows.clone());
        let next = |sent: &mut u64| {
            *sent += 1;
            (*sent % 16_384) as i16
        };
        let mut stream = next(&mut self.sent);
        while waiting.contains_key(&stream) {
            stream = next(&mut self.sent);
        }
        self.connection.queue(stream, &frame)?;
        waiting.insert(stream, (partition, rows));
        Ok(())
    }

    /// Takes one answer.
    async fn take(&mut self, waiting: &mut Waiting, failures: &mut u32) -> Result<(), Error> {
        let answer = self.connection.next().await?;
        let Some((partition, rows)) = waiting.remove(&answer.stream) else {
            return Err(Error::Protocol("an answer that nobody asked for".into()));
        };
        match check(answer, false) {
            Err(_) if *failures < FORGIVEN => {
                *failures += 1;
                self.send(waiting, partition, rows)
            }
            outcome => outcome,
        }
    }

    fn batch(&mut self, partition: u64, rows: Range<u64>) -> RequestFrame {
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
