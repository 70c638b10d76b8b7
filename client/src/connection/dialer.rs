//! Makes connections: endpoints, handshakes, time limits.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use quinn::{ClientConfig, Endpoint, TransportConfig};
use starling_cql::native::Event;
use tokio::{sync::broadcast, time};

use super::{Connection, silence::KEEP_ALIVE};
use crate::{
    error::{Error, ErrorKind},
    tls::Tls,
};

/// A connection on which nothing comes for this long is dead.
const IDLE: Duration = Duration::from_millis(2500);

/// What one connection may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Requests in flight.
    pub(crate) in_flight: usize,
    /// For connecting, and for the greeting.
    pub(crate) timeout: Duration,
}

/// Connects to nodes, over one socket for each address family.
#[derive(Debug)]
pub(crate) struct Dialer {
    tls: Tls,
    config: ClientConfig,
    limits: Limits,
    events: broadcast::Sender<Event>,
    v4: Mutex<Option<Endpoint>>,
    v6: Mutex<Option<Endpoint>>,
}

impl Dialer {
    pub(crate) fn new(tls: Tls, limits: Limits, events: broadcast::Sender<Event>) -> Self {
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IDLE.try_into().expect("a short time fits")))
            .keep_alive_interval(Some(KEEP_ALIVE))
            // The node has no reason to open streams.
            .max_concurrent_bidi_streams(0u32.into())
            .max_concurrent_uni_streams(0u32.into());
        let mut config = ClientConfig::new(tls.crypto());
        config.transport_config(Arc::new(transport));
        Self {
            tls,
            config,
            limits,
            events,
            v4: Mutex::new(None),
            v6: Mutex::new(None),
        }
    }

    /// A fresh connection, greeting included. Nothing was asked of the node yet.
    pub(crate) async fn dial(&self, address: SocketAddr) -> Result<Connection, Error> {
        let timeout = self.limits.timeout;
        match time::timeout(timeout, self.handshake(address)).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Connection,
                format!("{address} did not answer within {timeout:?}; is a node listening there?"),
            )),
        }
    }

    async fn handshake(&self, address: SocketAddr) -> Result<Connection, Error> {
        let name = self.tls.server_name(address)?;
        let endpoint = self.endpoint(address)?;
        let refused = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Connection,
                format!("no connection to {address}: {error}"),
            )
        };
        let quic = endpoint
            .connect_with(self.config.clone(), address, &name)
            .map_err(|error| refused(&error).with_source(error))?
            .await
            .map_err(|error| refused(&error).with_source(error))?;
        let streams = quic
            .open_bi()
            .await
            .map_err(|error| refused(&error).with_source(error))?;
        Connection::start(address, quic, streams, self.limits, self.events.clone())
            .await
            .map_err(|error| error.with_outcome(crate::Outcome::NotApplied))
    }

    fn endpoint(&self, address: SocketAddr) -> Result<Endpoint, Error> {
        let (slot, any): (_, SocketAddr) = if address.is_ipv4() {
            (&self.v4, (Ipv4Addr::UNSPECIFIED, 0).into())
        } else {
            (&self.v6, (Ipv6Addr::UNSPECIFIED, 0).into())
        };
        let mut slot = slot.lock();
        if let Some(endpoint) = &*slot {
            return Ok(endpoint.clone());
        }
        let endpoint = Endpoint::client(any).map_err(|error| {
            Error::new(
                ErrorKind::Connection,
                format!("no UDP socket can be opened: {error}"),
            )
            .with_source(error)
        })?;
        *slot = Some(endpoint.clone());
        Ok(endpoint)
    }
}
