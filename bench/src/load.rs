//! A closed loop: so many requests are in flight, and each answer lets the next request go.
//!
//! A closed loop measures what the server can do when its clients wait; it says nothing of the delay
//! that clients see who don't wait (coordinated omission).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use starling_cql::{
    QueryParameters, Values,
    protocol::{Request, RequestFrame},
    request::Bound,
};
use starling_model::Consistency;

use crate::{
    connection::{Connection, check},
    error::Error,
    workload::{Generator, Operation},
};

/// What is driven, and how hard.
#[derive(Debug, Clone)]
pub struct Load {
    /// The nodes; connections go to them in turn.
    pub addresses: Vec<SocketAddr>,
    /// What is done.
    pub operation: Operation,
    /// At which level.
    pub consistency: Consistency,
    /// Requests in flight, over all connections.
    pub in_flight: u32,
    /// Connections; at most as many as requests in flight.
    pub connections: u32,
    /// Rows in the table: reads choose among them, writes write them.
    pub rows: u64,
    /// How many operations are done before the measurement begins.
    pub warm_up: Duration,
    /// How long is measured.
    pub duration: Duration,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// Latencies in microseconds, of all requests that were answered in the measured time.
    pub latencies: Histogram<u64>,
    /// The measured time.
    pub elapsed: Duration,
}

/// Latencies up to a minute, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are constants that the crate accepts")
}

impl Load {
    /// Drives the servers. `on_start` is called when the warm-up is over.
    ///
    /// A single failed statement ends the measurement: the table says what the servers do, not what
    /// they refuse.
    pub async fn run(&self, on_start: impl FnOnce()) -> Result<Measured, Error> {
        let connections = self.connections.clamp(1, self.in_flight);
        let begin = Instant::now() + self.warm_up;
        let end = begin + self.duration;
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..connections {
            let window = self.in_flight / connections + u32::from(lane < self.in_flight % connections);
            let lane = Lane {
                connection: Connection::open(self.addresses[lane as usize % self.addresses.len()]).await?,
                id: Bytes::new(),
                operation: self.operation,
                consistency: self.consistency,
                generator: Generator::new(u64::from(lane) + 1, self.rows),
                begin,
                end,
                latencies: histogram(),
            };
            lanes.spawn(lane.run(window));
        }
        tokio::time::sleep_until(begin.into()).await;
        on_start();
        let mut latencies = histogram();
        while let Some(lane) = lanes.join_next().await {
            let lane = lane.map_err(|error| Error::Protocol(error.to_string()))??;
            latencies
                .add(lane)
                .map_err(|error| Error::Protocol(error.to_string()))?;
        }
        Ok(Measured {
            latencies,
            elapsed: self.duration,
        })
    }

    /// Writes every row once, as fast as `in_flight` allows.
    pub async fn fill(&self) -> Result<(), Error> {
        let mut connection = Connection::open(self.addresses[0]).await?;
        let id = connection.prepare(&Operation::Write.statement()).await?;
        let mut generator = Generator::new(0, self.rows);
        let mut waiting = 0_u64;
        for row in 0..self.rows {
            let values = vec![Generator::key(row), generator.value()];
            // Whichever answers first frees a place; ids need only be unique in the window.
            let frame = execute(id.clone(), values, self.consistency);
            connection.queue((row % 16_384) as i16, &frame)?;
            waiting += 1;
            if waiting == 256 {
                connection.flush().await?;
                for _ in 0..waiting {
                    check(connection.next().await?, false)?;
                }
                waiting = 0;
            }
        }
        connection.flush().await?;
        for _ in 0..waiting {
            check(connection.next().await?, false)?;
        }
        Ok(())
    }
}

fn execute(id: Bytes, values: Vec<Bytes>, consistency: Consistency) -> RequestFrame {
    let mut parameters = QueryParameters::with_consistency(consistency);
    parameters.values = Values::Positional(
        values
            .into_iter()
            .map(|value| Bound::Value(Some(value)))
            .collect(),
    );
    parameters.skip_metadata = true;
    Request::Execute {
        id,
        result_id: None,
        parameters,
    }
    .into()
}

/// One connection's share of the load.
struct Lane {
    connection: Connection,
    id: Bytes,
    operation: Operation,
    consistency: Consistency,
    generator: Generator,
    begin: Instant,
    end: Instant,
    latencies: Histogram<u64>,
}

impl Lane {
    async fn run(mut self, window: u32) -> Result<Histogram<u64>, Error> {
        self.id = self.connection.prepare(&self.operation.statement()).await?;
        let mut sent = vec![self.begin; window as usize];
        for stream in 0..window {
            sent[stream as usize] = Instant::now();
            self.send(stream as i16)?;
        }
        self.connection.flush().await?;
        let mut in_flight = window;
        while in_flight > 0 {
            // Everything that has arrived is answered by one write.
            let mut next = Some(self.connection.next().await?);
            while let Some(envelope) = next {
                let stream = envelope.stream;
                check(envelope, self.operation == Operation::Read)?;
                let now = Instant::now();
                if now >= self.begin && now < self.end {
                    self.latencies
                        .saturating_record((now - sent[stream as usize]).as_micros() as u64);
                }
                if now < self.end {
                    sent[stream as usize] = now;
                    self.send(stream)?;
                } else {
                    in_flight -= 1;
                }
                next = self.connection.ready()?;
            }
            self.connection.flush().await?;
        }
        Ok(self.latencies)
    }

    fn send(&mut self, stream: i16) -> Result<(), Error> {
        let key = self.generator.random_key();
        let values = match self.operation {
            Operation::Write => vec![key, self.generator.value()],
            Operation::Read => vec![key],
        };
        self.connection
            .queue(stream, &execute(self.id.clone(), values, self.consistency))
    }
}
