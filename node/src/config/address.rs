//! Addresses as people write them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

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

/// `HOST` or `HOST:PORT`, where the host may be a name.
pub(super) fn resolve(text: &str, port: u16, flag: &str) -> Result<SocketAddr, ConfigError> {
    if let Ok(address) = exact(text, port, flag) {
        return Ok(address);
    }
    let found = if text.contains(':') {
        text.to_socket_addrs()
    } else {
        (text, port).to_socket_addrs()
    };
    found
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| {
            ConfigError::new(format!(
                "{flag} names '{text}', which is no address and no host that can be looked up"
            ))
        })
}
