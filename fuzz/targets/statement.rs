//! The parser and the planner: any text is a statement or a clear error.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use starling_cql::{parser, plan, schema::Schema};
use starling_model::Timestamp;

/// A schema to plan against.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let statements = [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE k.t (p int, q text, c int, d timeuuid, s text static, v blob, l list<int>, m map<text, int>, \
         e set<inet>, PRIMARY KEY ((p, q), c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC)",
    ];
    let mut schema = Schema::default();
    for (at, statement) in statements.into_iter().enumerate() {
        let statement = parser::parse(statement).expect("it is CQL");
        let plan::Plan::Schema(change) = plan::prepare(&statement, &schema, None).expect("it can be planned") else {
            unreachable!("it changes the schema")
        };
        let (entries, _) = change.entries(&schema, Timestamp(at as i64 + 1), &mut || 7).expect("it is new");
        schema.merge(entries);
    }
    schema
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(statement) = parser::parse(text) {
        let _either = plan::prepare(&statement, &SCHEMA, Some("k"));
    }
});
