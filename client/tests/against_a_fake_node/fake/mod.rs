//! A node that speaks the native protocol over real QUIC and answers what the test says.

pub(crate) mod apart;
pub(crate) mod table;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use quinn::{Endpoint, ServerConfig, crypto::rustls::QuicServerConfig};
use rustls::pki_types::PrivateKeyDer;
use starling_client::{ColumnSpec, CqlType, Session, SessionBuilder, Topology, TopologyNode};
use starling_cql::{
    QueryResult, Rows,
    native::{self, HEADER_BYTES, Request, Response},
};
use starling_model::NodeId;

/// What a node does with a request.
pub(crate) enum Reply {
    Answer(Response),
    /// Never answers.
    Silence,
    /// Sends these bytes as they are.
    Raw(Vec<u8>),
    /// Hangs up.
    HangUp,
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Answer(response)
    }
}

pub(crate) type Handler = Arc<dyn Fn(Request) -> Reply + Send + Sync>;

/// A node on a port of its own. It stops when it is dropped.
pub(crate) struct FakeNode {
    pub(crate) address: SocketAddr,
    pub(crate) ca: PathBuf,
    endpoint: Endpoint,
    _files: tempfile::TempDir,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.endpoint.close(0u32.into(), b"stopped");
    }
}

impl FakeNode {
    /// Starts a node; its handler may need to know its address. Greetings are answered here.
    pub(crate) fn start(make: impl FnOnce(SocketAddr) -> Handler) -> Self {
        let (endpoint, ca, files) = listen();
        let address = endpoint.local_addr().unwrap();
        tokio::spawn(accept(endpoint.clone(), make(address)));
        Self {
            address,
            ca,
            endpoint,
            _files: files,
        }
    }

    /// A session builder that knows this node.
    pub(crate) fn builder(&self) -> SessionBuilder {
        Session::builder().contact(self.address.to_string())
    }

    pub(crate) async fn session(&self) -> Session {
        self.builder().connect().await.unwrap()
    }
}

/// A socket with a certificate of its own, and the file of its authority.
fn listen() -> (Endpoint, PathBuf, tempfile::TempDir) {
    let certified = rcgen::generate_simple_self_signed(vec!["starling-node".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![native::ALPN.to_vec()];
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    (endpoint, ca, files)
}

async fn accept(endpoint: Endpoint, handler: Handler) {
    while let Some(incoming) = endpoint.accept().await {
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                serve(connection, handler).await;
            }
        });
    }
}

async fn serve(connection: quinn::Connection, handler: Handler) -> Option<()> {
    let (mut sender, mut receiver) = connection.accept_bi().await.ok()?;
    loop {
        let mut header = [0; HEADER_BYTES];
        receiver.read_exact(&mut header).await.ok()?;
        let (length, id) = native::decode_header(header);
        let mut value = vec![0; length];
        receiver.read_exact(&mut value).await.ok()?;
        let reply = match native::decode::<Request>(&value).unwrap() {
            Request::Hello { version, .. } => Reply::Answer(Response::Welcome {
                version,
                release: "0.1.0".to_owned(),
            }),
            request => handler(request),
        };
        match reply {
            Reply::Answer(response) => {
                let mut frame = Vec::new();
                native::encode_frame(id, &response, &mut frame).unwrap();
                sender.write_all(&frame).await.ok()?;
            }
            Reply::Silence => {}
            Reply::Raw(bytes) => sender.write_all(&bytes).await.ok()?,
            Reply::HangUp => {
                connection.close(9u32.into(), b"hung up");
                return None;
            }
        }
    }
}

/// A ring of nodes at these addresses, each owning the tokens up to its place in the list.
pub(crate) fn topology(nodes: &[SocketAddr]) -> Response {
    let nodes = nodes.iter().enumerate().map(|(index, address)| TopologyNode {
        id: NodeId(index as u128 + 1),
        address: *address,
        cql_address: ([127, 0, 0, 1], 9042).into(),
        datacenter: "dc1".to_owned(),
        rack: "r1".to_owned(),
        tokens: vec![index as i64 * 1000],
        up: true,
    });
    Response::Topology(Topology {
        cluster: "fake".to_owned(),
        partitioner: "org.apache.cassandra.dht.Murmur3Partitioner".to_owned(),
        nodes: nodes.collect(),
        keyspaces: vec![(
            "ks".to_owned(),
            vec![
                ("class".to_owned(), "SimpleStrategy".to_owned()),
                ("replication_factor".to_owned(), "1".to_owned()),
            ],
        )],
    })
}

pub(crate) fn column(name: &str, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: "ks".to_owned(),
        table: "t".to_owned(),
        name: name.to_owned(),
        cql_type,
    }
}

pub(crate) fn result(result: QueryResult) -> Response {
    Response::Result {
        result,
        trace: None,
        warnings: Vec::new(),
    }
}

pub(crate) fn rows(columns: Vec<ColumnSpec>, rows: Vec<Vec<Option<Bytes>>>) -> Response {
    result(QueryResult::Rows(Rows {
        columns: columns.into(),
        rows,
        paging_state: None,
    }))
}

pub(crate) fn void() -> Response {
    result(QueryResult::Void)
}

pub(crate) fn failed(error: starling_cql::Error) -> Response {
    Response::Error(error)
}

/// A node on its own, whose ring is itself.
pub(crate) fn alone(handler: impl Fn(Request) -> Reply + Send + Sync + 'static) -> FakeNode {
    FakeNode::start(|address| {
        Arc::new(move |request| match request {
            Request::Topology => topology(&[address]).into(),
            request => handler(request),
        })
    })
}
