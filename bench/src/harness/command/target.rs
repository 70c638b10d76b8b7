//! The servers of a run.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use super::super::drive::plan::Protocol;
use crate::error::Error;

/// The servers of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As it was written.
    pub text: String,
    /// How they are spoken to.
    pub protocol: Protocol,
    /// Who they are.
    pub servers: Servers,
}

/// Who is driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// Somebody's: their addresses.
    Given(Vec<SocketAddr>),
    /// Ours: a cluster that is started for the run, perhaps of another binary.
    Own(Option<PathBuf>),
}

/// The native protocol's port.
const CQL_PORT: u16 = 9042;

/// Our client's port.
const QUIC_PORT: u16 = 7000;

impl Target {
    /// Reads `cql:HOST[:PORT],...`, `quic:HOST[:PORT],...`, `own-cql[:BINARY]` or `own-quic[:BINARY]`.
    ///
    /// # Errors
    /// What is allowed; or a host that has no address.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (kind, rest) = text
            .split_once(':')
            .map_or((text, ""), |(kind, rest)| (kind, rest));
        let own = || Servers::Own((!rest.is_empty()).then(|| Path::new(rest).to_owned()));
        let (protocol, servers) = match kind {
            "own-cql" => (Protocol::Cql, own()),
            "own-quic" => (Protocol::Quic, own()),
            "cql" if !rest.is_empty() => (Protocol::Cql, Servers::Given(addresses(rest, CQL_PORT)?)),
            "quic" if !rest.is_empty() => (Protocol::Quic, Servers::Given(addresses(rest, QUIC_PORT)?)),
            _ => {
                return Err(Error::Usage(format!(
                    "'{text}' is no target: write cql:HOST:PORT, quic:HOST:PORT, own-cql or own-quic"
                )));
            }
        };
        Ok(Self {
            text: text.to_owned(),
            protocol,
            servers,
        })
    }
}

fn addresses(text: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let mut all = Vec::new();
    for host in text.split(',') {
        let unknown = |error| Error::Usage(format!("'{host}' is no address: {error}"));
        let found: Vec<SocketAddr> = if host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            host.to_socket_addrs().map_err(unknown)?.collect()
        } else {
            (host, port).to_socket_addrs().map_err(unknown)?.collect()
        };
        // One connection target a host: a name may have an IPv6 and an IPv4 address.
        all.extend(found.first());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Protocol, Servers, Target};

    #[test]
    fn targets_are_read() {
        let target = Target::parse("cql:127.0.0.1,127.0.0.2:9043").expect("it fits");
        let given = ["127.0.0.1:9042", "127.0.0.2:9043"].map(|text| text.parse().expect("an address"));
        assert_eq!(
            (target.protocol, target.servers),
            (Protocol::Cql, Servers::Given(given.to_vec()))
        );
        let own = Target::parse("own-quic:../other/starling").expect("it fits");
        assert_eq!(own.servers, Servers::Own(Some("../other/starling".into())));
        assert_eq!(
            Target::parse("own-cql").expect("it fits").servers,
            Servers::Own(None)
        );
        for wrong in ["", "cql:", "tcp:127.0.0.1", "127.0.0.1"] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
