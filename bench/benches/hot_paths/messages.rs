//! What nodes say to one another for a write and for a read: to bytes, and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use starling_model::{
    ClusteringRange, KeyRange, Limits, NodeId, Page, PartitionPage, ReadCommand, Seconds, Timestamp,
};
use starling_replication::{
    PeerRequest, PeerResponse,
    message::{Request, Response, WriteReason},
};

use crate::rows::{TABLE, key, mutation};

/// A request as a coordinator sends it.
fn request(body: Request) -> PeerRequest {
    PeerRequest {
        sender: NodeId(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
        ring: 0x0123_4567_89ab_cdef,
        epoch: 7,
        clock: Timestamp(1_700_000_000_000_000),
        deadline_ms: 2000,
        tracing: false,
        era: 1_700_000_000 << 24,
        body,
    }
}

fn answer(body: Response) -> PeerResponse {
    PeerResponse {
        sender: NodeId(0x0fed_cba9_8765_4321_0fed_cba9_8765_4321),
        clock: Timestamp(1_700_000_000_000_001),
        trace: Vec::new(),
        body,
    }
}

fn read(digest: bool) -> Request {
    Request::Read {
        command: ReadCommand {
            table: TABLE,
            keys: KeyRange::Partition(key(1)),
            slices: vec![ClusteringRange::ALL],
            reversed: false,
            after: None,
            limits: Limits::NONE,
            now: Seconds(1_700_000_000),
        },
        digest,
    }
}

fn page(rows: u64) -> Response {
    let part = |number| {
        let mutation = mutation(number);
        PartitionPage {
            key: mutation.key,
            partition: mutation.partition,
            cut: None,
        }
    };
    let page = Page {
        partitions: (0..rows).map(part).collect(),
        next: None,
    };
    Response::Page(page.encoded().into_bytes())
}

/// A write of one row, and the read of one: what a coordinator sends.
pub(crate) fn requests(criterion: &mut Criterion) {
    let write = Request::WriteStamped {
        mutations: vec![mutation(1).encode()],
        stamp: Timestamp(1_700_000_000_000_000),
    };
    let repair = Request::Write {
        mutations: (0..16).map(|number| mutation(number).encode()).collect(),
        reason: WriteReason::Repair,
    };
    let mut group = criterion.benchmark_group("peer_request");
    for (name, body) in [("write", write), ("repair_of_16", repair), ("read", read(false))] {
        let request = request(body);
        let bytes = request.encode();
        assert_eq!(PeerRequest::decode(bytes.clone()), Ok(request.clone()), "{name}");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{name}/encode"), |b| {
            b.iter(|| black_box(&request).encode_sharing());
        });
        group.bench_function(format!("{name}/decode"), |b| {
            b.iter(|| PeerRequest::decode(black_box(bytes.clone())).expect("it is a request"));
        });
    }
    group.finish();
}

/// What a replica answers: that it wrote, a page, or its digest.
pub(crate) fn answers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("peer_answer");
    let all = [
        ("done", Response::Done),
        ("page_of_1_row", page(1)),
        ("page_of_100_rows", page(100)),
        ("digest", Response::Digest(u128::MAX / 3)),
    ];
    for (name, body) in all {
        let answer = answer(body);
        let bytes = answer.encode();
        assert_eq!(PeerResponse::decode(bytes.clone()), Ok(answer.clone()), "{name}");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{name}/encode"), |b| {
            b.iter(|| black_box(&answer).encode_sharing());
        });
        group.bench_function(format!("{name}/decode"), |b| {
            b.iter(|| PeerResponse::decode(black_box(bytes.clone())).expect("it is an answer"));
        });
    }
    group.finish();
}
