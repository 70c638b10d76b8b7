use std::{net::SocketAddr, sync::Mutex, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use quinn::{Endpoint, RecvStream, SendStream};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use starling_cql::{
    BatchRequest, Error, ErrorKind, PreparedMetadata, QueryParameters, QueryResult, SchemaChange,
    SchemaTarget, Statement,
    native::{self, Request, Response},
    result::ChangeKind,
};
use starling_model::Consistency;
use starling_replication::{Executed, Listener, message::Encoded};
use tokio::{sync::Semaphore, time::Instant};

use super::*;
use crate::{
    tls::{Authority, Credentials},
    transport::{PeerService, Transport},
};

/// Executes "wait" once it is let, "later" not at once, and everything else at once; "panic" panics.
#[derive(Clone)]
struct Fake {
    listeners: Arc<Mutex<Vec<Listener>>>,
    gate: Arc<Semaphore>,
    /// How many were begun, and for how long the newest had waited for its turn.
    begun: Arc<Mutex<(usize, Duration)>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            listeners: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
        }
    }
}

impl Backend for Fake {
    fn prepare(&self, query: &str, _: Option<&str>) -> Result<PreparedMetadata, Error> {
        Err(Error::syntax(format!("no such statement: {query}")))
    }

    fn execute(
        &self,
        statement: Statement,
        _: QueryParameters,
        _: bool,
        waited: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        let gate = Arc::clone(&self.gate);
        let mut begun = self.begun.lock().unwrap();
        *begun = (begun.0 + 1, waited);
        async move {
            match statement {
                Statement::Text(text) if text == "wait" => gate.acquire().await.unwrap().forget(),
                Statement::Text(text) if text == "later" => tokio::task::yield_now().await,
                Statement::Text(text) => assert_ne!(text, "panic"),
                Statement::Prepared(_) => {}
            }
            Ok(Executed {
                result: QueryResult::Void,
                trace: Some(9),
                warnings: vec!["careful".to_owned()],
            })
        }
    }

    fn batch(
        &self,
        _: BatchRequest,
        _: bool,
        _: Duration,
    ) -> impl Future<Output = Result<Executed, Error>> + Send + 'static {
        std::future::ready(Err(Error::unsupported("a batch")))
    }

    fn subscribe(&self, listener: Listener) {
        self.listeners.lock().unwrap().push(listener);
    }
}

impl NativeBackend for Fake {
    fn topology(&self) -> Topology {
        Topology {
            cluster: "fake".to_owned(),
            partitioner: String::new(),
            nodes: Vec::new(),
            keyspaces: Vec::new(),
        }
    }
}

struct NoPeers;

impl PeerService for NoPeers {
    fn handle(&self, _: SocketAddr, _: Bytes, _: Instant) -> BoxFuture<'static, Option<Encoded>> {
        Box::pin(async { None })
    }

    fn lost(&self, _: SocketAddr) {}
}

struct Server {
    _dir: tempfile::TempDir,
    _transport: Transport,
    backend: Fake,
    client: Endpoint,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "test").unwrap();
        let issued = authority.issue("n", &["127.0.0.1".to_owned()], 1).unwrap();
        let files = authority.write(dir.path(), &issued).unwrap();
        let credentials = Credentials::load(&files).unwrap();
        let budget = Arc::<Budget>::default();
        let transport =
            Transport::bind("127.0.0.1:0".parse().unwrap(), &credentials, Arc::clone(&budget)).unwrap();
        let backend = Fake::default();
        transport.serve(
            Arc::new(NoPeers),
            Arc::new(NativeServer::new(backend.clone(), "1.2.3", Arc::clone(&budget))),
        );
        let address = transport.local_addr().unwrap();
        Self {
            client: client(&files.ca),
            _dir: dir,
            _transport: transport,
            backend,
            address,
        }
    }

    async fn connect(&self) -> Wire {
        let connection = self
            .client
            .connect(self.address, "127.0.0.1")
            .unwrap()
            .await
            .unwrap();
        let (send, receive) = connection.open_bi().await.unwrap();
        Wire {
            connection,
            send,
            receive,
        }
    }

    /// A connection that has said hello.
    async fn greeted(&self) -> Wire {
        let mut wire = self.connect().await;
        wire.send(
            1,
            &Request::Hello {
                version: native::VERSION,
                client: "test".to_owned(),
            },
        )
        .await;
        let welcome = Response::Welcome {
            version: native::VERSION,
            release: "1.2.3".to_owned(),
        };
        assert_eq!(wire.receive().await, Some((1, welcome)));
        wire
    }
}

/// An endpoint that believes the CA and shows no certificate.
fn client(ca: &std::path::Path) -> Endpoint {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![native::ALPN.to_vec()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
    endpoint
}

struct Wire {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
}

impl Wire {
    async fn send(&mut self, id: u64, request: &Request) {
        let mut frame = Vec::new();
        native::encode_frame(id, request, &mut frame).unwrap();
        self.send.write_all(&frame).await.unwrap();
    }

    /// The next response; `None` when the server has closed the connection.
    async fn receive(&mut self) -> Option<(u64, Response)> {
        let mut header = [0; native::HEADER_BYTES];
        self.receive.read_exact(&mut header).await.ok()?;
        let (length, id) = native::decode_header(header);
        let mut value = vec![0; length];
        self.receive.read_exact(&mut value).await.ok()?;
        Some((id, native::decode(&value).unwrap()))
    }
}

fn execute(text: &str) -> Request {
    Request::Execute {
        statement: Statement::Text(text.to_owned()),
        parameters: QueryParameters::with_consistency(Consistency::One),
        tracing: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_each_under_its_id_and_none_waits_for_another() {
    let server = Server::start();
    let mut wire = server.greeted().await;
    wire.send(2, &execute("wait")).await;
    wire.send(3, &execute("SELECT")).await;
    let done = Response::Result {
        result: QueryResult::Void,
        trace: Some(9),
        warnings: vec!["careful".to_owned()],
    };
    assert_eq!(wire.receive().await, Some((3, done)));
    wire.send(
        4,
        &Request::Prepare {
            query: "x".to_owned(),
            keyspace: None,
        },
    )
    .await;
    assert!(
        matches!(wire.receive().await, Some((4, Response::Error(error))) if error.kind == ErrorKind::Syntax)
    );
    wire.send(5, &Request::Topology).await;
    assert!(
        matches!(wire.receive().await, Some((5, Response::Topology(topology))) if topology.cluster == "fake")
    );
}

/// A request that is here and has to wait for others has less time then.
#[tokio::test]
async fn a_requests_time_counts_from_its_arrival() {
    // What is measured, and nothing that is waited for.
    const PAUSE: Duration = Duration::from_millis(50);
    let server = Server::start();
    let mut wire = server.greeted().await;
    let begun = || *server.backend.begun.lock().unwrap();
    let until = async |count: usize| {
        while begun().0 < count {
            tokio::task::yield_now().await;
        }
    };
    let all_but_one = connection::MAX_IN_FLIGHT - 1;
    for id in 0..all_but_one {
        wire.send(2 + id as u64, &execute("wait")).await;
    }
    until(all_but_one).await;
    // The last one that is worked on and the first that is not, in one packet.
    let mut both = Vec::new();
    for (id, text) in [(9998, "wait"), (9999, "SELECT")] {
        let mut frame = Vec::new();
        native::encode_frame(id, &execute(text), &mut frame).unwrap();
        both.extend(frame);
    }
    wire.send.write_all(&both).await.unwrap();
    until(connection::MAX_IN_FLIGHT).await;
    tokio::time::sleep(PAUSE).await;
    server.backend.gate.add_permits(1);
    until(connection::MAX_IN_FLIGHT + 1).await;
    let (_, waited) = begun();
    assert!(waited >= PAUSE, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_answered_at_once_is_answered_later_and_a_panic_is_an_error() {
    let server = Server::start();
    let mut wire = server.greeted().await;
    wire.send(2, &execute("later")).await;
    assert!(matches!(wire.receive().await, Some((2, Response::Result { .. }))));
    wire.send(3, &execute("panic")).await;
    assert!(
        matches!(wire.receive().await, Some((3, Response::Error(error))) if error.kind == ErrorKind::Server)
    );
    wire.send(4, &execute("SELECT")).await;
    assert!(matches!(wire.receive().await, Some((4, Response::Result { .. }))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_say_hello_is_let_go() {
    let server = Server::start();
    let mut wire = server.connect().await;
    wire.send(1, &Request::Topology).await;
    assert_eq!(wire.receive().await, None);
    let reason = wire.connection.closed().await.to_string();
    assert!(reason.contains("Hello"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_too_long_ends_the_connection() {
    let server = Server::start();
    let mut wire = server.greeted().await;
    wire.send.write_all(&[0xFF; native::HEADER_BYTES]).await.unwrap();
    assert_eq!(wire.receive().await, None);
    let reason = wire.connection.closed().await.to_string();
    assert!(reason.contains("4294967295 bytes"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_request_is_answered_and_the_connection_goes_on() {
    let server = Server::start();
    let mut wire = server.greeted().await;
    let mut frame = 3u32.to_be_bytes().to_vec();
    frame.extend_from_slice(&7u64.to_be_bytes());
    frame.extend_from_slice(&[0xC1, 0xFF, 0x00]);
    wire.send.write_all(&frame).await.unwrap();
    assert!(
        matches!(wire.receive().await, Some((7, Response::Error(error))) if error.kind == ErrorKind::Protocol)
    );
    wire.send(8, &Request::Topology).await;
    assert!(matches!(wire.receive().await, Some((8, Response::Topology(_)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_hear_of_changes() {
    let server = Server::start();
    let mut wire = server.greeted().await;
    let change = SchemaChange {
        change: ChangeKind::Created,
        keyspace: "k".to_owned(),
        target: SchemaTarget::Table("t".to_owned()),
    };
    for listener in server.backend.listeners.lock().unwrap().iter() {
        listener(&ClusterEvent::Schema(change.clone()));
        listener(&ClusterEvent::NodeDown("127.0.0.1:1".parse().unwrap()));
    }
    assert_eq!(
        wire.receive().await,
        Some((0, Response::Event(Event::Schema(change))))
    );
    assert_eq!(wire.receive().await, Some((0, Response::Event(Event::Topology))));
}
