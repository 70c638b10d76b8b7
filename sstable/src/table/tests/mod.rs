//! The file format: what is written is read, as drawn, and what is damaged is told.

mod blocks;
mod damage;
mod extent;
mod fixtures;
mod holes;
mod search;

use std::{path::Path, sync::Arc};

use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, DecoratedKey, Deletion, RangeTombstone, Row,
    Seconds, Timestamp, Token,
};

use super::{Table, TableWriter, WriterOptions, dump::dump, entry::Head, key, reader::file_name};
use crate::{
    Compression,
    fixtures::simple_row,
    fs::{Fs, MemoryFs},
    log::Lsn,
};

const DIR: &str = "/tables";

fn partition_key(token: i64, key: &'static str) -> DecoratedKey {
    DecoratedKey {
        token: Token(token),
        key: key.into(),
    }
}

fn deletion(timestamp: i64, at: u32) -> Deletion {
    Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(at),
    }
}

fn clustering(bytes: &[u8]) -> Clustering {
    Clustering::from(bytes.to_vec())
}

/// A table file on a new disk, written by `fill`.
fn table(options: WriterOptions, fill: impl FnOnce(&mut TableWriter)) -> (MemoryFs, Arc<Table>) {
    let memory = MemoryFs::new();
    memory.create_dir_all(Path::new(DIR)).unwrap();
    let fs: Arc<dyn Fs> = Arc::new(memory.clone());
    let path = Path::new(DIR).join(file_name(3));
    let mut writer = TableWriter::new(&fs, path, Lsn(42), options).unwrap();
    fill(&mut writer);
    writer.finish().unwrap();
    let table = Table::open(&memory, Path::new(DIR), 3).unwrap();
    (memory, Arc::new(table))
}

fn options(block_bytes: usize) -> WriterOptions {
    WriterOptions {
        block_bytes,
        compression: Compression::Lz4,
        filter_bits: 10,
    }
}

/// One of everything.
fn fill(writer: &mut TableWriter) {
    let head = Head {
        deletion: None,
        ranges: true,
    };
    writer.partition(&partition_key(-5, "alice"), head).unwrap();
    writer.static_row(&simple_row(10, b"static")).unwrap();
    let tombstone = RangeTombstone {
        range: ClusteringRange {
            start: b"b".as_slice().into(),
            end: Some(b"d".as_slice().into()),
        },
        deletion: deletion(11, 100),
    };
    writer.range(&tombstone).unwrap();
    writer.row(&clustering(b"a"), &simple_row(12, b"one")).unwrap();
    let mut row = simple_row(12, b"two");
    row.add(Cell {
        column: ColumnId(2),
        path: Some(b"element".as_slice().into()),
        timestamp: Timestamp(13),
        value: CellValue::Tombstone(Seconds(101)),
    });
    writer.row(&clustering(b"c"), &row).unwrap();
    let gone = Head {
        deletion: Some(deletion(20, 102)),
        ranges: false,
    };
    writer.partition(&partition_key(7, "bob"), gone).unwrap();
    let deleted = Row {
        deletion: Some(deletion(21, 103)),
        ..Row::default()
    };
    writer.row(&clustering(&[]), &deleted).unwrap();
}

#[test]
fn a_tiny_table_as_text() {
    let (_, table) = table(options(64), fill);
    let golden = "\
partitions 2 rows 4 static 1 cells 4 bytes 188 newest-write 42
deleted: partitions 1 ranges 1 rows 1 cells 1; expiring 0 for-ever 6
timestamps 10 to 21
deletions and expiries 100 to 103
clusterings 0x to 'c'
partition 'alice' token -5
  head ranges
  static inserted@10 c00000001='static'@10
  range 'b' to 'd' deleted@11 at 100
  row 'a' inserted@12 c00000001='one'@12
  row 'c' inserted@12 c00000001='two'@12 c00000002['element'] deleted@13 at 101
partition 'bob' token 7
  head deleted@20 at 102
  row 0x deleted@21 at 103
";
    assert_eq!(dump(&table).unwrap(), golden);
}

/// The bytes of the tiny table, by their checksum: a change of the format must be a new version.
#[test]
fn the_bytes_of_the_format_do_not_change_unnoticed() {
    let (fs, table) = table(options(64), fill);
    let bytes = fs.read(table.path()).unwrap();
    assert_eq!((bytes.len(), crate::checksum::checksum(&bytes)), GOLDEN);
}

const GOLDEN: (usize, u64) = (754, 10_036_990_186_167_457_571);

#[test]
fn many_rows_are_found_through_a_deep_index_both_ways() {
    let rows = || (0..3_000_u32).map(|row| row * 2);
    let (_, table) = table(options(128), |writer| {
        writer
            .partition(&partition_key(1, "wide"), Head::default())
            .unwrap();
        for row in rows() {
            writer
                .row(&clustering(&row.to_be_bytes()), &simple_row(1, b"v"))
                .unwrap();
        }
    });
    let prefix = key::entry(&key::prefix(&partition_key(1, "wide")), key::Kind::Row, &[]);
    let at = |row: u32| [&prefix[..], &row.to_be_bytes()].concat();
    let mut cursor = table.cursor();
    for row in rows() {
        for target in [row.saturating_sub(1), row] {
            let expected = target + target % 2;
            assert!(cursor.seek(&at(target)).unwrap());
            assert_eq!(cursor.key(), Some(&at(expected)[..]));
        }
        if row > 0 {
            assert!(cursor.seek_before(&at(row)).unwrap());
            assert_eq!(cursor.key(), Some(&at(row - 2)[..]));
        }
    }
    assert!(!cursor.seek(&at(6_000)).unwrap());
    assert!(cursor.seek_before(&at(6_000)).unwrap());
    let mut back = 0;
    while cursor.prev().unwrap() {
        back += 1;
    }
    assert_eq!(back, 2_999, "the other rows");
    assert!(cursor.last().unwrap());
    assert_eq!(cursor.key(), Some(&at(5_998)[..]));
    assert!(!cursor.seek_before(&[]).unwrap());
    assert!(cursor.first().unwrap());
}

#[test]
fn the_filter_has_no_false_negatives_and_few_false_positives() {
    let name = |number: u32| DecoratedKey {
        token: Token(i64::from(number / 3)),
        key: number.to_be_bytes().to_vec().into(),
    };
    let (_, table) = table(options(4096), |writer| {
        for number in (0..20_000).step_by(2) {
            writer.partition(&name(number), Head::default()).unwrap();
            writer.row(&clustering(&[]), &simple_row(1, b"v")).unwrap();
        }
    });
    let contains = |number| {
        let key = name(number);
        table.may_contain(&key, &key::prefix(&key)).unwrap()
    };
    assert!((0..20_000).step_by(2).all(contains));
    let wrong = (1..20_000).step_by(2).filter(|number| contains(*number)).count();
    assert!(
        wrong < 250,
        "{wrong} of 10,000 are false positives at 10 bits a partition"
    );
}
