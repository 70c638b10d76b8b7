//! Strategies for messages.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use starling_model::{Consistency, Timestamp};

use super::*;
use crate::{
    BatchEntry, BatchKind, BatchRequest, ColumnSpec, CqlType, Error, ErrorKind, FailureReason,
    PreparedMetadata, QueryParameters, ReplicaFailure, Rows, SchemaChange, SchemaTarget, Statement, Values,
    WriteType,
    request::{Bound, Value},
    result::ChangeKind,
};

pub(super) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V4), Just(Version::V5)]
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn value() -> impl Strategy<Value = Value> {
    option::of(bytes())
}

fn bound() -> impl Strategy<Value = Bound> {
    prop_oneof![4 => value().prop_map(Bound::Value), 1 => Just(Bound::Unset)]
}

fn level() -> impl Strategy<Value = Consistency> {
    proptest::sample::select(Consistency::EVERY.to_vec())
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![
        vec(bound(), 0..5).prop_map(Values::Positional),
        vec((text(), bound()), 1..5).prop_map(Values::Named),
    ]
}

/// Parameters that a version can express.
fn parameters(version: Version) -> impl Strategy<Value = QueryParameters> {
    let v5 = version == Version::V5;
    let options = (
        option::of(prop_oneof![
            Just(Consistency::Serial),
            Just(Consistency::LocalSerial)
        ]),
        option::of(1..i32::MAX as u32),
        option::of(bytes()),
        option::of((i64::MIN + 1)..=i64::MAX),
        option::of(text()),
        option::of(any::<i32>()),
        any::<bool>(),
    );
    (level(), values(), options).prop_map(move |(consistency, values, options)| {
        let (serial_consistency, page_size, paging_state, timestamp, keyspace, now, skip_metadata) = options;
        QueryParameters {
            consistency,
            serial_consistency,
            values,
            page_size,
            paging_state,
            timestamp: timestamp.map(Timestamp),
            keyspace: keyspace.filter(|_| v5),
            now_in_seconds: now.filter(|_| v5),
            skip_metadata,
        }
    })
}

fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        text().prop_map(Statement::Text),
        bytes().prop_map(Statement::Prepared)
    ]
}

fn batch(version: Version) -> impl Strategy<Value = BatchRequest> {
    let kind = prop_oneof![
        Just(BatchKind::Logged),
        Just(BatchKind::Unlogged),
        Just(BatchKind::Counter)
    ];
    let entry = (statement(), vec(bound(), 0..4)).prop_map(|(statement, values)| BatchEntry {
        statement,
        values: Values::Positional(values),
    });
    (kind, vec(entry, 0..4), parameters(version)).prop_map(|(kind, entries, parameters)| BatchRequest {
        kind,
        entries,
        parameters: QueryParameters {
            values: Values::default(),
            page_size: None,
            paging_state: None,
            skip_metadata: false,
            ..parameters
        },
    })
}

fn request(version: Version) -> BoxedStrategy<Request> {
    let v5 = version == Version::V5;
    prop_oneof![
        vec((text(), text()), 0..4).prop_map(Request::Startup),
        Just(Request::Options),
        value().prop_map(Request::AuthResponse),
        (text(), parameters(version)).prop_map(|(query, parameters)| Request::Query { query, parameters }),
        (text(), option::of(text())).prop_map(move |(query, keyspace)| Request::Prepare {
            query,
            keyspace: keyspace.filter(|_| v5)
        }),
        (bytes(), bytes(), parameters(version)).prop_map(move |(id, result_id, parameters)| {
            Request::Execute {
                id,
                result_id: Some(result_id).filter(|_| v5),
                parameters,
            }
        }),
        batch(version).prop_map(Request::Batch),
        vec(proptest::sample::select(EventKind::ALL.to_vec()), 0..4).prop_map(Request::Register),
    ]
    .boxed()
}

fn payload() -> impl Strategy<Value = Vec<(String, Value)>> {
    prop_oneof![4 => Just(Vec::new()), 1 => vec((text(), value()), 1..3)]
}

/// A request and the version that it is of.
pub(super) fn request_frame() -> impl Strategy<Value = (Version, RequestFrame)> {
    version().prop_flat_map(|version| {
        (any::<bool>(), payload(), request(version)).prop_map(move |(tracing, custom_payload, request)| {
            // OPTIONS has no body, so that nothing of a payload can come back.
            let custom_payload = if request == Request::Options {
                Vec::new()
            } else {
                custom_payload
            };
            let frame = RequestFrame {
                tracing,
                custom_payload,
                request,
            };
            (version, frame)
        })
    })
}

fn cql_type() -> impl Strategy<Value = CqlType> {
    let scalar = proptest::sample::select(vec![
        CqlType::Ascii,
        CqlType::Bigint,
        CqlType::Blob,
        CqlType::Boolean,
        CqlType::Counter,
        CqlType::Date,
        CqlType::Decimal,
        CqlType::Double,
        CqlType::Duration,
        CqlType::Float,
        CqlType::Inet,
        CqlType::Int,
        CqlType::Smallint,
        CqlType::Text,
        CqlType::Time,
        CqlType::Timestamp,
        CqlType::Timeuuid,
        CqlType::Tinyint,
        CqlType::Uuid,
        CqlType::Varint,
    ]);
    scalar.prop_recursive(3, 8, 2, |inner| {
        let frozen = false;
        prop_oneof![
            inner.clone().prop_map(move |element| CqlType::List {
                element: element.into(),
                frozen
            }),
            inner.clone().prop_map(move |element| CqlType::Set {
                element: element.into(),
                frozen
            }),
            (inner.clone(), inner).prop_map(move |(key, value)| CqlType::Map {
                key: key.into(),
                value: value.into(),
                frozen
            }),
        ]
    })
}

fn columns() -> impl Strategy<Value = Vec<ColumnSpec>> {
    // Few names, so that columns of one table are as likely as those of two.
    let name = || proptest::sample::select(vec!["a".to_owned(), "b".to_owned()]);
    let column =
        (name(), name(), text(), cql_type()).prop_map(|(keyspace, table, name, cql_type)| ColumnSpec {
            keyspace,
            table,
            name,
            cql_type,
        });
    vec(column, 0..4)
}

fn rows() -> impl Strategy<Value = RowsBody> {
    columns().prop_flat_map(|columns| {
        let width = columns.len();
        let rows = vec(vec(value(), width), 0..if width == 0 { 1 } else { 5 });
        (rows, option::of(bytes()), option::of(bytes())).prop_map(move |(rows, paging_state, id)| RowsBody {
            rows: Rows {
                columns: columns.clone().into(),
                rows,
                paging_state,
            },
            skip_metadata: false,
            new_metadata_id: id,
        })
    })
}

fn prepared() -> impl Strategy<Value = PreparedMetadata> {
    (bytes(), columns(), vec(any::<u16>(), 0..3), columns()).prop_map(
        |(id, markers, partition_key, columns)| PreparedMetadata {
            id,
            // v4 computes it from the columns, so this is what both versions give back.
            result_id: metadata_id(&columns),
            markers,
            partition_key,
            columns,
        },
    )
}

fn schema_change() -> impl Strategy<Value = SchemaChange> {
    let change = prop_oneof![
        Just(ChangeKind::Created),
        Just(ChangeKind::Updated),
        Just(ChangeKind::Dropped)
    ];
    let target = prop_oneof![Just(SchemaTarget::Keyspace), text().prop_map(SchemaTarget::Table)];
    (change, text(), target).prop_map(|(change, keyspace, target)| SchemaChange {
        change,
        keyspace,
        target,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let topology = prop_oneof![Just(TopologyChange::NewNode), Just(TopologyChange::RemovedNode)];
    let status = prop_oneof![Just(StatusChange::Up), Just(StatusChange::Down)];
    prop_oneof![
        (topology, any::<std::net::SocketAddrV4>()).prop_map(|(change, address)| Event::Topology {
            change,
            address: address.into()
        }),
        (status, any::<[u8; 16]>(), any::<u16>()).prop_map(|(change, ip, port)| Event::Status {
            change,
            address: (ip, port).into()
        }),
        schema_change().prop_map(Event::Schema),
    ]
}

fn write_type() -> impl Strategy<Value = WriteType> {
    proptest::sample::select(vec![
        WriteType::Simple,
        WriteType::Batch,
        WriteType::UnloggedBatch,
        WriteType::Counter,
        WriteType::BatchLog,
    ])
}

fn replica_failures() -> impl Strategy<Value = Vec<ReplicaFailure>> {
    let failure = (any::<std::net::IpAddr>(), 0..6_u16).prop_map(|(address, code)| ReplicaFailure {
        address,
        reason: FailureReason::from_code(code),
    });
    vec(failure, 0..4)
}

fn error_kind() -> impl Strategy<Value = ErrorKind> {
    let count = || 0..100_u32;
    let plain = proptest::sample::select(vec![
        ErrorKind::Server,
        ErrorKind::Protocol,
        ErrorKind::BadCredentials,
        ErrorKind::Overloaded,
        ErrorKind::Bootstrapping,
        ErrorKind::Truncate,
        ErrorKind::Syntax,
        ErrorKind::Unauthorized,
        ErrorKind::Invalid,
        ErrorKind::Config,
    ]);
    let counts = (
        level(),
        count(),
        count(),
        replica_failures(),
        any::<bool>(),
        write_type(),
    );
    let replicas = (0..5, counts).prop_map(|(kind, counts)| {
        let (consistency, received, required, reasons, data_present, write_type) = counts;
        let failures = reasons.len() as u32;
        match kind {
            0 => ErrorKind::Unavailable {
                consistency,
                required,
                alive: received,
            },
            1 => ErrorKind::WriteTimeout {
                consistency,
                received,
                required,
                write_type,
            },
            2 => ErrorKind::ReadTimeout {
                consistency,
                received,
                required,
                data_present,
            },
            3 => ErrorKind::ReadFailure {
                consistency,
                received,
                required,
                failures,
                reasons,
                data_present,
            },
            _ => ErrorKind::WriteFailure {
                consistency,
                received,
                required,
                failures,
                reasons,
                write_type,
            },
        }
    });
    prop_oneof![
        plain,
        replicas,
        (text(), text()).prop_map(|(keyspace, table)| ErrorKind::AlreadyExists { keyspace, table }),
        bytes().prop_map(|id| ErrorKind::Unprepared { id }),
    ]
}

fn result() -> impl Strategy<Value = ResultBody> {
    prop_oneof![
        Just(ResultBody::Void),
        rows().prop_map(ResultBody::Rows),
        text().prop_map(ResultBody::SetKeyspace),
        prepared().prop_map(ResultBody::Prepared),
        schema_change().prop_map(ResultBody::SchemaChange),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        (error_kind(), text()).prop_map(|(kind, message)| Response::Error(Error::new(kind, message))),
        Just(Response::Ready),
        text().prop_map(Response::Authenticate),
        vec((text(), vec(text(), 0..3)), 0..3).prop_map(Response::Supported),
        result().prop_map(Response::Result),
        event().prop_map(Response::Event),
        value().prop_map(Response::AuthChallenge),
        value().prop_map(Response::AuthSuccess),
    ]
}

/// Version 4 has only their number.
fn forget_reasons(kind: &mut ErrorKind) {
    if let ErrorKind::ReadFailure { reasons, .. } | ErrorKind::WriteFailure { reasons, .. } = kind {
        reasons.clear();
    }
}

/// A response and the version that it is of.
pub(super) fn response_frame() -> impl Strategy<Value = (Version, ResponseFrame)> {
    let extras = (option::of(any::<u128>()), vec(text(), 0..3), payload());
    (version(), extras, response()).prop_map(|(version, extras, mut response)| {
        match &mut response {
            Response::Result(ResultBody::Rows(body)) if version == Version::V4 => body.new_metadata_id = None,
            Response::Error(error) if version == Version::V4 => forget_reasons(&mut error.kind),
            _ => {}
        }
        let (trace, warnings, custom_payload) = extras;
        let frame = ResponseFrame {
            trace,
            warnings,
            custom_payload,
            response,
        };
        (version, frame)
    })
}
