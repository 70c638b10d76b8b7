//! Byte-comparable encodings order as what they encode, ascending and descending, alone and in a row.

use std::cmp::Ordering;

use proptest::{collection::vec, prelude::*};
use starling_model::ordered::{
    EMPTY, EMPTY_DESCENDING, Malformed, VALUE, flip_sign, invert, order_float, put_bytes, restore_float,
    take_bytes,
};

fn escaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, value);
    out
}

fn inverted(mut bytes: Vec<u8>) -> Vec<u8> {
    invert(&mut bytes);
    bytes
}

fn integer(value: i64) -> [u8; 8] {
    let mut bytes = value.to_be_bytes();
    flip_sign(&mut bytes);
    bytes
}

fn float(value: f64) -> [u8; 8] {
    let mut bytes = value.to_be_bytes();
    order_float(&mut bytes);
    bytes
}

fn few_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(
        prop_oneof![Just(0_u8), Just(1), Just(0xFE), Just(0xFF), any::<u8>()],
        0..8,
    )
}

proptest! {
    #[test]
    fn bytes_order_and_come_back(a in few_bytes(), b in few_bytes(), rest in few_bytes()) {
        prop_assert_eq!(escaped(&a).cmp(&escaped(&b)), a.cmp(&b));
        prop_assert_eq!(inverted(escaped(&a)).cmp(&inverted(escaped(&b))), b.cmp(&a));
        let written = [escaped(&a), rest.clone()].concat();
        let mut input = &written[..];
        prop_assert_eq!(take_bytes(&mut input), Ok(a));
        prop_assert_eq!(input, &rest[..]);
    }

    /// What follows never changes the order of what comes first.
    #[test]
    fn components_order_one_after_the_other(
        a in (few_bytes(), any::<i64>(), few_bytes()),
        b in (few_bytes(), any::<i64>(), few_bytes()),
    ) {
        let key = |(x, y, z): &(Vec<u8>, i64, Vec<u8>)| {
            let mut out = vec![VALUE];
            put_bytes(&mut out, x);
            out.push(VALUE);
            out.extend_from_slice(&integer(*y));
            out.push(VALUE);
            out.extend(inverted(escaped(z)));
            out
        };
        let expected = (&a.0, a.1).cmp(&(&b.0, b.1)).then_with(|| b.2.cmp(&a.2));
        prop_assert_eq!(key(&a).cmp(&key(&b)), expected);
    }

    #[test]
    fn integers_order(a in any::<i64>(), b in any::<i64>()) {
        prop_assert_eq!(integer(a).cmp(&integer(b)), a.cmp(&b));
        let mut back = integer(a);
        flip_sign(&mut back);
        prop_assert_eq!(i64::from_be_bytes(back), a);
    }

    #[test]
    fn floats_order(a in any::<f64>(), b in any::<f64>()) {
        prop_assert_eq!(float(a).cmp(&float(b)), a.total_cmp(&b));
        let mut back = float(a);
        restore_float(&mut back);
        prop_assert_eq!(f64::from_be_bytes(back).to_bits(), a.to_bits());
    }

    #[test]
    fn garbage_never_panics(bytes in vec(0_u8..3, 0..12)) {
        let mut input = &bytes[..];
        if let Ok(value) = take_bytes(&mut input) {
            prop_assert_eq!([escaped(&value), input.to_vec()].concat(), bytes);
        }
    }
}

#[test]
fn an_empty_value_sorts_at_its_end() {
    let value = |first: u8| [&[VALUE][..], &[first; 8]].concat();
    assert!(vec![EMPTY] < value(0));
    assert!(vec![EMPTY_DESCENDING] > value(0xFF));
    const { assert!(EMPTY_DESCENDING < 0xFF, "no component begins with FF") };
}

#[test]
fn what_was_not_written_is_malformed() {
    for bytes in [&[][..], &[1], &[0], &[0, 2], &[5, 0, 0xFF]] {
        assert_eq!(take_bytes(&mut &*bytes), Err(Malformed), "{bytes:?}");
    }
}

#[test]
fn zeros_of_both_signs_are_neighbours() {
    assert_eq!(float(-0.0).cmp(&float(0.0)), Ordering::Less);
    assert!(float(f64::NEG_INFINITY) < float(f64::MIN));
    assert!(float(f64::MAX) < float(f64::INFINITY));
    assert!(float(f64::INFINITY) < float(f64::NAN));
}
