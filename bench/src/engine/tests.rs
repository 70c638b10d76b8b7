//! The parts of the comparison that can be wrong without anybody noticing.

use std::collections::BTreeMap;

use super::{
    chart::quantity,
    compare::{Aim, Measured, Row},
    rows::{Key, VALUE_BYTES, Values, WIDE_COLUMNS, first_column, plain_row},
    session::Store,
    timeline::{INTERVAL_MS, Timeline},
};

#[test]
fn keys_are_distinct_and_sort_by_token() {
    let mut keys: Vec<Key> = (0..10_000)
        .map(Key::of)
        .chain((0..100).map(Key::missing))
        .collect();
    keys.sort_by_key(|key| key.bytes());
    assert!(keys.windows(2).all(|pair| pair[0].token < pair[1].token));
}

#[test]
fn values_are_the_same_each_time_and_differ_by_update() {
    let (one, other) = (Values::new(), Values::new());
    assert_eq!(one.of(7, 0), other.of(7, 0));
    assert_eq!(one.of(7, 0).len(), VALUE_BYTES);
    assert_ne!(one.of(7, 0), one.of(7, 1));
    assert_ne!(one.of(7, 0), one.of(8, 0));
}

#[test]
fn plain_rows_give_their_first_column_back() {
    let values = Values::new();
    let value = values.of(1, 0);
    let mut row = Vec::new();
    plain_row(value, 1, &mut row);
    assert_eq!(first_column(&row, 1), value);
    plain_row(value, WIDE_COLUMNS, &mut row);
    assert_eq!(
        first_column(&row, WIDE_COLUMNS),
        &value[..VALUE_BYTES / WIDE_COLUMNS]
    );
}

fn row(more_is_better: bool, aim: Aim, medians: [f64; 3]) -> Row {
    let stores = [Store::Starling, Store::Rocksdb, Store::Fjall];
    Row {
        name: "a quantity".to_owned(),
        more_is_better,
        aim: Some(aim),
        stores: stores
            .into_iter()
            .zip(medians)
            .map(|(store, median)| {
                let runs = vec![median];
                (store, Measured { runs, median })
            })
            .collect::<BTreeMap<_, _>>(),
    }
}

#[test]
fn ours_is_measured_against_the_better_of_the_others() {
    let rate = row(true, Aim::Times(2.0), [100.0, 40.0, 60.0]);
    assert_eq!(rate.ratio(), Some(100.0 / 60.0));
    assert_eq!(rate.met(), Some(false));
    let cost = row(false, Aim::Times(0.8), [3.0, 5.0, 4.0]);
    assert_eq!(cost.ratio(), Some(0.75));
    assert_eq!(cost.met(), Some(true));
}

#[test]
fn without_others_there_is_no_verdict() {
    let mut alone = row(true, Aim::Times(2.0), [1.0, 1.0, 1.0]);
    alone.stores.retain(|store, _| *store == Store::Starling);
    assert_eq!(alone.ratio(), None);
    assert_eq!(alone.met(), None);
}

#[test]
fn a_bound_holds_whatever_the_others_have() {
    assert_eq!(row(false, Aim::Most(5.0), [5.0, 0.0, 1.0]).met(), Some(true));
    assert_eq!(row(false, Aim::Most(5.0), [5.1, 90.0, 90.0]).met(), Some(false));
}

#[test]
fn timelines_of_threads_add_up() {
    let start = std::time::Instant::now();
    let later = start + std::time::Duration::from_millis(INTERVAL_MS);
    let (mut one, mut other) = (Timeline::new(start), Timeline::new(start));
    one.record(start, 10, 1);
    other.record(start, 30, 2);
    other.record(later, 20, 1);
    one.merge(&other);
    let intervals: Vec<(u64, u64)> = one
        .intervals()
        .into_iter()
        .map(|interval| (interval.writes, interval.worst_ns))
        .collect();
    assert_eq!(intervals, [(3, 30), (1, 20)]);
}

#[test]
fn quantities_have_three_digits() {
    let written: Vec<String> = [0.123, 12.34, 345.6, 45_678.0, 2_345_678.0]
        .into_iter()
        .map(quantity)
        .collect();
    assert_eq!(written, ["0.12", "12.3", "346", "46 k", "2.35 M"]);
}
