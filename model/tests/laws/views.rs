//! What is looked at in place is what decoding would make.

use proptest::{collection::vec, option, prelude::*};
use starling_model::{
    Clustering, Deletion, Mutation, Partition, Row, Seconds, TableId,
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
