//! A client on the bare codec.

use bytes::BytesMut;
use starling_cql::{
    ErrorKind, QueryParameters,
    protocol::{
        Compression, Decoder, Direction, Encoder, Envelope, Request, RequestFrame, Response, ResponseFrame,
        ResultBody, Version,
    },
};
use starling_model::Consistency;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::cql_server::Server;

pub(super) struct Client {
    pub(super) socket: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
    input: BytesMut,
    output: Vec<u8>,
}

/// QUERY with nothing but its text.
pub(super) fn query(text: &str) -> Request {
    Request::Query {
        query: text.to_owned(),
        parameters: parameters(),
    }
}

pub(super) fn parameters() -> QueryParameters {
    QueryParameters::with_consistency(Consistency::One)
}

impl Client {
    pub(super) async fn connect(server: &Server) -> Self {
        Self {
            socket: TcpStream::connect(server.local_address()).await.unwrap(),
            encoder: Encoder::new(Version::V4),
            decoder: Decoder::new(Direction::Responses, 256 << 20),
            input: BytesMut::new(),
            output: Vec::new(),
        }
    }

    /// Does the handshake with the options given, and fails unless the server is ready.
    pub(super) async fn open(&mut self, version: Version, options: &[(&str, &str)]) {
        let ready = self.startup(version, options).await;
        assert_eq!(ready, Response::Ready);
    }

    /// Sends STARTUP; after READY both sides do what was agreed on.
    pub(super) async fn startup(&mut self, version: Version, options: &[(&str, &str)]) -> Response {
        let options: Vec<_> = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let compression = options.iter().find(|(key, _)| key == "COMPRESSION");
        let compression = compression.and_then(|(_, name)| Compression::named(name, version));
        self.encoder.set_version(version);
        let response = self.ask(Request::Startup(options)).await.response;
        if response == Response::Ready {
            self.encoder.set_compression(compression);
            self.decoder.set_compression(compression);
            if version == Version::V5 {
                self.encoder.use_segments();
                self.decoder.use_segments();
            }
        }
        response
    }

    /// Writes with this version from now on.
    pub(super) fn set_version(&mut self, version: Version) {
        self.encoder.set_version(version);
    }

    /// Puts a request where [`flush`](Self::flush) sends it from.
    pub(super) fn push(&mut self, stream: i16, frame: impl Into<RequestFrame>) {
        self.encoder
            .request(&mut self.output, stream, &frame.into())
            .unwrap();
    }

    /// Sends what was pushed.
    pub(super) async fn flush(&mut self) {
        self.encoder.finish(&mut self.output);
        self.socket.write_all(&self.output).await.unwrap();
        self.output.clear();
    }

    /// What [`flush`](Self::flush) would send.
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        self.encoder.finish(&mut self.output);
        std::mem::take(&mut self.output)
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn ask(&mut self, frame: impl Into<RequestFrame>) -> ResponseFrame {
        self.push(5, frame);
        self.flush().await;
        let (stream, frame) = self.receive().await.expect("the connection was closed");
        assert_eq!(stream, 5);
        frame
    }

    /// The next response, with its stream; `None` if the server closed.
    pub(super) async fn receive(&mut self) -> Option<(i16, ResponseFrame)> {
        let envelope = self.receive_envelope().await?;
        Some((envelope.stream, ResponseFrame::decode(envelope).unwrap()))
    }

    pub(super) async fn receive_envelope(&mut self) -> Option<Envelope> {
        loop {
            if let Some(envelope) = self.decoder.next(&mut self.input).unwrap() {
                return Some(envelope);
            }
            if self.socket.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Sends bytes as they are.
    pub(super) async fn send_raw(&mut self, bytes: &[u8]) {
        // The server may have closed already; what it said is to be read anyway.
        let _ = self.socket.write_all(bytes).await;
    }

    /// Fails unless the next response is an error, and gives its kind and message.
    pub(super) async fn error(&mut self) -> (i16, ErrorKind, String) {
        let (stream, frame) = self.receive().await.expect("the connection was closed");
        match frame.response {
            Response::Error(error) => (stream, error.kind, error.message),
            other => panic!("no error, but {other:?}"),
        }
    }

    /// Whether a request gets its answer.
    pub(super) async fn works(&mut self) -> bool {
        self.ask(query("void")).await.response == Response::Result(ResultBody::Void)
    }
}

/// The text in the first column of the only row.
pub(super) fn text(frame: ResponseFrame) -> String {
    match frame.response {
        Response::Result(ResultBody::Rows(body)) => {
            let [row] = &body.rows.rows[..] else {
                panic!("{} rows", body.rows.rows.len())
            };
            String::from_utf8(row[0].as_deref().unwrap().to_vec()).unwrap()
        }
        other => panic!("no rows, but {other:?}"),
    }
}
