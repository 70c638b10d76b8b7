//! What the transport carries when there is nothing else to do: QUIC between two endpoints of this process.
//!
//! Sender and receiver have two threads each, as two nodes of this machine have, the cipher that nodes choose, and messages
//! as long as the pieces of a stream, on as many streams. Nothing is read from a disk, checked or written.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::runtime::Runtime;

use crate::error::Error;

/// How often it is measured: the median counts.
const RUNS: usize = 3;

/// Bytes of a message.
const MESSAGE: usize = 1 << 20;

/// Messages on their way at a time.
const STREAMS: u32 = 8;

/// The largest packet, as nodes have it.
const PACKET: u16 = 6500;

/// What the socket may hold, as nodes have it.
const SOCKET_BYTES: usize = 4 << 20;

/// For whom the certificate is.
pub const NAME: &str = "probe";

/// Bytes a second, of so many bytes.
pub(super) fn rate(bytes: u64) -> Result<f64, Error> {
    let mut rates = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        rates.push(run(bytes)?);
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[RUNS / 2])
}

fn run(bytes: u64) -> Result<f64, Error> {
    let (server, client) = settings()?;
    let (tell, told) = mpsc::channel();
    let sender = thread::spawn(move || -> Result<(), Error> {
        runtime()?.block_on(async {
            let endpoint = endpoint(Some(server))?;
            // Whoever asked is told, or has failed.
            let _ = tell.send(endpoint.local_addr()?);
            let incoming = endpoint.accept().await.ok_or_else(|| failed(&"no connection"))?;
            let connection = incoming.await.map_err(|error| failed(&error))?;
            send(&connection, bytes).await?;
            connection.close(VarInt::from_u32(0), b"");
            endpoint.wait_idle().await;
            Ok(())
        })
    });
    let address = told.recv().map_err(|error| failed(&error))?;
    let rate = runtime()?.block_on(receive(client, address))?;
    sender.join().map_err(|_| failed(&"the sender panicked"))??;
    Ok(rate)
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// Sends messages, each on a stream of its own, a few at a time.
async fn send(connection: &Connection, bytes: u64) -> Result<(), Error> {
    let message = Bytes::from(vec![0xA5; MESSAGE]);
    let messages = bytes.div_ceil(MESSAGE as u64);
    let lanes = (0..u64::from(STREAMS)).map(|lane| {
        let (connection, message) = (connection.clone(), message.clone());
        tokio::spawn(async move {
            for _ in (lane..messages).step_by(STREAMS as usize) {
                let mut stream = connection.open_uni().await.map_err(|error| failed(&error))?;
                let written = stream.write_chunk(message.clone()).await;
                written.map_err(|error| failed(&error))?;
                stream.finish().map_err(|error| failed(&error))?;
                stream.stopped().await.map_err(|error| failed(&error))?;
            }
            Ok::<(), Error>(())
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.map_err(|error| failed(&error))??;
    }
    Ok(())
}

/// Takes all there is; returns how many bytes a second that was.
async fn receive(config: ClientConfig, address: SocketAddr) -> Result<f64, Error> {
    let endpoint = endpoint(None)?;
    let connecting = endpoint.connect_with(config, address, NAME);
    let connecting = connecting.map_err(|error| failed(&error))?;
    let connection = connecting.await.map_err(|error| failed(&error))?;
    let started = Instant::now();
    let mut streams = Vec::new();
    // The end of the connection is the end of the bytes.
    while let Ok(mut stream) = connection.accept_uni().await {
        streams.push(tokio::spawn(async move {
            let mut bytes = 0;
            while let Ok(Some(chunk)) = stream.read_chunk(MESSAGE, true).await {
                bytes += chunk.bytes.len();
            }
            bytes
        }));
    }
    let took = started.elapsed();
    let mut bytes = 0;
    for stream in streams {
        bytes += stream.await.map_err(|error| failed(&error))?;
    }
    Ok(bytes as f64 / took.as_secs_f64().max(1e-9))
}

/// A socket of this machine, with the packets that nodes send.
///
/// # Errors
/// The system gives none.
pub fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint, Error> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BYTES).map_err(io::Error::from)?;
    rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BYTES).map_err(io::Error::from)?;
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(PACKET)
        .map_err(|error| failed(&error))?;
    Ok(Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?)
}

/// For a sender and a receiver that trust a certificate made for this.
///
/// # Errors
/// The certificate, or the settings, can't be made.
pub fn settings() -> Result<(ServerConfig, ClientConfig), Error> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(|error| failed(&error))?;
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let provider = Arc::new(provider);
    let versions = &[&rustls::version::TLS13];
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![certificate.clone()], key)
        });
    let server = QuicServerConfig::try_from(server.map_err(|error| failed(&error))?);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).map_err(|error| failed(&error))?;
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
    let client = QuicClientConfig::try_from(client.map_err(|error| failed(&error))?);
    let mut server = ServerConfig::with_crypto(Arc::new(server.map_err(|error| failed(&error))?));
    let mut client = ClientConfig::new(Arc::new(client.map_err(|error| failed(&error))?));
    let transport = Arc::new(transport());
    server.transport_config(Arc::clone(&transport));
    client.transport_config(transport);
    Ok((server, client))
}

fn transport() -> TransportConfig {
    let mut packets = MtuDiscoveryConfig::default();
    packets.upper_bound(PACKET);
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements
        .ack_eliciting_threshold(VarInt::from_u32(16))
        .max_ack_delay(Some(Duration::from_millis(5)));
    let window = STREAMS * MESSAGE as u32;
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(packets))
        .ack_frequency_config(Some(acknowledgements))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        .stream_receive_window(VarInt::from_u32(MESSAGE as u32))
        .receive_window(VarInt::from_u32(window))
        .send_window(u64::from(window));
    config
}

fn failed(why: &dyn std::fmt::Display) -> Error {
    Error::Connection(format!("the transport's probe: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_carries_what_it_is_told_to() {
        assert!(run(3 * MESSAGE as u64).unwrap() > 0.0);
    }
}
