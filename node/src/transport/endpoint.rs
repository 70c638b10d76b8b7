//! The settings of the QUIC endpoint.

use std::{net::SocketAddr, net::UdpSocket, sync::Arc, time::Duration};

use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use tracing::debug;

use super::{BindError, large::LARGE_STREAMS};
use crate::tls::Credentials;

/// Application error codes with which a connection is closed.
pub(super) const CLOSE_DONE: u32 = 0;
/// The node stops.
pub(super) const CLOSE_STOPPING: u32 = 1;
/// The other side broke the protocol.
pub(super) const CLOSE_PROTOCOL: u32 = 2;
/// A peer without a certificate, or an unknown application protocol.
pub(super) const CLOSE_UNAUTHORIZED: u32 = 3;

/// A peer connection that is idle sends something this often.
const KEEP_ALIVE: Duration = Duration::from_millis(400);
/// A peer that is silent this long is taken for dead: its calls fail as broken. A process that was killed
/// sends nothing more, and UDP does not tell.
const PEER_IDLE: Duration = Duration::from_secs(2);
/// A client that is silent this long is let go.
const CLIENT_IDLE: Duration = Duration::from_secs(30);
/// A first guess of the round trip, for a data centre rather than the Internet (RFC 9002 has 333 ms): lost
/// first packets are repeated sooner.
const INITIAL_RTT: Duration = Duration::from_millis(50);

/// Packets after which an acknowledgement is sent at once.
const ACK_EVERY: u32 = 16;
/// The longest that an acknowledgement waits.
const ACK_WITHIN: Duration = Duration::from_millis(5);

/// The largest packet (RFC 9000, section 14): each path is asked how much of it it takes. On loopback, and in networks with
/// large frames, fewer packets carry the same: twice the bytes a second. Ten of them, which QUIC hands to the system at a
/// time, have to fit into one datagram's 65,507 bytes.
const MAX_PACKET: u16 = 6500;
/// What the system may hold of what came and what is to be sent: a burst that finds no room is sent again.
const SOCKET_BYTES: usize = 4 << 20;

/// Connections that are being made at a time, and what they may buffer: garbage and floods stop here.
const MAX_INCOMING: usize = 256;
const INCOMING_BYTES: u64 = 16 << 10;
const INCOMING_BYTES_TOTAL: u64 = 2 << 20;

/// Streams that the other side may open: a peer its lanes and [`LARGE_STREAMS`], a client one or a few.
const MAX_BIDI_STREAMS: u32 = 2 + LARGE_STREAMS;
const MAX_UNI_STREAMS: u32 = 1 + LARGE_STREAMS;
/// What a stream may buffer while its receiver does not read it.
const STREAM_WINDOW: u32 = 1 << 20;
/// All streams together have all their windows: large messages that wait for room hold up nobody.
const CONNECTION_WINDOW: u32 = (MAX_BIDI_STREAMS + MAX_UNI_STREAMS) * STREAM_WINDOW;

/// Opens the endpoint on exactly this address.
pub(super) fn open(listen: SocketAddr, credentials: &Credentials) -> Result<Endpoint, BindError> {
    let mut server = ServerConfig::with_crypto(Arc::new(credentials.server()?));
    server.transport_config(Arc::new(transport(CLIENT_IDLE)));
    server.max_incoming(MAX_INCOMING);
    server.incoming_buffer_size(INCOMING_BYTES);
    server.incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    server.migration(false);
    let socket = UdpSocket::bind(listen)?;
    deepen(&socket);
    let mut config = EndpointConfig::new(Arc::new(credentials.reset_key()));
    // Fails only for less than 1200.
    let _ = config.max_udp_payload_size(MAX_PACKET);
    let key = credentials.connection_id_key();
    config.cid_generator(move || Box::new(connection_ids(key)));
    Ok(Endpoint::new(
        config,
        Some(server),
        socket,
        Arc::new(TokioRuntime),
    )?)
}

/// Has the system hold more of what comes than by default (some 200 KiB), as much as it is allowed to.
fn deepen(socket: &UdpSocket) {
    // Less is slower, and nothing worse.
    if let Err(error) = set_socket_recv_buffer_size(socket, SOCKET_BYTES)
        .and_then(|()| set_socket_send_buffer_size(socket, SOCKET_BYTES))
    {
        debug!(%error, "the socket's buffers stay as they are");
    }
}

/// The ids of a node's connections. With QUIC's own default, a random key in every process, a node that came back
/// would drop the packets of connections to its earlier process as garbage, and peers would wait for their idle
/// timeout before they call it again.
pub(super) fn connection_ids(key: u64) -> HashedConnectionIdGenerator {
    HashedConnectionIdGenerator::from_key(key)
}

/// The settings for connecting to peers.
pub(super) fn peer_config(credentials: &Credentials) -> Result<ClientConfig, BindError> {
    let mut config = ClientConfig::new(Arc::new(credentials.peer_client()?));
    let mut transport = transport(PEER_IDLE);
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Both sides announce an idle timeout and the shorter one holds: so peers' connections have the peers'.
fn transport(idle: Duration) -> TransportConfig {
    let mut packets = MtuDiscoveryConfig::default();
    packets.upper_bound(MAX_PACKET);
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(packets))
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_BIDI_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(ack_frequency()));
    config
}

/// How often packets are acknowledged (QUIC Acknowledgment Frequency, draft-ietf-quic-ack-frequency): answers carry
/// acknowledgements along, so that few need a packet of their own.
fn ack_frequency() -> AckFrequencyConfig {
    let mut config = AckFrequencyConfig::default();
    config
        .ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY))
        .max_ack_delay(Some(ACK_WITHIN));
    config
}
