//! Bytes of main messages. The requests are what the Python driver sends.

use starling_model::{Consistency, Timestamp};

use super::*;
use crate::{
    BatchEntry, BatchKind, BatchRequest, ColumnSpec, CqlType, Error, ErrorKind, FailureReason,
    PreparedMetadata, QueryParameters, ReplicaFailure, Rows, SchemaChange, SchemaTarget, Statement, Values,
    WriteType, request::Bound, result::ChangeKind,
};

fn bound(bytes: &'static [u8]) -> Bound {
    Bound::Value(Some(bytes.into()))
}

fn full_parameters() -> QueryParameters {
    QueryParameters {
        page_size: Some(100),
        paging_state: Some("ps".into()),
        timestamp: Some(Timestamp(12_345)),
        serial_consistency: Some(Consistency::LocalSerial),
        ..QueryParameters::with_consistency(Consistency::Quorum)
    }
}

fn execute_parameters() -> QueryParameters {
    QueryParameters {
        values: Values::Positional(vec![bound(b"a"), Bound::Value(None), Bound::Unset]),
        page_size: Some(10),
        timestamp: Some(Timestamp(5)),
        ..QueryParameters::with_consistency(Consistency::One)
    }
}

fn batch() -> BatchRequest {
    BatchRequest {
        kind: BatchKind::Logged,
        entries: vec![
            BatchEntry {
                statement: Statement::Text("INSERT 1".to_owned()),
                values: Values::Positional(vec![bound(b"x")]),
            },
            BatchEntry {
                statement: Statement::Prepared("id".into()),
                values: Values::Positional(vec![Bound::Value(None)]),
            },
        ],
        parameters: QueryParameters {
            timestamp: Some(Timestamp(9)),
            ..QueryParameters::with_consistency(Consistency::All)
        },
    }
}

fn prepare(keyspace: Option<&str>) -> Request {
    Request::Prepare {
        query: "SELECT ?".to_owned(),
        keyspace: keyspace.map(str::to_owned),
    }
}

fn query(parameters: QueryParameters) -> Request {
    let query = "SELECT 1".to_owned();
    Request::Query { query, parameters }
}

fn check_request(version: Version, request: Request, expected: &str) {
    let frame = RequestFrame::from(request);
    assert_eq!(hex(&encoded(version, 7, &frame)), expected);
    let envelopes = requests(&mut server(), &unhex(expected)).unwrap();
    let [envelope] = envelopes.try_into().unwrap();
    assert_eq!((envelope.stream, envelope.version), (7, version));
    assert_eq!(RequestFrame::decode(envelope).unwrap(), frame);
}

#[test]
fn requests_of_version_4() {
    let v4 = Version::V4;
    check_request(v4, Request::Options, "040000070500000000");
    let options = [("COMPRESSION", "lz4"), ("CQL_VERSION", "3.4.5")];
    check_request(
        v4,
        Request::Startup(options.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec()),
        "0400000701000000280002000b434f4d5052455353494f4e00036c7a34000b43514c5f56455253494f4e0005332e342e35",
    );
    check_request(
        v4,
        query(full_parameters()),
        "0400000707000000230000000853454c454354203100043c0000006400000002707300090000000000003039",
    );
    check_request(v4, prepare(None), "04000007090000000c0000000853454c454354203f");
    check_request(
        v4,
        Request::Execute {
            id: "id".into(),
            result_id: None,
            parameters: execute_parameters(),
        },
        "040000070a000000220002696400012500030000000161fffffffffffffffe0000000a0000000000000005",
    );
    check_request(
        v4,
        Request::Batch(batch()),
        "040000070d0000002d0000020000000008494e5345525420310001000000017801000269640001ffffffff\
         0005200000000000000009",
    );
    check_request(
        v4,
        Request::Register(vec![EventKind::StatusChange, EventKind::SchemaChange]),
        "040000070b000000200002000d5354415455535f4348414e4745000d534348454d415f4348414e4745",
    );
}

#[test]
fn requests_of_version_5() {
    let v5 = Version::V5;
    check_request(
        v5,
        query(full_parameters()),
        "0500000707000000260000000853454c454354203100040000003c0000006400000002707300090000000000003039",
    );
    check_request(
        v5,
        query(QueryParameters {
            keyspace: Some("ks".to_owned()),
            ..QueryParameters::with_consistency(Consistency::One)
        }),
        "0500000707000000160000000853454c454354203100010000008000026b73",
    );
    check_request(
        v5,
        prepare(None),
        "0500000709000000100000000853454c454354203f00000000",
    );
    check_request(
        v5,
        prepare(Some("ks")),
        "0500000709000000140000000853454c454354203f0000000100026b73",
    );
    check_request(
        v5,
        Request::Execute {
            id: "id".into(),
            result_id: Some("rid".into()),
            parameters: execute_parameters(),
        },
        "050000070a0000002a00026964000372696400010000002500030000000161fffffffffffffffe\
         0000000a0000000000000005",
    );
    check_request(
        v5,
        Request::Batch(batch()),
        "050000070d000000300000020000000008494e5345525420310001000000017801000269640001ffffffff\
         0005000000200000000000000009",
    );
}

fn check_response(version: Version, frame: &ResponseFrame, expected: &str) {
    let bytes = answered(version, 3, frame);
    assert_eq!(hex(&bytes), hex(&unhex(expected)));
    let envelopes = requests(&mut client(), &bytes).unwrap();
    let [envelope] = envelopes.try_into().unwrap();
    assert_eq!(ResponseFrame::decode(envelope).unwrap(), *frame);
}

fn column(name: &str, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: "k".to_owned(),
        table: "t".to_owned(),
        name: name.to_owned(),
        cql_type,
    }
}

fn rows(paging_state: Option<&'static str>) -> Rows {
    Rows {
        columns: [column("a", CqlType::Int), column("b", CqlType::Text)].into(),
        rows: vec![vec![Some(vec![0, 0, 0, 1].into()), None]],
        paging_state: paging_state.map(Into::into),
    }
}

#[test]
fn handshake_responses() {
    check_response(Version::V4, &Response::Ready.into(), "84 00 0003 02 00000000");
    check_response(
        Version::V5,
        &Response::Supported(vec![("COMPRESSION".to_owned(), vec!["lz4".to_owned()])]).into(),
        "85 00 0003 06 00000016 0001 000b 434f4d5052455353494f4e 0001 0003 6c7a34",
    );
    check_response(
        Version::V5,
        &Error::new(ErrorKind::Protocol, "no").into(),
        "85 00 0003 00 00000008 0000000a 0002 6e6f",
    );
}

#[test]
fn rows_with_and_without_metadata() {
    let body = RowsBody {
        rows: rows(Some("p")),
        skip_metadata: false,
        new_metadata_id: None,
    };
    check_response(
        Version::V4,
        &Response::Result(ResultBody::Rows(body)).into(),
        "84 00 0003 08 00000031 00000002 00000003 00000002 00000001 70 0001 6b 0001 74 \
         0001 61 0009 0001 62 000d 00000001 00000004 00000001 ffffffff",
    );
    let changed = RowsBody {
        rows: rows(None),
        skip_metadata: false,
        new_metadata_id: Some("i".into()),
    };
    check_response(
        Version::V5,
        &Response::Result(ResultBody::Rows(changed)).into(),
        "85 00 0003 08 0000002f 00000002 00000009 00000002 0001 69 0001 6b 0001 74 \
         0001 61 0009 0001 62 000d 00000001 00000004 00000001 ffffffff",
    );
    let mut skipped = rows(None);
    let body = RowsBody {
        rows: skipped.clone(),
        skip_metadata: true,
        new_metadata_id: None,
    };
    let bytes = answered(Version::V4, 3, &Response::Result(ResultBody::Rows(body)).into());
    let expected = "84 00 0003 08 0000001c 00000002 00000004 00000002 00000001 00000004 00000001 ffffffff";
    assert_eq!(hex(&bytes), hex(&unhex(expected)));
    let [envelope] = requests(&mut client(), &bytes).unwrap().try_into().unwrap();
    skipped.columns = [].into();
    let body = RowsBody {
        rows: skipped,
        skip_metadata: true,
        new_metadata_id: None,
    };
    assert_eq!(
        ResponseFrame::decode(envelope).unwrap().response,
        Response::Result(ResultBody::Rows(body))
    );
}

#[test]
fn prepared() {
    let prepared = PreparedMetadata {
        id: "id".into(),
        result_id: "r".into(),
        markers: vec![column("a", CqlType::Int)],
        partition_key: vec![0],
        columns: Vec::new(),
    };
    check_response(
        Version::V5,
        &Response::Result(ResultBody::Prepared(prepared)).into(),
        "85 00 0003 08 0000002c 00000004 0002 6964 0001 72 \
         00000001 00000001 00000001 0000 0001 6b 0001 74 0001 61 0009 00000004 00000000",
    );
}

#[test]
fn trace_and_warnings_precede_the_result() {
    let frame = ResponseFrame {
        trace: Some(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        warnings: vec!["w".to_owned()],
        custom_payload: Vec::new(),
        response: Response::Result(ResultBody::Void),
    };
    check_response(
        Version::V4,
        &frame,
        "84 0a 0003 08 00000019 00112233445566778899aabbccddeeff 0001 0001 77 00000001",
    );
}

#[test]
fn events() {
    check_response(
        Version::V4,
        &Response::Event(Event::Status {
            change: StatusChange::Down,
            address: "127.0.0.2:9042".parse().unwrap(),
        })
        .into(),
        "84 00 0003 0c 0000001e 000d 5354415455535f4348414e4745 0004 444f574e 04 7f000002 00002352",
    );
    check_response(
        Version::V5,
        &Response::Event(Event::Schema(SchemaChange {
            change: ChangeKind::Created,
            keyspace: "k".to_owned(),
            target: SchemaTarget::Table("t".to_owned()),
        }))
        .into(),
        "85 00 0003 0c 00000025 000d 534348454d415f4348414e4745 0007 43524541544544 0005 5441424c45 \
         0001 6b 0001 74",
    );
}

#[test]
fn failures_are_counted_in_4_and_mapped_in_5() {
    let error = Error::new(
        ErrorKind::WriteFailure {
            consistency: Consistency::Quorum,
            received: 1,
            required: 2,
            failures: 2,
            reasons: vec![
                ReplicaFailure {
                    address: "10.1.2.3".parse().unwrap(),
                    reason: FailureReason::IncompatibleSchema,
                },
                ReplicaFailure {
                    address: "::1".parse().unwrap(),
                    reason: FailureReason::NodeDown,
                },
            ],
            write_type: WriteType::Simple,
        },
        "f",
    );
    let mut unnamed = error.clone();
    if let ErrorKind::WriteFailure { reasons, .. } = &mut unnamed.kind {
        reasons.clear();
    }
    check_response(
        Version::V4,
        &unnamed.into(),
        "84 00 0003 00 0000001d 00001500 0001 66 0004 00000001 00000002 00000002 0006 53494d504c45",
    );
    check_response(
        Version::V5,
        &error.into(),
        "85 00 0003 00 00000037 00001500 0001 66 0004 00000001 00000002 \
         00000002 04 0a010203 0003 10 00000000000000000000000000000001 0005 0006 53494d504c45",
    );
}

#[test]
fn a_duration_is_a_custom_type_in_version_4() {
    let rows = Rows {
        columns: [column("d", CqlType::Duration)].into(),
        rows: Vec::new(),
        paging_state: None,
    };
    let frame: ResponseFrame = Response::Result(crate::QueryResult::Rows(rows).into()).into();
    let v4 = hex(&answered(Version::V4, 0, &frame));
    assert!(
        v4.contains(&hex(
            b"\x00\x00\x00\x2corg.apache.cassandra.db.marshal.DurationType"
        )),
        "{v4}"
    );
    let v5 = hex(&answered(Version::V5, 0, &frame));
    assert!(v5.ends_with("001500000000"), "{v5}");
}
