//! Whom a client believes: the cluster's CA, or, on this machine only, anyone.
//!
//! QUIC is always encrypted; the question is whether the other end is who it says. With a CA, each node
//! must show a certificate that the CA signed for [`NODE_NAME`]: the CA is the cluster's own and signs
//! nothing but nodes, wherever they move. Without one, only loopback addresses are accepted: a packet to 127.0.0.0/8 or ::1 can't
//! leave the machine, so that nobody but a process on it can stand in between, and who runs processes
//! here can read the CA's files as well. Everything else needs the CA or an explicit
//! `danger_accept_any`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use quinn::crypto::rustls::QuicClientConfig;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use starling_cql::native;

use crate::error::{Error, ErrorKind};

/// The name that every node's certificate is for.
const NODE_NAME: &str = "starling-node";

/// Whose certificates are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Anyone on a loopback address, nobody elsewhere.
    #[default]
    Loopback,
    /// Whom a certificate authority vouches for.
    Authority {
        /// A PEM file with one or more CA certificates.
        file: PathBuf,
        /// The name that certificates must be for, if not [`NODE_NAME`].
        name: Option<String>,
    },
    /// Anyone anywhere.
    Anyone,
}

/// The rustls side of a client: made once per session.
#[derive(Clone)]
pub(crate) struct Tls {
    trust: Trust,
    config: Arc<QuicClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn new(trust: Trust) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| config_error("TLS can't be set up", error))?;
        let mut config = match &trust {
            Trust::Authority { file, .. } => builder.with_root_certificates(roots(file)?),
            Trust::Loopback | Trust::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AcceptAny(provider))),
        }
        .with_no_client_auth();
        config.alpn_protocols = vec![native::ALPN.to_vec()];
        let config =
            QuicClientConfig::try_from(config).map_err(|error| config_error("TLS can't be set up", error))?;
        Ok(Self {
            trust,
            config: Arc::new(config),
        })
    }

    pub(crate) fn crypto(&self) -> Arc<QuicClientConfig> {
        Arc::clone(&self.config)
    }

    /// The name that the node at `address` must prove; an error if it may not be spoken to at all.
    pub(crate) fn server_name(&self, address: SocketAddr) -> Result<String, Error> {
        match &self.trust {
            Trust::Loopback if !address.ip().to_canonical().is_loopback() => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "{address} is not on this machine, and without a CA its identity can't be verified; \
                     give the cluster's CA file"
                ),
            )),
            Trust::Authority { name, .. } => Ok(name.clone().unwrap_or_else(|| NODE_NAME.to_owned())),
            Trust::Loopback | Trust::Anyone => Ok(NODE_NAME.to_owned()),
        }
    }
}

fn config_error(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Config, format!("{what}: {error}")).with_source(error)
}

fn roots(file: &PathBuf) -> Result<RootCertStore, Error> {
    let unreadable = |error: rustls::pki_types::pem::Error| {
        config_error(&format!("the CA file {} can't be read", file.display()), error)
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
        store.add(certificate.map_err(unreadable)?).map_err(|error| {
            config_error(
                &format!("the CA file {} holds a bad certificate", file.display()),
                error,
            )
        })?;
    }
    if store.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            format!("the CA file {} holds no certificate", file.display()),
        ));
    }
    Ok(store)
}

/// Takes every certificate; still checks that the other end holds its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
