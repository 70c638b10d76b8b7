//! What is looked at in place is what decoding would make.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, Deletion, Expiry, Marker, Mutation, Partition, Row, Seconds,
    TableId, Timestamp,
    encoding::{Input, MutationView, Reader, RowMerger, RowView, Writer},
};

use crate::generators::{deletion, partition, row};

fn encode(row: &Row) -> Vec<u8> {
    let mut out = Writer::default();
    out.row(row);
    out.into_vec()
}

fn decode(bytes: &[u8]) -> Row {
    let mut input = Reader::new(bytes.to_vec().into());
    let row = input.row().unwrap();
    input.end().unwrap();
    row
}

/// The layout of version 2.
fn encode_older(row: &Row) -> Vec<u8> {
    let mut out = Writer::default();
    let expiry = row.marker.and_then(|marker| marker.expiry);
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    out.byte(flag(row.marker.is_some(), 1) | flag(expiry.is_some(), 2) | flag(row.deletion.is_some(), 4));
    let put_expiry = |out: &mut Writer, expiry: Option<Expiry>| {
        if let Some(expiry) = expiry {
            out.varint(expiry.at.0.into());
            out.varint(expiry.ttl.into());
        }
    };
    if let Some(marker) = row.marker {
        out.timestamp(marker.timestamp);
        put_expiry(&mut out, expiry);
    }
    if let Some(deletion) = row.deletion {
        out.deletion(deletion);
    }
    out.varint(row.cells.len() as u64);
    for cell in &row.cells {
        let (gone, expiry) = match &cell.value {
            CellValue::Tombstone(_) => (true, None),
            CellValue::Live { expiry, .. } => (false, *expiry),
        };
        out.byte(flag(gone, 1) | flag(expiry.is_some(), 2) | flag(cell.path.is_some(), 4));
        out.varint(cell.column.0.into());
        if let Some(path) = &cell.path {
            out.bytes(path);
        }
        out.timestamp(cell.timestamp);
        match &cell.value {
            CellValue::Tombstone(at) => out.varint(at.0.into()),
            CellValue::Live { value, expiry } => {
                put_expiry(&mut out, *expiry);
                out.bytes(value);
            }
        }
    }
    out.into_vec()
}

/// A row with anything in it, but in order.
fn far_row() -> impl Strategy<Value = Row> {
    let timestamp = || {
        prop_oneof![
            any::<i64>(),
            0_i64..3,
            Just(i64::MIN),
            Just(i64::MAX),
            Just(1 << 55),
            Just((1 << 55) - 1)
        ]
        .prop_map(Timestamp)
    };
    let expiry = || {
        option::of((0_u32..3, any::<u32>()).prop_map(|(ttl, at)| Expiry {
            at: Seconds(at / 2 * 2),
            ttl,
        }))
    };
    let value = prop_oneof![
        1 => any::<u32>().prop_map(|at| CellValue::Tombstone(Seconds(at))),
        3 => (vec(any::<u8>(), 0..200), expiry())
            .prop_map(|(value, expiry)| CellValue::Live { value: value.into(), expiry }),
    ];
    let cells = btree_map(
        any::<u32>().prop_map(|column| column >> (column % 31)),
        (timestamp(), value),
        0..40,
    );
    let marker = option::of((timestamp(), expiry()));
    (marker, cells).prop_map(|(marker, cells)| Row {
        marker: marker.map(|(timestamp, expiry)| Marker { timestamp, expiry }),
        deletion: None,
        cells: cells
            .into_iter()
            .map(|(column, (timestamp, value))| Cell {
                column: ColumnId(column),
                path: None,
                timestamp,
                value,
            })
            .collect(),
    })
}

fn all_rows(view: &MutationView<'_>) -> Option<Vec<(Clustering, Row)>> {
    let mut rows = view.rows().ok()??;
    let mut found = Vec::new();
    loop {
        match rows.next().ok()? {
            Some(entry) => found.push((Clustering::from(entry.clustering.to_vec()), decode(entry.encoded))),
            None => return Some(found),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn merging_encoded_rows_is_merging_rows(
        rows in vec(row(), 1..5),
        cover in option::of(deletion()),
    ) {
        let encoded: Vec<Vec<u8>> = rows.iter().map(encode).collect();
        let slices: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        let mut expected = Row::default();
        for row in rows {
            expected.merge(row);
        }
        if let Some(cover) = cover {
            expected.cover(cover);
        }
        let mut merger = RowMerger::default();
        for _ in 0..2 {
            let merged = merger.merge(&slices, cover).unwrap();
            prop_assert_eq!(merged.map(<[u8]>::to_vec), (!expected.is_empty()).then(|| encode(&expected)));
            prop_assert_eq!(merger.take(), encode(&expected));
        }
    }

    #[test]
    fn a_row_in_place_says_what_the_row_says(row in row(), by in deletion(), now in 0_u32..12) {
        let encoded = encode(&row);
        let view = RowView::new(&encoded).unwrap();
        let taken = RowView::take(&mut Input::new(&encoded)).unwrap();
        prop_assert_eq!(view, taken);
        prop_assert_eq!((view.marker, view.deletion), (row.marker, row.deletion));
        prop_assert_eq!(view.is_live(Seconds(now)), Ok(row.is_live(Seconds(now))));
        prop_assert_eq!(view.survives(by), Ok(row.survives(by)));
        prop_assert_eq!(view.weight(), Ok(row.weight()));
        let timestamps = row.cells.iter().map(|cell| cell.timestamp)
            .chain(row.marker.map(|marker| marker.timestamp))
            .chain(row.deletion.map(|deletion| deletion.timestamp));
        let range = timestamps.clone().min().zip(timestamps.max());
        prop_assert_eq!(view.timestamps(), Ok(range));
    }

    /// Also of bytes that were changed: a view takes exactly what decoding takes.
    #[test]
    fn a_mutation_in_place_has_the_rows_that_decoding_finds(
        key in vec(any::<u8>(), 0..20),
        mut partition in partition(),
        plain in any::<bool>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        if plain {
            partition = Partition { rows: partition.rows, ..Partition::default() };
        }
        let key = starling_model::DecoratedKey { token: starling_model::Token(5), key: key.into() };
        let mutation = Mutation { table: TableId(3), key: key.clone(), partition };
        let mut bytes = mutation.encode().to_vec();
        for (at, byte) in changes {
            // The table and the token are any bytes.
            let at = 24 + at.index(bytes.len() - 24);
            bytes[at] = byte;
        }
        let decoded = Mutation::decode(bytes.clone().into());
        let view = MutationView::new(&bytes);
        if let Ok(decoded) = decoded {
            let view = view.unwrap();
            prop_assert_eq!(view.decorated_key(), decoded.key.clone());
            let only_rows = Partition { rows: decoded.partition.rows.clone(), ..Partition::default() };
            let expected = (only_rows == decoded.partition)
                .then(|| only_rows.rows.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(all_rows(&view), expected);
        } else if let Ok(view) = view {
            prop_assert_eq!(all_rows(&view), None);
        }
    }

    /// Of any timestamps, columns and counts, which the small world has not.
    #[test]
    fn rows_come_back(row in far_row()) {
        let encoded = encode(&row);
        prop_assert_eq!(decode(&encoded), row.clone());
        for end in 0..encoded.len() {
            prop_assert!(RowView::take(&mut Input::new(&encoded[..end])).is_err());
        }
        let mut merger = RowMerger::default();
        let again = merger.merge(&[&encoded], None).unwrap().map(<[u8]>::to_vec);
        prop_assert_eq!(again, (!row.is_empty()).then_some(encoded));
    }

    /// Tables and logs of version 2 have such rows.
    #[test]
    fn rows_of_the_older_layout_are_read_and_merged(older in row(), newer in row()) {
        let (bytes, other) = (encode_older(&older), encode(&newer));
        prop_assert_eq!(decode(&bytes), older.clone());
        let taken = RowView::take(&mut Input::new(&bytes)).unwrap();
        prop_assert_eq!(taken, RowView::new(&bytes).unwrap());
        let mut present = Writer::default();
        present.encoded_row(&bytes).unwrap();
        prop_assert_eq!(present.as_slice(), &encode(&older));
        let mut expected = older;
        expected.merge(newer);
        let mut merger = RowMerger::default();
        let merged = merger.merge(&[&bytes, &other], None).unwrap();
        prop_assert_eq!(merged.map(<[u8]>::to_vec), (!expected.is_empty()).then(|| encode(&expected)));
    }

    #[test]
    fn numbers_of_all_lengths_are_read_in_place(number in any::<u64>(), shift in 0_u32..64, rest in 0_usize..10) {
        let mut out = Writer::default();
        out.varint(number >> shift);
        let length = out.as_slice().len();
        out.fixed(&vec![0xFF; rest]);
        let bytes = out.into_vec();
        let mut input = Input::new(&bytes);
        prop_assert_eq!(input.varint(), Ok(number >> shift));
        prop_assert_eq!(input.rest().len(), rest);
        for end in 0..length {
            prop_assert!(Input::new(&bytes[..end]).varint().is_err());
        }
    }
}

#[test]
fn a_deletion_in_place_covers_the_marker_too() {
    let mut out = Writer::default();
    out.byte(1 | 4);
    out.timestamp(starling_model::Timestamp(3));
    out.deletion(Deletion {
        timestamp: starling_model::Timestamp(3),
        at: Seconds(1),
    });
    out.varint(0);
    let bytes = out.into_vec();
    assert!(RowView::take(&mut Input::new(&bytes)).is_err());
    assert!(Reader::new(bytes.into()).row().is_err());
}
