//! A node's certificate at work: the settings of its QUIC endpoint.

use std::{path::Path, sync::Arc};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring as provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use starling_cql::native;

use super::{TlsError, TlsFiles};

/// The application protocol's name between nodes.
pub const PEER_ALPN: &[u8] = b"starling-peer/1";

/// The name that every node's certificate carries besides its addresses: peers check that they speak to
/// *a* node of their cluster, wherever it lives at the moment.
pub const NODE_SERVER_NAME: &str = "starling-node";

/// What a node shows, and whom it believes.
pub struct Credentials {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads a node's files.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.ca)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::content(&files.ca, "certificate", error))?;
        }
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| TlsError::content(&files.key, "key", error))?;
        Ok(Self {
            roots: Arc::new(roots),
            chain: certificates(&files.certificate)?,
            key,
        })
    }

    /// For accepting connections: from peers, who show a certificate of the cluster, and from native
    /// clients, who show none. Which of them it is, and that a peer did show one, is checked after the
    /// handshake.
    pub fn server(&self) -> Result<QuicServerConfig, TlsError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider_of())
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Make(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider_of())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| {
                builder
                    .with_client_cert_verifier(verifier)
                    .with_single_cert(self.chain.clone(), self.key.clone_key())
            })
            .map_err(|error| TlsError::Make(format!("certificate and key do not go together: {error}")))?;
        config.alpn_protocols = vec![PEER_ALPN.to_vec(), native::ALPN.to_vec()];
        // Connections are long-lived: nothing is gained by resumption, and its cache costs memory.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(|error| TlsError::Make(error.to_string()))
    }

    /// For connecting to peers.
    pub fn peer_client(&self) -> Result<QuicClientConfig, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider_of())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| {
                builder
                    .with_root_certificates(Arc::clone(&self.roots))
                    .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            })
            .map_err(|error| TlsError::Make(format!("certificate and key do not go together: {error}")))?;
        config.alpn_protocols = vec![PEER_ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        QuicClientConfig::try_from(config).map_err(|error| TlsError::Make(error.to_string()))
    }

    /// A key for stateless resets (RFC 9000, section 10.3), the same in every life of the node: after a
    /// crash it can tell peers at once that their old connections are gone.
    pub fn reset_key(&self) -> ring::hmac::Key {
        let secret = ring::digest::digest(&ring::digest::SHA256, self.key.secret_der());
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_ref())
    }

    /// A key by which the node knows connection ids that it gave out, in this life or an earlier one: a stateless
    /// reset is sent for those alone, not for garbage.
    pub fn connection_id_key(&self) -> u64 {
        let tag = ring::hmac::sign(&self.reset_key(), b"connection ids");
        tag.as_ref()
            .iter()
            .take(8)
            .fold(0, |key, byte| key << 8 | u64::from(*byte))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |error: &dyn ToString| TlsError::content(path, "certificate", error.to_string());
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| read(&error))?;
    if all.is_empty() {
        Err(read(&"it is empty"))
    } else {
        Ok(all)
    }
}

/// *ring*'s primitives, the cheapest cipher first: with AES instructions AES-128-GCM costs least per byte.
fn provider_of() -> Arc<CryptoProvider> {
    let mut provider = provider::default_provider();
    provider.cipher_suites = vec![
        provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
        provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
        provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}
