//! Addresses as people write them.

use std::net::{IpAddr, SocketAddr};

use super::ConfigError;

/// The port for peers and native clients, unless it is given.
pub const LISTEN_PORT: u16 = starling_cql::native::DEFAULT_PORT;
/// The port for CQL, unless it is given.
pub const CQL_PORT: u16 = 9042;
/// The port of the admin pages, unless it is given.
pub const ADMIN_PORT: u16 = 7080;

/// `IP` or `IP:PORT`.
pub(super) fn parse(text: &str, port: u16, flag: &str) -> Result<SocketAddr, ConfigError> {
    let ip = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>();
    text.parse::<SocketAddr>()
        .or_else(|_| ip(text).map(|ip| SocketAddr::new(ip, port)))
        .map_err(|_| {
            ConfigError::new(format!(
                "{flag} is '{text}'; it must be an IP address, with or without :PORT"
            ))
        })
}

/// An address that others can reach this node by: not "all addresses".
pub(super) fn exact(text: &str, port: u16, flag: &str) -> Result<SocketAddr, ConfigError> {
    let address = parse(text, port, flag)?;
    if address.ip().is_unspecified() {
        return Err(ConfigError::new(format!(
            "{flag} is {address}, which means every address of this machine; name the one by which other nodes \
             and clients reach this node"
        )));
    }
    Ok(address)
}

/// A node to ask for the cluster: an address, or a name that is looked up when the node starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seed {
    /// It is known where.
    Address(SocketAddr),
    /// A host's name and the port.
    Name(String, u16),
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// `HOST` or `HOST:PORT`, where the host may be a name. Nothing is looked up.
pub(super) fn seed(text: &str, port: u16, flag: &str) -> Result<Seed, ConfigError> {
    if let Ok(address) = parse(text, port, flag) {
        return exact(text, port, flag).map(|_| Seed::Address(address));
    }
    let (host, port) = match text.rsplit_once(':') {
        None => (text, Some(port)),
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
    };
    // The names of RFC 1123, and the underscores that people use all the same.
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    // All digits and dots is a mistyped address, not a name.
    let named = host.chars().any(|c| c.is_ascii_alphabetic());
    match port {
        Some(port) if named && host.len() <= 253 && host.chars().all(fine) => {
            Ok(Seed::Name(host.to_owned(), port))
        }
        _ => Err(ConfigError::new(format!(
            "{flag} names '{text}', which is no address and no host's name, with or without :PORT"
        ))),
    }
}
