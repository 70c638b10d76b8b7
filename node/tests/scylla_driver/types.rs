//! Every type, bound and read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use scylla::value::{
    CqlDate, CqlDecimal, CqlDuration, CqlTime, CqlTimestamp, CqlTimeuuid, CqlValue, CqlVarint, Row,
};

use crate::{
    Context,
    cluster::{rows, run},
};

/// A value of each scalar type, by the type's name.
fn scalars() -> Vec<(&'static str, CqlValue)> {
    vec![
        ("ascii", CqlValue::Ascii("plain".to_owned())),
        ("bigint", CqlValue::BigInt(i64::MIN)),
        ("blob", CqlValue::Blob(vec![0, 1, 254, 255])),
        ("boolean", CqlValue::Boolean(true)),
        ("date", CqlValue::Date(CqlDate((1 << 31) + 15_736))),
        (
            "decimal",
            CqlValue::Decimal(CqlDecimal::from_signed_be_bytes_and_exponent(vec![0x80, 1, 2], 5)),
        ),
        ("double", CqlValue::Double(-2.5e300)),
        (
            "duration",
            CqlValue::Duration(CqlDuration {
                months: 14,
                days: 3,
                nanoseconds: 5_000_000_000,
            }),
        ),
        ("float", CqlValue::Float(0.156_25)),
        (
            "inet",
            CqlValue::Inet(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7])),
        ),
        ("int", CqlValue::Int(i32::MIN)),
        ("smallint", CqlValue::SmallInt(i16::MIN)),
        ("text", CqlValue::Text("Stære ★ 🐦".to_owned())),
        ("time", CqlValue::Time(CqlTime(86_399_999_999_999))),
        ("timestamp", CqlValue::Timestamp(CqlTimestamp(1_359_676_799_123))),
        (
            "timeuuid",
            CqlValue::Timeuuid(CqlTimeuuid::from_bytes([
                0x2b, 0x8e, 0x7d, 0x60, 0x6b, 0x5a, 0x11, 0xe2, 0x9f, 0x3c, 1, 0x23, 0x45, 0x67, 0x89, 0xab,
            ])),
        ),
        ("tinyint", CqlValue::TinyInt(i8::MIN)),
        (
            "uuid",
            CqlValue::Uuid("7f1c3b1e-4d6a-4f0e-9b2a-0123456789ab".parse().unwrap()),
        ),
        (
            "varint",
            CqlValue::Varint(CqlVarint::from_signed_bytes_be(vec![
                0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            ])),
        ),
    ]
}

pub(crate) async fn check(context: &Context) {
    every_scalar(context).await;
    collections(context).await;
}

async fn every_scalar(context: &Context) {
    let session = &context.session;
    let scalars = scalars();
    let list = |write: &dyn Fn(&str) -> String| {
        scalars
            .iter()
            .map(|(name, _)| write(name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let declared = list(&|name| format!("c_{name} {name}"));
    let names = list(&|name| format!("c_{name}"));
    let marks = list(&|_| "?".to_owned());
    run(
        session,
        &format!("CREATE TABLE scalars (k int PRIMARY KEY, {declared})"),
    )
    .await;
    let insert = session
        .prepare(format!("INSERT INTO scalars (k, {names}) VALUES (?, {marks})"))
        .await
        .unwrap();
    let mut values: Vec<Option<CqlValue>> = vec![Some(CqlValue::Int(1))];
    values.extend(scalars.iter().map(|(_, value)| Some(value.clone())));
    session.execute_unpaged(&insert, &values).await.unwrap();
    let mut nulls = vec![Some(CqlValue::Int(2))];
    nulls.resize(values.len(), None);
    session.execute_unpaged(&insert, &nulls).await.unwrap();
    for (key, expected) in [(1, &values[1..]), (2, &nulls[1..])] {
        let found = rows(session, &format!("SELECT {names} FROM scalars WHERE k = {key}")).await;
        assert_eq!(found.single_row::<Row>().unwrap().columns, expected);
    }
}

type Collections = (
    Vec<i32>,
    BTreeSet<String>,
    BTreeMap<String, i32>,
    BTreeMap<i32, Vec<String>>,
);

async fn collections(context: &Context) {
    let session = &context.session;
    run(
        session,
        "CREATE TABLE collections (k int PRIMARY KEY, l list<int>, s set<text>, m map<text, int>, \
         n map<int, frozen<list<text>>>)",
    )
    .await;
    let insert = session
        .prepare("INSERT INTO collections (k, l, s, m, n) VALUES (1, ?, ?, ?, ?)")
        .await
        .unwrap();
    let mut expected: Collections = (
        vec![3, 1, 2],
        ["a", "b"].map(str::to_owned).into(),
        [("x".to_owned(), 1)].into(),
        [(7, vec!["q".to_owned()])].into(),
    );
    session.execute_unpaged(&insert, &expected).await.unwrap();
    run(
        session,
        "UPDATE collections SET l = l + [4], s = s - {'a'}, m['y'] = 2 WHERE k = 1",
    )
    .await;
    expected.0.push(4);
    expected.1.remove("a");
    expected.2.insert("y".to_owned(), 2);
    let found = rows(session, "SELECT l, s, m, n FROM collections WHERE k = 1").await;
    assert_eq!(found.single_row::<Collections>().unwrap(), expected);
}
