//! One pipelined connection of the CQL native protocol, version 4.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use starling_cql::{
    PreparedMetadata, QueryParameters,
    protocol::{
        Decoder, Direction, Encoder, Envelope, Opcode, Request, RequestFrame, Response, ResponseFrame,
        ResultBody, Version,
    },
};
use starling_model::Consistency;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::error::Error;

/// The largest response that is accepted, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// How long a server may take to accept a connection, and to answer the handshake.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// How long a server may take to answer [`Connection::ask`]: a change of the schema may have to reach all nodes.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// A connection that is open and past its handshake. Requests are queued, then flushed in one write;
/// responses come in any order, under the stream id of their request.
pub struct Connection {
    address: SocketAddr,
    socket: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
    output: Vec<u8>,
    /// How much of the output is sent.
    sent: usize,
    /// When the server last took something, or something was queued for a server that had taken everything.
    progress: Instant,
    input: BytesMut,
}

impl Connection {
    /// Connects and opens with protocol version 4, without compression.
    ///
    /// # Errors
    /// Nobody listens, or nobody answers within ten seconds; each names the address.
    pub async fn open(address: SocketAddr) -> Result<Self, Error> {
        let opened = tokio::time::timeout(OPEN_WITHIN, Self::shake_hands(address)).await;
        opened.unwrap_or_else(|_| Err(late(address, OPEN_WITHIN)))
    }

    async fn shake_hands(address: SocketAddr) -> Result<Self, Error> {
        let broken = |error| failed(address, error);
        let socket = TcpStream::connect(address).await.map_err(broken)?;
        socket.set_nodelay(true).map_err(broken)?;
        let mut connection = Self {
            address,
            socket,
            encoder: Encoder::new(Version::V4),
            decoder: Decoder::new(Direction::Responses, MAX_RESPONSE_BYTES),
            output: Vec::with_capacity(64 << 10),
            sent: 0,
            progress: Instant::now(),
            input: BytesMut::with_capacity(64 << 10),
        };
        let startup = Request::Startup(vec![("CQL_VERSION".into(), "3.0.0".into())]);
        match connection.ask(startup).await? {
            Response::Ready => Ok(connection),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends one request and waits for its response, a minute at most. Nothing else may be in flight.
    pub async fn ask(&mut self, request: Request) -> Result<Response, Error> {
        self.queue(0, &request.into())?;
        let answer = async {
            self.flush().await?;
            self.next().await
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        let envelope = answer.unwrap_or_else(|_| Err(late(self.address, ANSWER_WITHIN)))?;
        match decode(envelope)? {
            Response::Error(error) => Err(Error::Statement(error.to_string())),
            response => Ok(response),
        }
    }

    /// Runs a statement as text.
    pub async fn run(&mut self, query: &str) -> Result<(), Error> {
        let parameters = QueryParameters::with_consistency(Consistency::One);
        self.ask(Request::Query {
            query: query.to_owned(),
            parameters,
        })
        .await
        .map(drop)
    }

    /// Prepares a statement and returns its id.
    pub async fn prepare(&mut self, query: &str) -> Result<Bytes, Error> {
        Ok(self.prepare_whole(query).await?.id)
    }

    /// Prepares a statement.
    pub async fn prepare_whole(&mut self, query: &str) -> Result<PreparedMetadata, Error> {
        match self
            .ask(Request::Prepare {
                query: query.to_owned(),
                keyspace: None,
            })
            .await?
        {
            Response::Result(ResultBody::Prepared(prepared)) => Ok(prepared),
            other => Err(unexpected(&other)),
        }
    }

    /// Adds a request to the output.
    pub fn queue(&mut self, stream: i16, frame: &RequestFrame) -> Result<(), Error> {
        if self.output.is_empty() {
            self.progress = Instant::now();
        }
        self.encoder
            .request(&mut self.output, stream, frame)
            .map_err(|error| Error::Protocol(error.to_string()))
    }

    /// Sends what was queued, and reads nothing meanwhile: for a few requests. A server that waits for its answers to be read
    /// may take no more.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let written = self.socket.write_all(&self.output[self.sent..]).await;
        written.map_err(|error| failed(self.address, error))?;
        self.output.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends what was queued, and gives the next response, whichever goes first. May be dropped at any time, and called again.
    pub async fn exchange(&mut self) -> Result<Envelope, Error> {
        let broken = |error| failed(self.address, error);
        loop {
            if let Some(envelope) = self
                .decoder
                .next(&mut self.input)
                .map_err(|error| Error::Protocol(error.to_string()))?
            {
                return Ok(envelope);
            }
            let (mut reader, mut writer) = self.socket.split();
            let unsent = &self.output[self.sent..];
            tokio::select! {
                // Requests leave before their sender rests.
                biased;
                written = writer.write(unsent), if !unsent.is_empty() => {
                    self.sent += written.map_err(broken)?;
                    self.progress = Instant::now();
                    if self.sent == self.output.len() {
                        self.output.clear();
                        self.sent = 0;
                    }
                }
                read = reader.read_buf(&mut self.input) => {
                    if read.map_err(broken)? == 0 {
                        return Err(failed(self.address, "it closed the connection"));
                    }
                }
            }
        }
    }

    /// Since when the server takes nothing of what was queued; `None` if it has taken all.
    pub fn stuck_since(&self) -> Option<Instant> {
        (!self.output.is_empty()).then_some(self.progress)
    }

    /// The next response.
    pub async fn next(&mut self) -> Result<Envelope, Error> {
        loop {
            if let Some(envelope) = self.ready()? {
                return Ok(envelope);
            }
            let read = self.socket.read_buf(&mut self.input).await;
            if read.map_err(|error| failed(self.address, error))? == 0 {
                return Err(failed(self.address, "it closed the connection"));
            }
        }
    }

    /// A response that has arrived already, if any.
    pub fn ready(&mut self) -> Result<Option<Envelope>, Error> {
        self.decoder
            .next(&mut self.input)
            .map_err(|error| Error::Protocol(error.to_string()))
    }
}

/// Checks the response to a statement under load: a failure is an error, and so is a read without its row.
pub fn check(envelope: Envelope, wants_row: bool) -> Result<(), Error> {
    if envelope.opcode == Opcode::Result && !wants_row {
        return Ok(());
    }
    match decode(envelope)? {
        Response::Result(ResultBody::Rows(body)) if body.rows.rows.len() == 1 => Ok(()),
        Response::Result(_) => Err(Error::Statement("a row that was written was not found".into())),
        Response::Error(error) => Err(Error::Statement(error.to_string())),
        other => Err(unexpected(&other)),
    }
}

fn failed(address: SocketAddr, error: impl fmt::Display) -> Error {
    Error::Connection(format!("{address}: {error}"))
}

fn late(address: SocketAddr, patience: Duration) -> Error {
    failed(address, format!("no answer within {} s", patience.as_secs()))
}

fn decode(envelope: Envelope) -> Result<Response, Error> {
    let frame = ResponseFrame::decode(envelope).map_err(|error| Error::Protocol(error.to_string()))?;
    Ok(frame.response)
}

fn unexpected(response: &Response) -> Error {
    Error::Protocol(format!("it answered with {}", response.opcode().name()))
}
