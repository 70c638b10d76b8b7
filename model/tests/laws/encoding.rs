//! Encodings: what was written is read; what wasn't is refused, at a cost in proportion to its size.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use starling_model::{
    DecodeError, DecoratedKey, Mutation, Partition, TableId, Timestamp, Token,
    encoding::{Reader, Writer},
    key::MAX_PARTITION_KEY_BYTES,
};

use crate::generators::partition;

fn mutation() -> impl Strategy<Value = Mutation> {
    (any::<u128>(), any::<i64>(), vec(any::<u8>(), 0..20), partition()).prop_map(
        |(table, token, key, partition)| Mutation {
            table: TableId(table),
            key: DecoratedKey {
                token: Token(token),
                key: key.into(),
            },
            partition,
        },
    )
}

fn decode(bytes: Bytes) -> Result<Partition, DecodeError> {
    let mut input = Reader::new(bytes);
    let partition = input.partition()?;
    input.end()?;
    Ok(partition)
}

fn encode(partition: &Partition) -> Bytes {
    let mut out = Writer::default();
    out.partition(partition);
    out.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn mutations_come_back(mutation in mutation()) {
        prop_assert_eq!(Mutation::decode(mutation.encode()), Ok(mutation));
    }

    /// Whatever is accepted is canonical, and written again has the same bytes.
    #[test]
    fn changed_bytes_are_refused_or_canonical(
        partition in partition(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&partition).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(decoded) = decode(bytes.into()) {
            prop_assert!(decoded.is_canonical());
            prop_assert_eq!(decode(encode(&decoded)), Ok(decoded));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        if let Ok(decoded) = decode(bytes.clone()) {
            prop_assert!(decoded.is_canonical());
        }
        let _ = Mutation::decode(bytes);
    }

    #[test]
    fn every_prefix_is_too_short(mutation in mutation()) {
        let bytes = mutation.encode();
        for length in 0..bytes.len() {
            prop_assert!(Mutation::decode(bytes.slice(..length)).is_err());
        }
    }

    #[test]
    fn numbers_and_timestamps_come_back(number in any::<u64>(), timestamp in any::<i64>()) {
        let mut out = Writer::default();
        out.varint(number);
        out.timestamp(Timestamp(timestamp));
        let mut input = Reader::new(out.finish());
        prop_assert_eq!(input.varint(), Ok(number));
        prop_assert_eq!(input.timestamp(), Ok(Timestamp(timestamp)));
        prop_assert_eq!(input.end(), Ok(()));
    }
}

#[test]
fn numbers_have_ten_bytes_at_most() {
    let read = |bytes: &'static [u8]| Reader::new(Bytes::from_static(bytes)).varint();
    assert_eq!(
        read(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
        Ok(u64::MAX)
    );
    assert_eq!(
        read(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]),
        Err(DecodeError::Number)
    );
    assert_eq!(read(&[0x80; 11]), Err(DecodeError::Number));
    assert_eq!(read(&[0x80; 9]), Err(DecodeError::Truncated));
    assert_eq!(read(&[]), Err(DecodeError::Truncated));
}

/// A count or a length that promises more than there is allocates nothing.
#[test]
fn promises_are_checked_before_memory_is_taken() {
    for count in [u64::from(u32::MAX), u64::MAX, 1 << 40] {
        let mut out = Writer::default();
        out.byte(0);
        out.varint(count);
        assert!(decode(out.finish()).is_err());
        let mut out = Writer::default();
        out.varint(count);
        assert_eq!(Reader::new(out.finish()).bytes(), Err(DecodeError::Truncated));
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    // Two rows with the same clustering, each a marker at timestamp 0.
    let twice = [0, 0, 2, 1, b'a', 1, 0, 0, 1, b'a', 1, 0, 0];
    // A row that says nothing.
    let empty_row = [0, 0, 1, 1, b'a', 0, 0];
    // A partition deletion at timestamp 1 (zigzag 2), and a marker at 0 under it.
    let covered = [1, 2, 0, 0, 1, 1, b'a', 1, 0, 0];
    // A range without content: from "a" to "a".
    let empty_range = [0, 1, 1, 1, b'a', 1, b'a', 0, 0, 0];
    for bytes in [&twice[..], &empty_row, &covered, &empty_range] {
        assert_eq!(
            decode(Bytes::copy_from_slice(bytes)),
            Err(DecodeError::NotCanonical),
            "{bytes:?}"
        );
    }
    assert_eq!(decode(Bytes::from_static(&[8])), Err(DecodeError::Flags(8)));
    assert_eq!(
        decode(Bytes::from_static(&[0, 0, 0, 7])),
        Err(DecodeError::Trailing(1))
    );
}

#[test]
fn a_key_that_is_too_long_is_refused() {
    let of_length = |length| Mutation {
        table: TableId(1),
        key: DecoratedKey {
            token: Token(0),
            key: vec![0; length].into(),
        },
        partition: Partition::default(),
    };
    assert!(Mutation::decode(of_length(MAX_PARTITION_KEY_BYTES).encode()).is_ok());
    let longer = MAX_PARTITION_KEY_BYTES + 1;
    assert_eq!(
        Mutation::decode(of_length(longer).encode()),
        Err(DecodeError::KeyTooLong(longer))
    );
}

/// The bytes of a known mutation: they may never change, for logs and tables hold them.
#[test]
fn the_layout_is_fixed() {
    use starling_model::{
        Cell, CellValue, Clustering, ClusteringRange, ColumnId, Deletion, Expiry, Marker, RangeTombstone,
        Row, Seconds,
    };
    let mut partition = Partition::default();
    partition.delete(Deletion {
        timestamp: Timestamp(-1),
        at: Seconds(1),
    });
    partition.delete_range(RangeTombstone {
        range: ClusteringRange::prefix(&[0x40, 9]),
        deletion: Deletion {
            timestamp: Timestamp(64),
            at: Seconds(300),
        },
    });
    let expiry = Some(Expiry {
        at: Seconds(200),
        ttl: 100,
    });
    let cell = Cell {
        column: ColumnId(2),
        path: Some(Bytes::from_static(b"p")),
        timestamp: Timestamp(5),
        value: CellValue::Live {
            value: Bytes::from_static(b"xy"),
            expiry,
        },
    };
    let gone = Cell {
        column: ColumnId(3),
        path: None,
        timestamp: Timestamp(6),
        value: CellValue::Tombstone(Seconds(7)),
    };
    let marker = Some(Marker {
        timestamp: Timestamp(5),
        expiry: None,
    });
    partition.add_row(
        Clustering::from(vec![0x40, 1]),
        Row {
            marker,
            deletion: None,
            cells: vec![cell, gone],
        },
    );
    let mutation = Mutation {
        table: TableId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        key: DecoratedKey {
            token: Token(-2),
            key: Bytes::from_static(b"k"),
        },
        partition,
    };
    let bytes = |row: [&str; 3]| {
        let hex = [
            "0102030405060708090a0b0c0d0e0f10", // table
            "fffffffffffffffe",                 // token
            "016b",                             // key
            "010101",                           // partition deletion: -1 is 1 in zigzag
            "01",                               // one range
            "01024009034009ff8001ac02",         // [40 09, 40 09 FF), timestamp 64, second 300
            "01",                               // one row
            "024001",                           // its clustering
        ]
        .into_iter()
        .chain(row)
        .collect::<String>();
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect::<Bytes>()
    };
    let present = bytes([
        "2905000000000080",   // two cells, marker at 5
        "260170c80164027879", // c2["p"] = "xy" at 5, expires
        "190600000000008007", // c3 deleted at 6
    ]);
    assert_eq!(mutation.encode(), present);
    let older = bytes([
        "010a02",                 // marker at 5, two cells
        "060201700ac80164027879", // c2["p"] = "xy" at 5, expires
        "01030c07",               // c3 deleted at 6
    ]);
    assert_eq!(Mutation::decode(older), Ok(mutation));
}
