//! The cluster's certificate authority: made once, signs one certificate for each node.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use super::{NODE_SERVER_NAME, TlsError, TlsFiles, files};

/// How long an authority's certificate is good for, in days.
const AUTHORITY_DAYS: i64 = 3650;

/// Certificates begin this long before they are made, for clocks that are behind.
const BACKDATED: Duration = Duration::hours(24);

/// The authority of one cluster.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate for one node, in PEM.
pub struct NodeCertificate {
    certificate: String,
    key: String,
}

impl Authority {
    /// Makes an authority in `dir`: `ca.pem` (to be given to nodes and clients) and `ca.key` (to be kept
    /// secret: who has it can join the cluster). Files that exist are not overwritten.
    pub fn create(dir: &Path, cluster: &str) -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("{cluster} Starling cluster authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity(&mut params, AUTHORITY_DAYS);
        let key = KeyPair::generate().map_err(make)?;
        let certificate = params.self_signed(&key).map_err(make)?.pem();
        files::write_new(&dir.join("ca.key"), &key.serialize_pem())?;
        files::write_new(&dir.join("ca.pem"), &certificate)?;
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// Opens the authority that [`create`](Self::create) made in `dir`.
    pub fn open(dir: &Path) -> Result<Self, TlsError> {
        let key_path = dir.join("ca.key");
        let key = KeyPair::from_pem(&files::read(&key_path)?)
            .map_err(|error| TlsError::content(&key_path, "key", error))?;
        let path = dir.join("ca.pem");
        let certificate = files::read(&path)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|error| TlsError::content(&path, "certificate", error))?;
        Ok(Self { certificate, issuer })
    }

    /// Opens the authority in `dir`, or makes it if there is none.
    pub fn open_or_create(dir: &Path, cluster: &str) -> Result<Self, TlsError> {
        if dir.join("ca.key").exists() {
            Self::open(dir)
        } else {
            Self::create(dir, cluster)
        }
    }

    /// Signs a certificate for a node that is reached at `addresses` (IP addresses or host names), good
    /// for `days` days. Nodes and clients may be shown it: it serves both ends of a connection.
    pub fn issue(&self, node: &str, addresses: &[String], days: u32) -> Result<NodeCertificate, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(node);
        params.subject_alt_names = vec![subject(NODE_SERVER_NAME)?];
        for address in addresses {
            params.subject_alt_names.push(subject(address)?);
        }
        params.is_ca = IsCa::NoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        validity(&mut params, i64::from(days));
        let key = KeyPair::generate().map_err(make)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(make)?.pem();
        Ok(NodeCertificate {
            certificate,
            key: key.serialize_pem(),
        })
    }

    /// Writes a node's certificate and key, and the authority's certificate unless it is there, into `dir`.
    pub fn write(&self, dir: &Path, issued: &NodeCertificate) -> Result<TlsFiles, TlsError> {
        let paths = TlsFiles::in_directory(dir);
        files::write_new(&paths.key, &issued.key)?;
        files::write_new(&paths.certificate, &issued.certificate)?;
        if !paths.ca.exists() {
            files::write_new(&paths.ca, &self.certificate)?;
        }
        Ok(paths)
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Starling");
    name.push(DnType::CommonName, common);
    name
}

/// An address as a certificate has it.
fn subject(address: &str) -> Result<SanType, TlsError> {
    match address.parse() {
        Ok(ip) => Ok(SanType::IpAddress(ip)),
        Err(_) => Ok(SanType::DnsName(address.try_into().map_err(make)?)),
    }
}

fn validity(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + Duration::days(days);
}

fn make(error: impl ToString) -> TlsError {
    TlsError::Make(error.to_string())
}
