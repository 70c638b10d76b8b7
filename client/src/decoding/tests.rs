//! Values that come back as they went in, and bytes that are no values.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    net::IpAddr,
};

use bytes::Bytes;
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use starling_cql::{ColumnSpec, CqlType, Values, request::Bound};

use crate::binding;

fn spec(name: &str, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: "k".into(),
        table: "t".into(),
        name: name.into(),
        cql_type,
    }
}

fn back<T: Serialize + DeserializeOwned + PartialEq + Debug>(cql_type: CqlType, value: T) {
    let column = spec("c", cql_type);
    let Ok(Values::Positional(bound)) = binding::bind(std::slice::from_ref(&column), &(&value,)) else {
        panic!("{value:?} can't be bound to {}", column.cql_type)
    };
    let Bound::Value(bytes) = &bound[0] else {
        panic!("unset")
    };
    let decoded: T = super::column(&column, bytes.as_ref()).unwrap();
    assert_eq!(decoded, value, "{}", column.cql_type);
}

fn set(element: CqlType) -> CqlType {
    CqlType::Set {
        element: Box::new(element),
        frozen: false,
    }
}

#[test]
fn what_went_in_comes_out() {
    back(CqlType::Tinyint, i8::MIN);
    back(CqlType::Bigint, u32::MAX);
    back(CqlType::Counter, -5i64);
    back(CqlType::Varint, i128::MAX / 3);
    back(CqlType::Boolean, true);
    back(CqlType::Float, -0.5f32);
    back(CqlType::Double, f64::MAX);
    back(CqlType::Text, "日本".to_owned());
    back(CqlType::Text, String::new());
    back(CqlType::Blob, vec![0u8, 255]);
    back(CqlType::Blob, serde_bytes::ByteBuf::from(vec![0u8, 255]));
    back(CqlType::Uuid, uuid::Uuid::from_u128(0x1234));
    back(CqlType::Inet, "::1".parse::<IpAddr>().unwrap());
    back(CqlType::Timestamp, 1_358_982_900_123i64);
    back(CqlType::Timestamp, "2013-01-23T23:15:00.123Z".to_owned());
    back(CqlType::Date, "2013-01-23".to_owned());
    back(CqlType::Date, 15_728i32);
    back(CqlType::Decimal, "-12.50".to_owned());
    back(CqlType::Int, None::<i32>);
    back(CqlType::Int, Some(1i32));
    back(
        set(CqlType::Text),
        BTreeSet::from(["a".to_owned(), "b".to_owned()]),
    );
    back(set(CqlType::Text), Some(vec!["a".to_owned()]));
    let nested = CqlType::Map {
        key: Box::new(CqlType::Int),
        value: Box::new(CqlType::List {
            element: Box::new(CqlType::Text),
            frozen: true,
        }),
        frozen: false,
    };
    back(
        nested,
        BTreeMap::from([(1, vec!["x".to_owned()]), (2, Vec::new())]),
    );
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
enum Colour {
    Red,
    DarkBlue,
}

#[test]
fn enums_are_text() {
    back(CqlType::Text, Colour::DarkBlue);
    back(set(CqlType::Ascii), vec![Colour::Red]);
}

#[test]
fn rows_become_structs_tuples_maps_and_single_values() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Named {
        b: Option<String>,
        a: i64,
    }
    #[derive(Deserialize, PartialEq, Debug)]
    struct Id(i32);
    let columns = [
        spec("a", CqlType::Int),
        spec("b", CqlType::Text),
        spec("c", CqlType::Boolean),
    ];
    let values = [
        Some(Bytes::from_static(&[0, 0, 0, 1])),
        None,
        Some(Bytes::from_static(&[1])),
    ];
    assert_eq!(
        super::row::<Named>(&columns, &values).unwrap(),
        Named { a: 1, b: None }
    );
    assert_eq!(
        super::row::<(i8, Option<&str>, bool)>(&columns, &values).unwrap(),
        (1, None, true)
    );
    let json: serde_json::Value = super::row(&columns[..1], &values[..1]).unwrap();
    assert_eq!(json, serde_json::json!({"a": 1}));
    assert_eq!(super::row::<Id>(&columns[..1], &values[..1]).unwrap(), Id(1));
    assert_eq!(super::row::<u8>(&columns[..1], &values[..1]).unwrap(), 1);
    assert_eq!(
        super::row::<Option<String>>(&columns[1..2], &values[1..2]).unwrap(),
        None
    );
}

#[test]
fn what_does_not_fit_names_the_column() {
    let columns = [spec("a", CqlType::Int), spec("b", CqlType::Text)];
    let values = [Some(Bytes::from_static(&[0, 0, 1, 0])), None];
    let error = |result: Result<(), crate::Error>| result.unwrap_err().to_string();
    let told = error(super::row::<(u8, Option<String>)>(&columns, &values).map(drop));
    assert!(
        told.contains("column a of type int") && told.contains("256"),
        "{told}"
    );
    let told = error(super::row::<(i32, String)>(&columns, &values).map(drop));
    assert_eq!(
        told,
        "column b of type text: the value is null; read it as an Option"
    );
    let told = error(super::row::<(i32,)>(&columns, &values).map(drop));
    assert!(told.contains("2 columns"), "{told}");
    assert!(super::row::<i32>(&columns, &values).is_err());
    assert!(super::row::<(i32, ())>(&columns, &values[..1]).is_err());
}

fn types() -> impl Strategy<Value = CqlType> {
    let scalar = prop::sample::select(vec![
        CqlType::Ascii,
        CqlType::Bigint,
        CqlType::Blob,
        CqlType::Boolean,
        CqlType::Date,
        CqlType::Decimal,
        CqlType::Double,
        CqlType::Duration,
        CqlType::Float,
        CqlType::Inet,
        CqlType::Int,
        CqlType::Text,
        CqlType::Time,
        CqlType::Timestamp,
        CqlType::Uuid,
        CqlType::Varint,
    ]);
    scalar.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, 0..3).prop_map(|(a, b, kind)| match kind {
            0 => CqlType::List {
                element: Box::new(a),
                frozen: true,
            },
            1 => CqlType::Set {
                element: Box::new(a),
                frozen: true,
            },
            _ => CqlType::Map {
                key: Box::new(a),
                value: Box::new(b),
                frozen: true,
            },
        })
    })
}

proptest! {
    #[test]
    fn bytes_that_are_no_value_are_an_error_and_not_a_panic(
        cql_type in types(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let column = spec("c", cql_type);
        let bytes = Bytes::from(bytes);
        let _ = super::column::<String>(&column, Some(&bytes));
        let _ = super::column::<i64>(&column, Some(&bytes));
        let _ = super::column::<Vec<String>>(&column, Some(&bytes));
        let _ = super::column::<BTreeMap<String, String>>(&column, Some(&bytes));
        let _ = super::column::<serde_json::Value>(&column, Some(&bytes));
    }
}
