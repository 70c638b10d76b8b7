//! What holds for all values, texts and schemas.

mod store;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use bytes::Bytes;
use proptest::prelude::*;
use starling_cql::{
    CqlType, ordered_key, parser,
    request::{Bound, Values},
    schema::{Replication, Schema, SchemaEntry},
    value::{Decimal, Duration, FormatOptions, format, json, normalize, parse_text, write_elements},
};
use starling_model::Timestamp;
use store::Session;

/// A scalar type with a valid, not empty value of it.
fn scalar() -> impl Strategy<Value = (CqlType, Vec<u8>)> {
    let decimal = (any::<i64>(), -30..30_i32);
    prop_oneof![
        any::<i32>().prop_map(|n| (CqlType::Int, n.to_be_bytes().to_vec())),
        any::<i64>().prop_map(|n| (CqlType::Bigint, n.to_be_bytes().to_vec())),
        any::<i16>().prop_map(|n| (CqlType::Smallint, n.to_be_bytes().to_vec())),
        any::<i8>().prop_map(|n| (CqlType::Tinyint, n.to_be_bytes().to_vec())),
        any::<bool>().prop_map(|b| (CqlType::Boolean, vec![u8::from(b)])),
        any::<f64>().prop_map(|n| (CqlType::Double, n.to_be_bytes().to_vec())),
        any::<f32>().prop_map(|n| (CqlType::Float, n.to_be_bytes().to_vec())),
        "\\PC{0,12}".prop_map(|text| (CqlType::Text, text.into_bytes())),
        "[ -~]{0,12}".prop_map(|text| (CqlType::Ascii, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| (CqlType::Blob, bytes)),
        any::<u32>().prop_map(|day| (CqlType::Date, day.to_be_bytes().to_vec())),
        (0..86_400_000_000_000_i64).prop_map(|nanos| (CqlType::Time, nanos.to_be_bytes().to_vec())),
        any::<i64>().prop_map(|millis| (CqlType::Timestamp, millis.to_be_bytes().to_vec())),
        (-62_000_000_000_000..250_000_000_000_000_i64)
            .prop_map(|n| (CqlType::Timestamp, n.to_be_bytes().to_vec())),
        any::<[u8; 16]>().prop_map(|bytes| (CqlType::Uuid, bytes.to_vec())),
        any::<[u8; 16]>().prop_map(|mut bytes| {
            bytes[6] = bytes[6] & 0x0F | 0x10;
            (CqlType::Timeuuid, bytes.to_vec())
        }),
        any::<[u8; 4]>().prop_map(|bytes| (CqlType::Inet, bytes.to_vec())),
        any::<[u8; 16]>().prop_map(|bytes| (CqlType::Inet, bytes.to_vec())),
        any::<i128>().prop_map(|n| (CqlType::Varint, num_bigint::BigInt::from(n).to_signed_bytes_be())),
        decimal.prop_map(|(n, scale)| (
            CqlType::Decimal,
            Decimal {
                unscaled: n.into(),
                scale
            }
            .encode()
        )),
    ]
}

/// Two values of one type.
fn pair() -> impl Strategy<Value = (CqlType, Vec<u8>, Vec<u8>)> {
    (scalar(), prop::collection::vec(scalar(), 40)).prop_map(|((cql_type, a), others)| {
        let b = others
            .into_iter()
            .find(|(other, _)| *other == cql_type)
            .map_or_else(|| a.clone(), |(_, b)| b);
        (cql_type, a, b)
    })
}

/// How CQL orders two values, computed another way; `None` where there is no other way at hand.
fn order(cql_type: &CqlType, a: &[u8], b: &[u8]) -> Option<Ordering> {
    let long = |bytes: &[u8]| num_bigint::BigInt::from_signed_bytes_be(bytes);
    Some(match cql_type {
        CqlType::Int
        | CqlType::Bigint
        | CqlType::Smallint
        | CqlType::Tinyint
        | CqlType::Timestamp
        | CqlType::Varint => long(a).cmp(&long(b)),
        CqlType::Text | CqlType::Ascii | CqlType::Blob | CqlType::Inet | CqlType::Date | CqlType::Time => {
            a.cmp(b)
        }
        CqlType::Double => {
            let number = |bytes: &[u8]| f64::from_be_bytes(bytes.try_into().expect("8 bytes"));
            number(a)
                .partial_cmp(&number(b))
                .filter(|_| number(a) != 0.0 || number(b) != 0.0)?
        }
        CqlType::Decimal => {
            let scaled = |bytes: &[u8]| {
                let decimal = Decimal::decode(bytes).expect("a decimal");
                decimal.unscaled * num_bigint::BigInt::from(10).pow((30 - decimal.scale) as u32)
            };
            scaled(a).cmp(&scaled(b))
        }
        _ => return None,
    })
}

proptest! {
    #[test]
    fn encoded_keys_order_as_values((cql_type, a, b) in pair()) {
        let encode = |value: &[u8], descending| {
            ordered_key::encode_component(&cql_type, descending, value).expect("it encodes")
        };
        if let Some(expected) = order(&cql_type, &a, &b) {
            prop_assert_eq!(encode(&a, false).cmp(&encode(&b, false)), expected);
            prop_assert_eq!(encode(&a, true).cmp(&encode(&b, true)), expected.reverse());
        }
    }

    #[test]
    fn encoded_keys_come_back((cql_type, value) in scalar(), descending: bool, tail: Vec<u8>) {
        let encoded = ordered_key::encode_component(&cql_type, descending, &value).expect("it encodes");
        prop_assert!(encoded[0] != 0xFF);
        let mut input = [&encoded[..], &tail[..]].concat();
        let mut rest = &input[..];
        let back = ordered_key::take_component(&cql_type, descending, &mut rest).expect("it decodes");
        prop_assert_eq!(rest, &tail[..]);
        let again = ordered_key::encode_component(&cql_type, descending, &back).expect("it encodes");
        prop_assert_eq!(&again, &encoded);
        let is_nan = matches!(cql_type, CqlType::Float | CqlType::Double)
            && format(&cql_type, &value, FormatOptions::default()) == "NaN";
        if cql_type != CqlType::Decimal && !is_nan {
            prop_assert_eq!(&back[..], &value[..]);
        }
        // Damaged bytes are an error or another value, never a panic.
        if let Some(byte) = input.get_mut(encoded.len() / 2) {
            *byte ^= 0x41;
        }
        let _ = ordered_key::take_component(&cql_type, descending, &mut &input[..]);
    }

    #[test]
    fn text_of_values_comes_back((cql_type, value) in scalar(), quoted: bool) {
        let text = format(&cql_type, &value, FormatOptions { quoted });
        let is_text = matches!(cql_type, CqlType::Text | CqlType::Ascii);
        if text != "NaN" && !(quoted && is_text) {
            let back = parse_text(&cql_type, &text).expect("it parses");
            if matches!(cql_type, CqlType::Timestamp) && text.contains(':') || cql_type != CqlType::Timestamp {
                prop_assert_eq!(&back[..], &value[..], "{}", text);
            }
        }
        let _ = json(&cql_type, Some(&value));
    }

    #[test]
    fn text_of_collections_comes_back(items in prop::collection::vec((any::<i32>(), "\\PC{0,6}"), 0..6)) {
        let map = CqlType::Map { key: Box::new(CqlType::Int), value: Box::new(CqlType::Text), frozen: true };
        let sorted: BTreeMap<i32, String> = items.into_iter().collect();
        let keys: Vec<[u8; 4]> = sorted.keys().map(|key| key.to_be_bytes()).collect();
        let parts = keys.iter().zip(sorted.values()).flat_map(|(key, value)| [&key[..], value.as_bytes()]);
        let value = write_elements(sorted.len(), parts);
        prop_assert_eq!(&normalize(&map, &value).expect("it is valid"), &value);
        let text = format(&map, &value, FormatOptions::default());
        prop_assert_eq!(parse_text(&map, &text).expect("it parses"), value);
    }

    #[test]
    fn any_bytes_are_checked_without_panic((cql_type, _) in scalar(), bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        let list = CqlType::List { element: Box::new(cql_type.clone()), frozen: true };
        for cql_type in [&cql_type, &list] {
            let _ = normalize(cql_type, &bytes);
            let _ = format(cql_type, &bytes, FormatOptions::default());
            let _ = ordered_key::take_component(cql_type, false, &mut &bytes[..]);
        }
    }

    #[test]
    fn durations_come_back(months in 0..i32::MAX, days in 0..i32::MAX, nanoseconds in 0..i64::MAX, negative: bool) {
        let mut duration = Duration::new(months, days, nanoseconds).expect("one sign");
        if negative {
            duration = duration.negated().expect("it fits");
        }
        prop_assert_eq!(Duration::decode(&duration.encode()), Some(duration));
        prop_assert_eq!(Duration::parse(&duration.to_string()), Some(duration));
    }

    #[test]
    fn the_parser_never_panics(text in "\\PC{0,80}") {
        let _ = parser::parse(&text);
        let _ = parser::parse_type(&text);
        let _ = parser::parse_term(&text);
    }

    #[test]
    fn the_parser_never_panics_on_tokens(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..24)) {
        let text = tokens.join(" ");
        let session = Session::default();
        let _ = session.prepare(&text);
    }

    #[test]
    fn schemas_merge_in_any_order(
        entries in prop::collection::vec(entry(), 0..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let mut one = Schema::default();
        one.merge(entries.clone());
        let mut other = Schema::default();
        for at in order.iter().filter(|_| !entries.is_empty()) {
            other.merge([entries[at.index(entries.len())].clone()]);
        }
        for entry in entries.iter().rev() {
            other.merge([entry.clone()]);
        }
        prop_assert!(one == other);
        prop_assert_eq!(one.version(), other.version());
        prop_assert!(one.merge(entries).is_empty());
    }
}

const TOKENS: &[&str] = &[
    "SELECT",
    "*",
    "FROM",
    "system.local",
    "WHERE",
    "key",
    "=",
    "'x'",
    "AND",
    "IN",
    "(",
    ")",
    ",",
    "?",
    ":n",
    "[",
    "]",
    "{",
    "}",
    "1",
    "-",
    "1.5",
    "0x00",
    "token",
    "LIMIT",
    "ORDER",
    "BY",
    "INSERT",
    "INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "USING",
    "TTL",
    "CREATE",
    "TABLE",
    "t",
    "int",
    "PRIMARY",
    "KEY",
    "list",
    "<",
    ">",
    "frozen",
    "count",
    ";",
    "BEGIN",
    "BATCH",
    "APPLY",
    "1h",
    "P1D",
    "null",
    "CAST",
    "AS",
    "writetime",
    "tokens",
    "CONTAINS",
    "ALLOW",
    "FILTERING",
];

/// An entry for one of few objects, so that they meet.
fn entry() -> impl Strategy<Value = SchemaEntry> {
    (0..3_usize, 0..6_i64, 1..4_u32, any::<bool>()).prop_map(|(which, version, factor, dropped)| {
        let mut session = Session::default();
        session.now = version as u32;
        let text = format!(
            "CREATE KEYSPACE k{which} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
        );
        session.run(&text, &Values::default()).expect("it is made");
        let create = format!("CREATE TABLE k{which}.t (a int PRIMARY KEY, v{factor} text)");
        session.run(&create, &Values::default()).expect("it is made");
        let mut entry = session.schema.entries().nth(which % 2).expect("there are two").clone();
        entry.version = Timestamp(version);
        if dropped {
            entry.definition = None;
        }
        entry
    })
}

#[test]
fn described_tables_parse_to_the_same_schema() {
    let mut session = Session::default();
    let run = |session: &mut Session, text: &str| session.run(text, &Values::default()).expect("it runs");
    run(
        &mut session,
        "CREATE KEYSPACE \"K s\" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}"
            .replace("K s", "K_s")
            .as_str(),
    );
    run(
        &mut session,
        "CREATE TABLE \"K_s\".\"Select\" (\"a b\" int, b frozen<set<text>>, c timeuuid, \"from\" map<int, frozen<list<text>>>,
         s int static, PRIMARY KEY ((\"a b\", b), c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'it''s $$'
         AND compression = {'class': 'ZstdCompressor'} AND gc_grace_seconds = 7 AND speculative_retry = '50ms'",
    );
    let table = session
        .schema
        .table("K_s", "Select")
        .expect("it is there")
        .clone();
    let text = starling_cql::describe::create_table(&table);
    let keyspace = session.schema.keyspace("K_s").expect("it is there").clone();
    assert_eq!(keyspace.replication, Replication::simple(2));
    run(&mut session, "DROP KEYSPACE \"K_s\"");
    run(&mut session, &starling_cql::describe::create_keyspace(&keyspace));
    run(&mut session, &text);
    let again = session.schema.table("K_s", "Select").expect("it is there");
    assert_eq!(again.columns, table.columns);
    assert_eq!(
        again.options.all().collect::<Vec<_>>(),
        table.options.all().collect::<Vec<_>>()
    );
    assert_ne!(again.id, table.id);
    assert_eq!(starling_cql::describe::create_table(again), text);
}

#[test]
fn a_keyspace_made_again_is_empty() {
    let mut session = Session::default();
    let create = "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    for text in [create, "CREATE TABLE k.t (a int PRIMARY KEY)"] {
        session.run(text, &Values::default()).expect("it runs");
    }
    let table: Vec<SchemaEntry> = session.schema.entries().skip(1).cloned().collect();
    session
        .run("DROP KEYSPACE k", &Values::default())
        .expect("it runs");
    session.run(create, &Values::default()).expect("it runs");
    // Another node's table of the old keyspace, of which this node never heard, comes late.
    let mut late = table[0].clone();
    late.version = Timestamp(late.version.0 + 1);
    session.schema.merge([late]);
    assert!(session.schema.table("k", "t").is_none());
}

#[test]
fn markers_take_values_by_place_and_by_name() {
    let mut session = Session::default();
    for text in [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE k.t (a int, b int, v text, PRIMARY KEY (a, b))",
    ] {
        session.run(text, &Values::default()).expect("it runs");
    }
    let int = |number: i32| Bound::Value(Some(Bytes::copy_from_slice(&number.to_be_bytes())));
    let insert = "INSERT INTO k.t (b, v, a) VALUES (?, ?, ?) USING TTL ?";
    let plan = session.prepare(insert).expect("it is right");
    let names: Vec<&str> = plan.markers().iter().map(|marker| marker.name.as_str()).collect();
    assert_eq!(names, ["b", "v", "a", "[ttl]"]);
    assert_eq!(plan.partition_key_markers(), [2]);
    let text = Bound::Value(Some(Bytes::from_static(b"x")));
    session
        .run(
            insert,
            &Values::Positional(vec![int(2), text.clone(), int(1), Bound::Unset]),
        )
        .expect("it runs");
    session
        .run(
            insert,
            &Values::Positional(vec![int(2), Bound::Unset, int(1), Bound::Unset]),
        )
        .expect("it runs");
    let named = Values::Named(vec![("key".to_owned(), int(1))]);
    let rows = session
        .pages("SELECT v FROM k.t WHERE a = :key", &named, 10)
        .expect("it runs");
    assert_eq!(rows[0].rows, [[Some(Bytes::from_static(b"x"))]]);
    for wrong in [
        vec![],
        vec![
            int(2),
            Bound::Value(Some(Bytes::from_static(b"\xFF"))),
            int(1),
            Bound::Unset,
        ],
    ] {
        assert!(session.run(insert, &Values::Positional(wrong)).is_err());
    }
}

#[test]
fn a_paging_state_is_of_one_statement() {
    let mut session = Session::default();
    for text in [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE k.t (a int PRIMARY KEY)",
        "INSERT INTO k.t (a) VALUES (1)",
        "INSERT INTO k.t (a) VALUES (2)",
        "INSERT INTO k.t (a) VALUES (3)",
    ] {
        session.run(text, &Values::default()).expect("it runs");
    }
    let select = |session: &Session, text: &str| match session.prepare(text) {
        Ok(starling_cql::plan::Plan::Select(select)) => select,
        other => panic!("no SELECT: {other:?}"),
    };
    let all = select(&session, "SELECT a FROM k.t");
    let page = session
        .select(&all, &Values::default(), Some(1), None)
        .expect("it runs");
    let state = page.paging_state.expect("there is more");
    let other = select(&session, "SELECT a FROM k.t LIMIT 2");
    assert!(
        session
            .select(&other, &Values::default(), Some(1), Some(state.clone()))
            .is_err()
    );
    for at in 0..state.len() {
        let mut damaged = state.to_vec();
        damaged[at] ^= 1;
        assert!(
            session
                .select(&all, &Values::default(), Some(1), Some(damaged.into()))
                .is_err()
        );
        assert!(
            session
                .select(&all, &Values::default(), Some(1), Some(state.slice(..at)))
                .is_err()
        );
    }
    assert!(
        session
            .select(&all, &Values::default(), Some(1), Some(state))
            .is_ok()
    );
}

/// Rows may be large and a client's page size is what it says: a page ends by bytes too, and nothing is
/// lost or given twice between pages.
#[test]
fn pages_of_large_rows_end_early() {
    let mut session = Session::default();
    let none = Values::default();
    session
        .run(
            "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            &none,
        )
        .unwrap();
    session
        .run(
            "CREATE TABLE k.t (a int, b int, v text, PRIMARY KEY (a, b))",
            &none,
        )
        .unwrap();
    let large = "x".repeat(900_000);
    for b in 0..25 {
        session
            .run(
                &format!("INSERT INTO k.t (a, b, v) VALUES ({}, {b}, '{large}')", b % 2),
                &none,
            )
            .unwrap();
    }
    for statement in ["SELECT b, v FROM k.t", "SELECT b, v FROM k.t WHERE a IN (0, 1)"] {
        let pages = session.pages(statement, &none, i32::MAX as u32).unwrap();
        assert!(pages.len() >= 3, "{} pages", pages.len());
        let mut seen = BTreeSet::new();
        for page in &pages {
            assert!(
                page.rows.len() <= 10,
                "{} rows of 900 kB in a page",
                page.rows.len()
            );
            for row in &page.rows {
                assert!(seen.insert(row[0].clone()), "a row came twice");
            }
        }
        assert_eq!(seen.len(), 25);
    }
}

#[test]
fn names_are_quoted_where_cql_would_read_them_otherwise() {
    for (name, written) in [
        ("a_1", "a_1"),
        ("Ab", "\"Ab\""),
        ("1a", "\"1a\""),
        ("order", "\"order\""),
        ("where", "\"where\""),
        ("view", "\"view\""),
        ("a\"b", "\"a\"\"b\""),
        ("", "\"\""),
    ] {
        assert_eq!(starling_cql::parser::quoted(name), written);
    }
}
