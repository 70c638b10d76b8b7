//! Who knocks at the port of peers and native clients without belonging to the cluster.

use std::{path::Path, sync::Arc};

use quinn::{ApplicationClose, ClientConfig, ConnectionError, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use starling::tls::{Authority, NODE_SERVER_NAME, PEER_ALPN, TlsFiles};
use starling_model::{NodeId, Timestamp};
use starling_replication::{
    PeerRequest, PeerResponse,
    message::{Failure, Request, Response},
};

use crate::harness::{Cluster, Node, block_on};

/// Alerts of TLS (RFC 8446, section 6.2), as QUIC carries them (RFC 9001, section 4.8).
const UNKNOWN_CA: u64 = 0x100 + 48;
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// The node's own codes: the other side broke the protocol, or has no business here.
const PROTOCOL: u64 = 2;
const UNAUTHORIZED: u64 = 3;

/// How often in a row a busy machine may be too late to hear why it was refused.
const LATE_KNOCKS: usize = 20;

/// How a stranger introduces itself.
struct Stranger<'a> {
    alpn: &'static [u8],
    /// The directory with its certificate and key.
    identity: Option<&'a Path>,
    /// What it sends on its first stream.
    says: &'static [u8],
}

impl Stranger<'_> {
    /// It trusts the cluster: whatever is refused is refused by the node.
    fn config(&self, ca: &Path) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(dir) => {
                let files = TlsFiles::in_directory(dir);
                let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![self.alpn.to_vec()];
        ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
    }

    /// Why the node ends the connection. A stranger whose packets come after the node has forgotten the connection (RFC 9000, section
    /// 10.2: after three probe timeouts, which is a tenth of a second here) is answered with a stateless reset, and knocks again.
    async fn knock(&self, endpoint: &Endpoint, ca: &Path, node: &Node) -> ConnectionError {
        let mut error = self.knock_once(endpoint, ca, node).await;
        for _ in 0..LATE_KNOCKS {
            if error != ConnectionError::Reset {
                break;
            }
            error = self.knock_once(endpoint, ca, node).await;
        }
        error
    }

    async fn knock_once(&self, endpoint: &Endpoint, ca: &Path, node: &Node) -> ConnectionError {
        let connecting = endpoint.connect_with(self.config(ca), node.listen, NODE_SERVER_NAME);
        let connection = match connecting.unwrap().await {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        if let Ok((mut send, _receive)) = connection.open_bi().await {
            // The node may have closed the connection already: that is what is looked at.
            let _ = send.write_all(self.says).await;
            return connection.closed().await;
        }
        connection.closed().await
    }
}

/// The code with which the node ended a connection, and its reason.
fn refusal(error: &ConnectionError) -> (u64, String) {
    match error {
        ConnectionError::ConnectionClosed(close) => (u64::from(close.error_code), close.to_string()),
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, reason }) => (
            error_code.into_inner(),
            String::from_utf8_lossy(reason).into_owned(),
        ),
        error => panic!("not a refusal: {error}"),
    }
}

#[test]
fn strangers_are_told_why_and_cost_nothing() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::create(&elsewhere.path().join("ca"), "other").unwrap();
    let issued = other.issue("x", &["127.0.0.1".to_owned()], 1).unwrap();
    let theirs = elsewhere.path().join("x");
    other.write(&theirs, &issued).unwrap();
    let ours = node.dir.join("tls");
    let stranger = |alpn, identity, says| Stranger { alpn, identity, says };
    let garbage: &[u8] = &[0xFF; 64];
    let cases = [
        (stranger(b"h3", Some(&*ours), b""), NO_APPLICATION_PROTOCOL, ""),
        (stranger(PEER_ALPN, Some(&*theirs), b""), UNKNOWN_CA, ""),
        (
            stranger(PEER_ALPN, None, b""),
            UNAUTHORIZED,
            "no certificate of this cluster",
        ),
        (stranger(PEER_ALPN, Some(&*ours), garbage), PROTOCOL, "bytes"),
    ];
    let before = node.status().unwrap();
    block_on(async {
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        for _ in 0..25 {
            for (stranger, code, reason) in &cases {
                let error = stranger.knock(&endpoint, &cluster.ca, node).await;
                let (given, why) = refusal(&error);
                assert_eq!(given, *code, "{error}");
                assert!(why.contains(reason), "{why}");
            }
        }
        let session = cluster.session(&[0]).await;
        session
            .query("SELECT cluster_name FROM system.local")
            .await
            .unwrap();
    });
    let after = node.status().unwrap();
    assert_eq!(after.pid, before.pid);
    if let (Some(before), Some(after)) = (before.resident_bytes, after.resident_bytes) {
        assert!(
            after < before + (32 << 20),
            "memory went from {before} to {after} bytes"
        );
    }
}

/// Sends a request on a lane of a peer's, in its frame, and takes the answer.
async fn exchange(
    (send, receive): &mut (quinn::SendStream, quinn::RecvStream),
    id: u64,
    request: &[u8],
) -> Response {
    let length = u32::try_from(request.len()).unwrap();
    let frame = [&length.to_be_bytes()[..], &id.to_be_bytes(), request].concat();
    send.write_all(&frame).await.unwrap();
    let mut header = [0; 12];
    receive.read_exact(&mut header).await.unwrap();
    let (length, answered) = header.split_at(4);
    assert_eq!(answered, id.to_be_bytes());
    let mut answer = vec![0; u32::from_be_bytes(length.try_into().unwrap()) as usize];
    receive.read_exact(&mut answer).await.unwrap();
    PeerResponse::decode(answer.into()).unwrap().body
}

#[test]
fn what_a_later_release_asks_for_is_refused_and_its_connection_stays() {
    let cluster = Cluster::start(1);
    let node = &cluster.nodes[0];
    let ours = node.dir.join("tls");
    let peer = Stranger {
        alpn: PEER_ALPN,
        identity: Some(&*ours),
        says: b"",
    };
    let ping = PeerRequest {
        sender: NodeId(1),
        ring: 0,
        epoch: 0,
        clock: Timestamp(0),
        deadline_ms: 10_000,
        tracing: false,
        era: 0,
        body: Request::Ping,
    };
    let ping = ping.encode();
    // A kind of request by another name.
    let mut wish = ping.to_vec();
    assert!(wish.ends_with(b"Ping"));
    wish.truncate(ping.len() - 4);
    wish.extend_from_slice(b"Wish");
    block_on(async {
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = peer.config(&cluster.ca);
        let connecting = endpoint.connect_with(config, node.listen, NODE_SERVER_NAME);
        let connection = connecting.unwrap().await.unwrap();
        let mut lane = connection.open_bi().await.unwrap();
        for id in 1..=3 {
            let refused = exchange(&mut lane, 2 * id, &wish).await;
            let Response::Failed(Failure::NotUnderstood(why)) = refused else {
                panic!("{refused:?}");
            };
            assert!(why.contains("Wish"), "{why}");
            assert_eq!(exchange(&mut lane, 2 * id + 1, &ping).await, Response::Done);
        }
        assert!(connection.close_reason().is_none());
    });
}
