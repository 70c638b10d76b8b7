//! Frames between nodes: messages that wait together leave in few pieces, and are cut apart again.

use std::{hint::black_box, net::SocketAddr};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use quinn::{Connection, Endpoint};
use starling::transport::frame::{self, Frame, FrameReader};
use starling_bench::bootstrap::transport;
use starling_cql::native;
use tokio::sync::mpsc;

/// Frames that leave together.
const FRAMES: u64 = 64;

/// Bytes of a message: about a small write.
const MESSAGE_BYTES: usize = 250;

/// The longest frame that is read.
const LIMIT: usize = 64 << 10;

fn frames() -> Vec<Frame> {
    let message = Bytes::from(vec![7; MESSAGE_BYTES]);
    let frame = |id| Frame {
        id,
        payload: message.clone().into(),
    };
    (1..=FRAMES).map(frame).collect()
}

/// Frames into what a stream takes, without the stream.
pub(crate) fn batch(criterion: &mut Criterion) {
    let mut chunks = Vec::new();
    frame::lay_out(frames().into_iter(), &mut chunks);
    let bytes: usize = chunks.iter().map(Bytes::len).sum();
    let expected = FRAMES as usize * (native::HEADER_BYTES + MESSAGE_BYTES);
    assert_eq!((chunks.len(), bytes), (1, expected), "all are in one piece");
    let mut group = criterion.benchmark_group("peer_frames");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("lay_out_64", |b| {
        b.iter_batched(
            frames,
            |frames| {
                chunks.clear();
                frame::lay_out(black_box(frames).into_iter(), &mut chunks);
                chunks.len()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Two ends of a connection on this machine, with the nodes' cipher and packets.
async fn connect() -> (Endpoint, Connection, Endpoint, Connection) {
    let (server, client) = transport::settings().expect("certificates are made");
    let there = transport::endpoint(Some(server)).expect("a socket");
    let here = transport::endpoint(None).expect("a socket");
    let to: SocketAddr = there.local_addr().expect("it is bound");
    let connecting = here
        .connect_with(client, to, transport::NAME)
        .expect("the settings fit");
    let accepted = async { there.accept().await.expect("somebody connects").await };
    let (near, far) = tokio::join!(connecting, accepted);
    (
        here,
        near.expect("it connects"),
        there.clone(),
        far.expect("it connects"),
    )
}

/// The same through QUIC: 64 frames are written as nodes write them, and read at the other end. One thread does both.
pub(crate) fn quic(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (_here, near, _there, far) = runtime.block_on(connect());
    let (queue, mut waiting) = mpsc::channel(FRAMES as usize);
    let mut frames_in = runtime.block_on(async {
        let (mut send, _answers) = near.open_bi().await.expect("a stream");
        tokio::spawn(async move {
            // Ends with the queue.
            let _ = frame::write(&mut send, &mut waiting, |_| (), None).await;
        });
        queue.send(frames().remove(0)).await.expect("it is written");
        let (_send, receive) = far.accept_bi().await.expect("the other end");
        let mut frames = FrameReader::new(receive, LIMIT);
        let first = frames.next().await.expect("it is whole").expect("there is one");
        assert_eq!((first.id, first.payload.len()), (1, MESSAGE_BYTES));
        frames
    });
    let mut group = criterion.benchmark_group("peer_frames");
    group.throughput(Throughput::Elements(FRAMES));
    group.bench_function("quic_64", |b| {
        b.iter(|| {
            runtime.block_on(async {
                for frame in frames() {
                    queue.send(frame).await.expect("it is written");
                }
                for id in 1..=FRAMES {
                    let received = frames_in.next().await.expect("it is whole");
                    assert_eq!(received.expect("there is one").id, id, "in their order");
                }
            });
        });
    });
    group.finish();
}
