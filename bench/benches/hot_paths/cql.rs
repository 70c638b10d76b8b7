//! The native protocol's frames, and a prepared statement's way to reads and writes.

use std::{cell::Cell, hint::black_box};

use bytes::{Bytes, BytesMut};
use criterion::Criterion;
use starling_cql::{
    ColumnSpec, CqlType, QueryParameters, Rows, Values, parser,
    plan::{self, Context, Plan, Present},
    protocol::{
        Decoder, Direction, Encoder, Request, RequestFrame, Response, ResponseFrame, ResultBody, RowsBody,
        Version,
    },
    request::Bound,
    schema::Schema,
};
use starling_model::{Consistency, Seconds, Timestamp, Token};

const MAX_BODY: usize = 1 << 20;

fn values(sizes: &[usize]) -> Values {
    let value = |size: &usize| Bound::Value(Some(Bytes::from(vec![7; *size])));
    Values::Positional(sizes.iter().map(value).collect())
}

/// EXECUTE with a key and a value of 100 bytes, as a server reads it.
pub(crate) fn request(criterion: &mut Criterion) {
    let mut parameters = QueryParameters::with_consistency(Consistency::Quorum);
    parameters.values = values(&[16, 100]);
    let frame: RequestFrame = Request::Execute {
        id: Bytes::from_static(&[1; 16]),
        result_id: None,
        parameters,
    }
    .into();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(Version::V4);
    encoder.request(&mut bytes, 1, &frame).expect("it is small");
    let mut decoder = Decoder::new(Direction::Requests, MAX_BODY);
    criterion.bench_function("frame/decode_execute", |b| {
        b.iter(|| {
            let mut input = BytesMut::from(black_box(&bytes[..]));
            let envelope = decoder
                .next(&mut input)
                .expect("it is whole")
                .expect("it is there");
            let decoded = RequestFrame::decode(envelope).expect("it is well formed");
            assert!(matches!(decoded.request, Request::Execute { .. }));
            decoded
        });
    });
}

/// RESULT with one row and with a hundred, as a server writes it.
pub(crate) fn response(criterion: &mut Criterion) {
    for count in [1, 100] {
        let column = |name: &str| ColumnSpec {
            keyspace: "k".into(),
            table: "t".into(),
            name: name.into(),
            cql_type: CqlType::Blob,
        };
        let row = vec![Some(Bytes::from(vec![1; 16])), Some(Bytes::from(vec![2; 100]))];
        let body = RowsBody {
            rows: Rows {
                columns: [column("key"), column("value")].into(),
                rows: vec![row; count],
                paging_state: None,
            },
            skip_metadata: true,
            new_metadata_id: None,
        };
        let frame = ResponseFrame::from(Response::Result(ResultBody::Rows(body)));
        let mut encoder = Encoder::new(Version::V4);
        let mut out = Vec::new();
        encoder.response(&mut out, 1, &frame).expect("it is small");
        assert!(out.len() > count * 116, "all rows are there");
        criterion.bench_function(&format!("frame/encode_{count}_rows"), |b| {
            b.iter(|| {
                out.clear();
                encoder
                    .response(&mut out, 1, black_box(&frame))
                    .expect("it is small");
                out.len()
            });
        });
    }
}

/// A schema with one table.
fn schema() -> Schema {
    let mut schema = Schema::default();
    let statements = [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TABLE k.t (key blob PRIMARY KEY, value blob)",
    ];
    for (version, text) in statements.into_iter().enumerate() {
        let statement = parser::parse(text).expect("it is CQL");
        let Ok(Plan::Schema(change)) = plan::prepare(&statement, &schema, None) else {
            panic!("{text} changes the schema");
        };
        let outcome = change.entries(&schema, Timestamp(version as i64 + 1), &mut || 4);
        let (entries, _) = outcome.expect("it fits");
        schema.merge(entries);
    }
    schema
}

/// Bound values to a mutation, and to the read of a row.
pub(crate) fn plan(criterion: &mut Criterion) {
    let schema = schema();
    let prepared = |text: &str| {
        let statement = parser::parse(text).expect("it is CQL");
        plan::prepare(&statement, &schema, None).expect("it fits the schema")
    };
    let now = Cell::new(1_700_000_000_000_000_i64);
    let token = |key: &[u8]| Token(xxhash_rust::xxh3::xxh3_64(key) as i64);
    let with_context = |act: &mut dyn FnMut(&mut Context<'_>)| {
        now.set(now.get() + 1);
        act(&mut Context {
            timestamp: Timestamp(now.get()),
            now: Seconds(1_700_000_000),
            now_micros: now.get(),
            random: &mut || 4,
            token: &token,
            node: 1,
        });
    };
    let Plan::Write(write) = prepared("INSERT INTO k.t (key, value) VALUES (?, ?)") else {
        panic!("an INSERT writes");
    };
    let bound = values(&[16, 100]);
    criterion.bench_function("plan/insert", |b| {
        b.iter(|| {
            with_context(&mut |context| {
                let made = write.mutations(black_box(&bound), &Present::default(), context);
                let made = black_box(made.expect("the values fit"));
                assert_eq!(made.len(), 1, "a row is written");
            });
        });
    });
    let Plan::Select(select) = prepared("SELECT value FROM k.t WHERE key = ?") else {
        panic!("a SELECT reads");
    };
    let bound = values(&[16]);
    criterion.bench_function("plan/select", |b| {
        b.iter(|| {
            with_context(&mut |context| {
                let mut run = select
                    .run(black_box(&bound), None, None, context)
                    .expect("the values fit");
                black_box(run.next_read().expect("a row is read"));
            });
        });
    });
}
