//! What fits, what doesn't, and what the bytes are.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;
use starling_cql::{ColumnSpec, CqlType, Values, request::Bound};

use super::{Maybe, Unset, bind};

pub(crate) fn marker(name: &str, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: "k".into(),
        table: "t".into(),
        name: name.into(),
        cql_type,
    }
}

fn one(cql_type: CqlType, value: impl Serialize) -> Result<Bound, String> {
    match bind(&[marker("c", cql_type)], &(value,)) {
        Ok(Values::Positional(mut values)) => Ok(values.remove(0)),
        Ok(Values::Named(_)) => unreachable!("values are positional"),
        Err(error) => Err(error.to_string()),
    }
}

fn bytes(cql_type: CqlType, value: impl Serialize) -> Vec<u8> {
    match one(cql_type, value) {
        Ok(Bound::Value(Some(bytes))) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn list(element: CqlType) -> CqlType {
    CqlType::List {
        element: Box::new(element),
        frozen: false,
    }
}

#[test]
fn scalars_have_the_bytes_of_the_protocol() {
    assert_eq!(bytes(CqlType::Tinyint, -1), [0xff]);
    assert_eq!(bytes(CqlType::Smallint, 258u64), [1, 2]);
    assert_eq!(bytes(CqlType::Int, 1i64), [0, 0, 0, 1]);
    assert_eq!(bytes(CqlType::Bigint, 1u8), [0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(bytes(CqlType::Varint, -129), [0xff, 0x7f]);
    assert_eq!(bytes(CqlType::Varint, "128"), [0, 0x80]);
    assert_eq!(bytes(CqlType::Boolean, true), [1]);
    assert_eq!(bytes(CqlType::Float, 1.5f32), 1.5f32.to_be_bytes());
    assert_eq!(bytes(CqlType::Double, 1.5f32), 1.5f64.to_be_bytes());
    assert_eq!(bytes(CqlType::Text, "é"), "é".as_bytes());
    assert_eq!(bytes(CqlType::Text, 'x'), b"x");
    assert_eq!(bytes(CqlType::Blob, serde_bytes::Bytes::new(&[1, 2])), [1, 2]);
    assert_eq!(bytes(CqlType::Blob, vec![1u8, 2]), [1, 2]);
    assert_eq!(bytes(CqlType::Date, 1), [0x80, 0, 0, 1]);
    assert_eq!(bytes(CqlType::Date, "1970-01-02"), [0x80, 0, 0, 1]);
    assert_eq!(bytes(CqlType::Timestamp, 1), [0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(
        bytes(CqlType::Timestamp, "1970-01-01T00:00:00.001Z"),
        [0, 0, 0, 0, 0, 0, 0, 1]
    );
    assert_eq!(
        bytes(CqlType::Inet, "127.0.0.1".parse::<IpAddr>().unwrap()),
        [127, 0, 0, 1]
    );
    assert_eq!(
        bytes(CqlType::Uuid, uuid::Uuid::from_u128(7)),
        7u128.to_be_bytes()
    );
}

#[test]
fn collections_are_brought_in_order() {
    assert_eq!(
        bytes(list(CqlType::Tinyint), [3, 1]),
        [0, 0, 0, 2, 0, 0, 0, 1, 3, 0, 0, 0, 1, 1]
    );
    let set = CqlType::Set {
        element: Box::new(CqlType::Tinyint),
        frozen: true,
    };
    assert_eq!(bytes(set, [3, 1, 3]), [0, 0, 0, 2, 0, 0, 0, 1, 1, 0, 0, 0, 1, 3]);
    let map = CqlType::Map {
        key: Box::new(CqlType::Text),
        value: Box::new(CqlType::Tinyint),
        frozen: false,
    };
    assert_eq!(
        bytes(map, BTreeMap::from([("a", 1)])),
        [0, 0, 0, 1, 0, 0, 0, 1, b'a', 0, 0, 0, 1, 1]
    );
}

#[test]
fn null_and_unset_are_not_the_same() {
    assert_eq!(one(CqlType::Int, None::<i32>), Ok(Bound::Value(None)));
    assert_eq!(one(CqlType::Int, ()), Ok(Bound::Value(None)));
    assert_eq!(one(CqlType::Int, Unset), Ok(Bound::Unset));
    assert_eq!(one(CqlType::Int, Maybe::<i32>::Unset), Ok(Bound::Unset));
    assert_eq!(
        one(CqlType::Tinyint, Maybe::Set(Some(1))),
        Ok(Bound::Value(Some(vec![1].into())))
    );
}

#[test]
fn what_does_not_fit_names_the_column() {
    let errors = [
        (
            one(CqlType::Int, "1"),
            "column c is of type int, which a string can't be bound to",
        ),
        (
            one(CqlType::Text, 1),
            "column c is of type text, which an integer can't be bound to",
        ),
        (
            one(CqlType::Tinyint, 128),
            "column c is of type tinyint, and 128 is out of its range",
        ),
        (
            one(CqlType::Float, 1.5f64),
            "column c is of type float, which an f64 can't be bound to",
        ),
        (
            one(CqlType::Blob, vec![256]),
            "column c is of type blob, which a sequence of anything but bytes can't be bound to",
        ),
        (
            one(list(CqlType::Int), ["x"]),
            "column c is of type int, which a string can't be bound to",
        ),
        (
            one(list(CqlType::Int), [None::<i32>]),
            "column c: an element of a collection can't be null",
        ),
        (
            one(CqlType::Int, BTreeMap::from([(1, 2)])),
            "column c is of type int, which a map can't be bound to",
        ),
    ];
    for (result, expected) in errors {
        assert_eq!(result.unwrap_err(), expected);
    }
    assert!(
        one(CqlType::Uuid, "no uuid")
            .unwrap_err()
            .starts_with("column c: ")
    );
    assert!(one(CqlType::Ascii, "é").unwrap_err().starts_with("column c: "));
}

#[test]
fn every_marker_gets_a_value_and_every_value_a_marker() {
    #[derive(Serialize)]
    struct Named {
        b: i32,
        a: i32,
    }
    let markers = [marker("a", CqlType::Int), marker("b", CqlType::Int)];
    let expected = bind(&markers, &(1, 2)).unwrap();
    assert_eq!(bind(&markers, &[1, 2]).unwrap(), expected);
    assert_eq!(bind(&markers, &Named { a: 1, b: 2 }).unwrap(), expected);
    assert_eq!(
        bind(&markers, &BTreeMap::from([("b", 2), ("a", 1)])).unwrap(),
        expected
    );
    for result in [
        bind(&markers, &(1,)),
        bind(&markers, &(1, 2, 3)),
        bind(&markers, &()),
        bind(&markers, &1),
        bind(&markers, &BTreeMap::from([("a", 1)])),
        bind(&markers, &BTreeMap::from([("a", 1), ("b", 2), ("c", 3)])),
    ] {
        assert!(result.is_err());
    }
}
