//! How a session is made.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use starling_cql::native;
use tokio::sync::broadcast;

use crate::{
    Consistency, ExecutionOptions, Session,
    clock::Clock,
    cluster::Cluster,
    connection::{Dialer, Limits},
    error::{Error, ErrorKind},
    retry::RetryPolicy,
    tls::{Tls, Trust},
};

/// Events that a slow listener may be behind before it misses some.
const EVENT_BACKLOG: usize = 256;

/// Settings of a [`Session`] to be. See [`Session::builder`].
#[derive(Debug, Clone)]
pub struct SessionBuilder {
    contacts: Vec<String>,
    trust: Trust,
    authority_name: Option<String>,
    datacenter: Option<String>,
    keyspace: Option<String>,
    options: ExecutionOptions,
    in_flight: usize,
    connect_timeout: Duration,
    refresh_period: Duration,
    stamps: bool,
}

impl Default for SessionBuilder {
    fn default() -> Self {
        Self {
            contacts: Vec::new(),
            trust: Trust::default(),
            authority_name: None,
            datacenter: None,
            keyspace: None,
            options: ExecutionOptions::default(),
            in_flight: 4096,
            connect_timeout: Duration::from_secs(5),
            refresh_period: Duration::from_mins(1),
            stamps: false,
        }
    }
}

impl SessionBuilder {
    /// A node to learn the ring from: `host`, `host:port`, `address:port` or `[v6 address]:port`; the port is
    /// 7000 if none is given. Give several, so that one of them being down doesn't matter.
    pub fn contact(mut self, contact: impl Into<String>) -> Self {
        self.contacts.push(contact.into());
        self
    }

    /// Several [contacts](Self::contact).
    pub fn contacts(mut self, contacts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.contacts.extend(contacts.into_iter().map(Into::into));
        self
    }

    /// The PEM file of the cluster's CA: nodes must have certificates that it signed for the name
    /// `starling-node`.
    ///
    /// Without a CA, only contacts on this machine (127.0.0.0/8, ::1) are accepted, unverified.
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.trust = Trust::Authority {
            file: file.into(),
            name: None,
        };
        self
    }

    /// The name that nodes' certificates must be for, instead of `starling-node`.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.authority_name = Some(name.into());
        self
    }

    /// Accepts any certificate from anywhere: whoever sits between this machine and the cluster can read and
    /// change everything.
    pub fn danger_accept_any(mut self) -> Self {
        self.trust = Trust::Anyone;
        self
    }

    /// The datacenter whose nodes are asked first; that of the first contact to answer, by default.
    pub fn local_datacenter(mut self, name: impl Into<String>) -> Self {
        self.datacenter = Some(name.into());
        self
    }

    /// The keyspace of unqualified table names.
    pub fn keyspace(mut self, name: impl Into<String>) -> Self {
        self.keyspace = Some(name.into());
        self
    }

    /// The level of statements that have none of their own; `LOCAL_QUORUM` by default.
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.options.consistency = consistency;
        self
    }

    /// How long to wait for each answer, if the statement doesn't say.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// What to do when a request fails, if the statement doesn't say.
    pub fn retry(mut self, retry: impl RetryPolicy + 'static) -> Self {
        self.options.retry = Arc::new(retry);
        self
    }

    /// All defaults of statements at once.
    pub fn options(mut self, options: ExecutionOptions) -> Self {
        self.options = options;
        self
    }

    /// How many requests may be in flight to one node (at least 1; 4096 by default). One more is refused at
    /// once with [`ErrorKind::Overloaded`].
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests.max(1);
        self
    }

    /// How long to wait for a connection; 5 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How often the ring is learnt anew when nothing else asks for it; every 60 s by default.
    pub fn refresh_period(mut self, period: Duration) -> Self {
        self.refresh_period = period;
        self
    }

    /// Whether the session gives each write a timestamp by this machine's clock, microseconds that never repeat nor go back; off by default.
    ///
    /// With it, plain writes are [the same twice as once](ExecutionOptions::idempotent): a node that dies or falls silent with such a write
    /// does not fail it. The price: between several clients the later write then prevails only as far as their clocks agree, while
    /// the coordinators' stamps are in order of cause and effect whatever the clocks say.
    pub fn client_timestamps(mut self, stamps: bool) -> Self {
        self.stamps = stamps;
        self
    }

    /// Connects to the first contact that answers and learns the ring.
    pub async fn connect(self) -> Result<Session, Error> {
        let addresses = resolve(&self.contacts).await?;
        let trust = match (self.trust, self.authority_name) {
            (Trust::Authority { file, .. }, name) => Trust::Authority { file, name },
            (other, None) => other,
            (_, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "a server name is of no use without a CA file",
                ));
            }
        };
        let (events, first_listener) = broadcast::channel(EVENT_BACKLOG);
        let limits = Limits {
            in_flight: self.in_flight,
            timeout: self.connect_timeout,
        };
        let dialer = Arc::new(Dialer::new(Tls::new(trust)?, limits, events.clone()));
        let cluster = Cluster::connect(&addresses, dialer, self.datacenter, self.connect_timeout).await?;
        let refresher = Arc::clone(&cluster).keep_fresh(first_listener, self.refresh_period);
        Ok(Session::assemble(
            cluster,
            self.options,
            self.keyspace,
            events,
            refresher,
            self.stamps.then(Clock::default),
        ))
    }
}

/// The addresses of the contacts, names looked up. A name that can't be resolved is an error only if no
/// other contact can.
async fn resolve(contacts: &[String]) -> Result<Vec<SocketAddr>, Error> {
    let mut addresses = Vec::new();
    let mut failures = Vec::new();
    for contact in contacts {
        match tokio::net::lookup_host(with_port(contact)).await {
            Ok(found) => addresses.extend(found),
            Err(error) => failures.push(format!("'{contact}' is no contact: {error}")),
        }
    }
    addresses.dedup();
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    let message = if failures.is_empty() {
        "no contact was given".to_owned()
    } else {
        failures.join("; ")
    };
    Err(Error::new(ErrorKind::Config, message))
}

/// Adds the default port where there is none.
fn with_port(contact: &str) -> String {
    if let Ok(address) = contact.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        return SocketAddr::new(address, native::DEFAULT_PORT).to_string();
    }
    if contact.contains(':') {
        contact.to_owned()
    } else {
        format!("{contact}:{}", native::DEFAULT_PORT)
    }
}

#[cfg(test)]
mod tests {
    use super::with_port;

    #[test]
    fn contacts_get_the_default_port() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:7000"),
            ("127.0.0.1:7100", "127.0.0.1:7100"),
            ("::1", "[::1]:7000"),
            ("[::1]", "[::1]:7000"),
            ("[::1]:7100", "[::1]:7100"),
            ("db.example", "db.example:7000"),
            ("db.example:7100", "db.example:7100"),
        ];
        for (contact, expected) in cases {
            assert_eq!(with_port(contact), expected);
        }
    }
}
