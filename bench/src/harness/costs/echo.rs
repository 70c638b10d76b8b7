//! What a transport itself takes for a question and its answer: a bare echo on this machine, one in flight.
//!
//! Whoever asks and whoever answers have a thread each. A frame is as long as a small request. Nothing is parsed, looked up or
//! written: what a server needs beyond that is its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::{bootstrap::transport, error::Error};

/// Bytes of a frame, either way.
const FRAME: usize = 100;

/// Rounds that are not counted: connections are new, and caches cold.
const WARM_UP: u32 = 200;

/// The longest round that is told apart, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// The median of a bare echo over TCP, in microseconds, measured for so long.
///
/// # Errors
/// The system gives no sockets.
pub fn tcp(time: Duration) -> Result<f64, Error> {
    let (tell, told) = mpsc::channel();
    let echo = thread::spawn(move || -> Result<(), Error> {
        runtime()?.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            // Whoever asked is told, or has failed.
            let _ = tell.send(listener.local_addr()?);
            let (mut socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let (mut from, mut to) = socket.split();
            answer(&mut from, &mut to).await;
            Ok(())
        })
    });
    let address = address(&told)?;
    let median = runtime()?.block_on(async {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (mut from, mut to) = socket.split();
        ask(&mut from, &mut to, time).await
    })?;
    echo.join().map_err(|_| failed("the echo panicked"))??;
    Ok(median)
}

/// The same over QUIC, with the cipher and the packets that nodes have: one stream, which stays open.
///
/// # Errors
/// The system gives no sockets.
pub fn quic(time: Duration) -> Result<f64, Error> {
    let (server, client) = transport::settings()?;
    let (tell, told) = mpsc::channel();
    let echo = thread::spawn(move || -> Result<(), Error> {
        runtime()?.block_on(async {
            let endpoint = transport::endpoint(Some(server))?;
            // Whoever asked is told, or has failed.
            let _ = tell.send(endpoint.local_addr()?);
            let incoming = endpoint.accept().await.ok_or_else(|| failed("no connection"))?;
            let connection = incoming.await.map_err(|error| failed(&error))?;
            let (mut to, mut from) = connection.accept_bi().await.map_err(|error| failed(&error))?;
            answer(&mut from, &mut to).await;
            Ok(())
        })
    });
    let address = address(&told)?;
    let median = runtime()?.block_on(async {
        let endpoint = transport::endpoint(None)?;
        let connecting = endpoint.connect_with(client, address, transport::NAME);
        let connection = connecting.map_err(|error| failed(&error))?.await;
        let connection = connection.map_err(|error| failed(&error))?;
        let (mut to, mut from) = connection.open_bi().await.map_err(|error| failed(&error))?;
        let median = ask(&mut from, &mut to, time).await?;
        connection.close(0_u32.into(), b"");
        endpoint.wait_idle().await;
        Ok::<f64, Error>(median)
    })?;
    echo.join().map_err(|_| failed("the echo panicked"))??;
    Ok(median)
}

/// Sends back what comes until nothing comes any more.
async fn answer(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let mut frame = [0; FRAME];
    while from.read_exact(&mut frame).await.is_ok() && to.write_all(&frame).await.is_ok() {}
}

/// Sends a frame, waits for it, and so on. Gives the median of a round in microseconds.
async fn ask(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    time: Duration,
) -> Result<f64, Error> {
    let mut rounds: Histogram<u64> =
        Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are constants that the crate accepts");
    let end = Instant::now() + time;
    let mut frame = [0; FRAME];
    let mut number = 0_u32;
    while rounds.is_empty() || Instant::now() < end {
        let sent = number.to_be_bytes();
        frame[..4].copy_from_slice(&sent);
        let began = Instant::now();
        to.write_all(&frame).await?;
        from.read_exact(&mut frame).await?;
        let took = began.elapsed();
        if frame[..4] != sent {
            return Err(failed("another frame came back"));
        }
        if number >= WARM_UP {
            rounds.saturating_record(took.as_nanos() as u64);
        }
        number = number.wrapping_add(1).max(1);
    }
    Ok(rounds.value_at_quantile(0.5) as f64 / 1000.0)
}

fn runtime() -> Result<Runtime, Error> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn address(told: &mpsc::Receiver<SocketAddr>) -> Result<SocketAddr, Error> {
    told.recv().map_err(|_| failed("it does not listen"))
}

fn failed(why: impl std::fmt::Display) -> Error {
    Error::Connection(format!("the bare echo: {why}"))
}
