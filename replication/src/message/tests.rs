use std::net::SocketAddr;

use bytes::Bytes;
use starling_model::{
    Clustering, DecoratedKey, Deletion, Page, Partition, PartitionPage, Position, Row, Seconds, Timestamp,
    Token,
};

use super::*;

fn request(body: Request) -> PeerRequest {
    PeerRequest {
        sender: NodeId(7),
        ring: 3,
        epoch: 4,
        clock: Timestamp(1_700_000_000_000_000),
        deadline_ms: 2_000,
        tracing: true,
        era: 5,
        body,
    }
}

fn key(token: i64) -> DecoratedKey {
    DecoratedKey {
        token: Token(token),
        key: Bytes::from(token.to_be_bytes().to_vec()),
    }
}

#[test]
fn large_parts_are_shared_and_the_bytes_are_the_same() {
    let large = Bytes::from(vec![7; 1 << 20]);
    let small = Bytes::from_static(b"small");
    let write = |mutations| {
        request(Request::Write {
            mutations,
            reason: WriteReason::Client,
        })
    };
    for mutations in [
        vec![],
        vec![small.clone()],
        vec![large.clone()],
        vec![large.clone(), large.clone()],
        vec![small.clone(), large.clone(), small, large.slice(1..)],
    ] {
        let shared = mutations.iter().filter(|part| part.len() > 1000).count();
        let request = write(mutations);
        let pieces = request.encode_sharing();
        assert_eq!(pieces.len(), request.encode().len());
        let same = |piece: &&Bytes| {
            let start = large.as_ptr() as usize;
            (start..start + large.len()).contains(&(piece.as_ptr() as usize))
        };
        assert_eq!(pieces.rest.iter().filter(same).count(), shared);
        assert_eq!(pieces.into_bytes(), request.encode());
        assert_eq!(PeerRequest::decode(request.encode()), Ok(request));
    }
}

fn digest(page: &Page) -> u128 {
    page_digest(&page.encoded().into_bytes())
}

fn page() -> Page {
    let mut partition = Partition::default();
    partition.add_row(
        Clustering(Bytes::from_static(b"@a")),
        Row {
            deletion: Some(Deletion {
                timestamp: Timestamp(5),
                at: Seconds(6),
            }),
            ..Row::default()
        },
    );
    Page {
        partitions: vec![PartitionPage {
            key: key(4),
            partition,
            cut: Some(Clustering(Bytes::from_static(b"@a"))),
        }],
        next: Some(Position {
            key: key(4),
            clustering: Some(Clustering(Bytes::from_static(b"@a"))),
            rows: 1,
        }),
    }
}

#[test]
fn every_kind_of_request_comes_back_as_it_went() {
    let address = SocketAddr::from(([127, 0, 0, 2], 7000));
    let bodies = [
        Request::Gossip {
            reply_to: address,
            message: Bytes::from_static(b"gossip"),
        },
        Request::Join(JoinRequest {
            cluster: "c".into(),
            partitioner: "p".into(),
            id: NodeId(9),
        }),
        Request::Write {
            mutations: vec![Bytes::from_static(&[0, 1, 255])],
            reason: WriteReason::Hint,
        },
        Request::ForgetHints {
            table: TableId(u128::MAX),
            id: 1 << 99,
        },
        Request::Truncate {
            table: TableId(u128::MAX),
            id: 1 << 99,
            eras: vec![(NodeId(9), 1 << 55)],
        },
        Request::Truncated {
            table: TableId(u128::MAX),
            id: 1 << 99,
        },
        Request::SchemaPush(Bytes::new()),
        Request::SchemaPull,
        Request::Ping,
        Request::Topology(TopologyRequest::Pull),
        Request::Topology(TopologyRequest::Push(Bytes::from_static(&[1, 2]))),
        Request::Topology(TopologyRequest::Fetch(1 << 90)),
        Request::BatchStore {
            id: 1 << 100,
            mutations: Vec::new(),
        },
        Request::BatchRemove(2),
        Request::Trace(TraceQuery::Session(5)),
    ];
    for body in bodies {
        let request = request(body);
        assert_eq!(PeerRequest::decode(request.encode()), Ok(request));
    }
}

#[test]
fn mutations_travel_as_they_are() {
    let payload = Bytes::from(vec![0xC3; 10_000]);
    let encoded = request(Request::Write {
        mutations: vec![payload.clone()],
        reason: WriteReason::Client,
    })
    .encode();
    assert!(
        encoded.len() < payload.len() + 100,
        "a byte string costs its length"
    );
}

#[test]
fn pages_come_back_and_equal_pages_have_equal_digests() {
    let page = page();
    assert_eq!(Page::decode(page.encoded().into_bytes()), Ok(page.clone()));
    let mut other = page.clone();
    assert_eq!(digest(&page), digest(&other));
    other.next = None;
    assert_ne!(digest(&page), digest(&other));
}

#[test]
fn every_truncation_is_an_error() {
    let whole = request(Request::Join(JoinRequest {
        cluster: "cluster".into(),
        partitioner: "p".into(),
        id: NodeId(9),
    }))
    .encode();
    for end in 0..whole.len() {
        assert!(PeerRequest::decode(whole.slice(..end)).is_err(), "cut at {end}");
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    assert!(PeerRequest::decode(longer.into()).is_err());
    let page = page().encoded().into_bytes();
    for end in 0..page.len() {
        assert!(Page::decode(page.slice(..end)).is_err(), "cut at {end}");
    }
}

/// What a later release may ask for.
#[derive(Serialize)]
enum Later {
    Wish,
    Damage(LaterDamage),
    Truncate { table: TableId, softly: bool },
}

#[derive(Serialize)]
enum LaterDamage {
    Mend(Vec<TokenRange>),
}

fn encoded_with<T: Serialize>(body: T) -> Bytes {
    let envelope = (NodeId(7), 3u64, 4u64, Timestamp(5), 2_000u32, false, 6u64, body);
    let mut bytes = VERSION.to_be_bytes().to_vec();
    rmp_serde::encode::write(&mut bytes, &envelope).expect("it can be encoded");
    bytes.into()
}

#[test]
fn what_a_later_release_asks_for_is_told_from_what_is_malformed() {
    let known = PeerRequest::decode(encoded_with(Request::Ping));
    assert_eq!(known.map(|request| request.body), Ok(Request::Ping));
    let unknown = |bytes: Bytes| match PeerRequest::decode(bytes) {
        Err(MessageError::Unknown(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert!(unknown(encoded_with(Later::Wish)).contains("Wish"));
    let table = TableId(1);
    unknown(encoded_with(Later::Truncate { table, softly: true }));
    let mend = encoded_with(Later::Damage(LaterDamage::Mend(Vec::new())));
    assert!(unknown(mend.clone()).contains("Mend"));
    // Little is said, whatever it is called.
    assert!(unknown(encoded_with("x".repeat(1 << 20))).len() <= 4 * MAX_PROBLEM);

    let malformed = |bytes: Vec<u8>| match PeerRequest::decode(bytes.into()) {
        Err(MessageError::Malformed(_)) => {}
        other => panic!("{other:?}"),
    };
    for end in 2..mend.len() {
        malformed(mend[..end].to_vec());
    }
    malformed([&mend[..], &[0]].concat());
    // The envelope of neither release.
    malformed([&VERSION.to_be_bytes()[..], &[0x91, 0xA4], b"Wish"].concat());
    // A body that nests too deep, and ends.
    let mut deep = encoded_with(()).to_vec();
    assert_eq!(deep.pop(), Some(0xC0), "an empty body");
    deep.extend(std::iter::repeat_n(0x91, 100_000));
    deep.push(0xC0);
    malformed(deep);
}

#[test]
fn other_versions_and_monsters_are_refused() {
    let mut bytes = request(Request::SchemaPull).encode().to_vec();
    bytes[1] = 99;
    assert_eq!(PeerRequest::decode(bytes.into()), Err(MessageError::Version(99)));
    assert_eq!(
        PeerRequest::decode(vec![0; MAX_MESSAGE_BYTES + 1].into()),
        Err(MessageError::TooLong(MAX_MESSAGE_BYTES + 1))
    );
    // An array that claims four billion elements must not be believed.
    let mut liar = VERSION.to_be_bytes().to_vec();
    liar.extend_from_slice(&[0xDD, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(PeerResponse::decode(liar.into()).is_err());
    // A thousand nested arrays.
    let mut deep = VERSION.to_be_bytes().to_vec();
    deep.extend(std::iter::repeat_n(0x91, 100_000));
    assert!(PeerRequest::decode(deep.into()).is_err());
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = Page::decode(bytes.clone().into());
        bytes.splice(0..0, VERSION.to_be_bytes());
        let _ = PeerRequest::decode(bytes.clone().into());
        let _ = PeerResponse::decode(bytes.into());
    }
}
