use std::path::Path;

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, Deletion, RangeTombstone, Seconds, TableId,
    Timestamp, Token, mutation::MAX_MUTATION_BYTES,
};
use starling_sstable::{
    Engine, Options, Step,
    fs::{Fs, MemoryFs},
};

use super::*;
use crate::restore::matching::Target;

const TABLE: TableId = TableId(7);

fn row(timestamp: i64, cells: u32, bytes: usize) -> Row {
    let mut row = Row::default();
    for column in 1..=cells {
        row.add(Cell {
            column: ColumnId(column),
            path: None,
            timestamp: Timestamp(timestamp),
            value: CellValue::Live {
                value: Bytes::from(vec![7; bytes]),
                expiry: None,
            },
        });
    }
    row
}

fn deletion(timestamp: i64) -> Deletion {
    Deletion {
        timestamp: Timestamp(timestamp),
        at: Seconds(1),
    }
}

/// Two partitions: one with everything that there is, and one with a row larger than a mutation.
fn written() -> Vec<Mutation> {
    let mut all = Partition::default();
    all.delete(deletion(3));
    all.add_static(row(5, 1, 10));
    all.delete_range(RangeTombstone {
        range: ClusteringRange {
            start: Bytes::from("a"),
            end: Some(Bytes::from("b")),
        },
        deletion: deletion(4),
    });
    for n in 0..2_000_u32 {
        all.add_row(Clustering::from(n.to_be_bytes().to_vec()), row(6, 2, 50));
    }
    let mut large = Partition::default();
    large.add_row(Clustering::from(Vec::new()), row(6, 20, 1 << 20));
    [all, large]
        .into_iter()
        .zip(1_u8..)
        .map(|(partition, n)| Mutation {
            table: TABLE,
            key: DecoratedKey {
                token: Token(i64::from(n)),
                key: Bytes::from(vec![n]),
            },
            partition,
        })
        .collect()
}

fn table(fs: &MemoryFs) -> Arc<Table> {
    let dir = Path::new("/engine");
    let (mut engine, _) = Engine::open(Arc::new(fs.clone()), dir.to_owned(), Options::default()).unwrap();
    for mutation in written() {
        for piece in mutation.pieces(8 << 20) {
            let mut rows = piece.partition.rows.clone().into_iter().peekable();
            // A row of 20 MiB comes in several writes.
            if piece.partition.weight() > 8 << 20 {
                let (clustering, row) = rows.next().unwrap();
                for part in super::parts(row) {
                    let mut partition = Partition::default();
                    partition.add_row(clustering.clone(), part);
                    engine
                        .apply(&Mutation {
                            partition,
                            ..piece.clone()
                        })
                        .unwrap();
                }
            } else {
                engine.apply(&piece).unwrap();
            }
        }
    }
    engine.flush_all();
    while let Some(mut job) = engine.next_job(Seconds(1)) {
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    }
    let files = engine.files(TABLE);
    assert_eq!(files.len(), 1);
    files.into_iter().next().unwrap()
}

fn target() -> Target {
    Target::same(TABLE)
}

#[test]
fn the_pieces_of_a_file_are_small_and_merge_to_what_it_holds() {
    let fs = MemoryFs::new();
    let table = table(&fs);
    let mut pieces = Vec::new();
    let mut rows = 0;
    let moved = |key: DecoratedKey| DecoratedKey {
        token: Token(key.token.0 + 100),
        ..key
    };
    cut(&table, &target(), &moved, &mut |mutation, some| {
        pieces.push(mutation);
        rows += some;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(rows, 2_001);
    assert!(pieces.len() > 8, "{}", pieces.len());
    for piece in &pieces {
        assert!(piece.partition.is_canonical());
        assert!(piece.encode().len() <= ROW_BYTES + (1 << 20));
    }
    for expected in written() {
        let mut merged = Partition::default();
        let token = Token(expected.key.token.0 + 100);
        for piece in pieces.iter().filter(|piece| piece.key.token == token) {
            assert_eq!((&piece.key.key, piece.table), (&expected.key.key, TABLE));
            merged.merge(piece.partition.clone());
        }
        assert!(merged == expected.partition, "token {token}");
    }
}

#[test]
fn who_has_enough_gets_no_more_and_what_comes_before_damage_is_given() {
    let fs = MemoryFs::new();
    let whole = table(&fs);
    let same = |key: DecoratedKey| key;
    let mut given = 0;
    cut(&whole, &target(), &same, &mut |_, _| {
        given += 1;
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(given, 1);
    let path = whole.path().to_owned();
    drop(whole);
    let middle = fs.read(&path).unwrap().len() / 2;
    fs.damage(&path, |bytes| bytes[middle] ^= 1).unwrap();
    let damaged = Arc::new(Table::open_file(&fs, path, 1).unwrap());
    let mut given = 0;
    let read = cut(&damaged, &target(), &same, &mut |_, _| {
        given += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
    assert!(given > 1);
}

#[test]
fn what_just_fits_a_mutation_is_given_alone() {
    let key = DecoratedKey {
        token: Token(1),
        key: Bytes::from("k"),
    };
    let mut given = Vec::new();
    let target = target();
    let mut gathering = Gathering {
        target: &target,
        key: Some(key),
        partition: Partition::default(),
        bytes: 0,
        rows: 0,
        take: &mut |mutation, rows| {
            given.push((mutation.encode().len(), rows));
            ControlFlow::Continue(())
        },
    };
    let same = |key: DecoratedKey| key;
    let nearly = MAX_MUTATION_BYTES - 100;
    for (n, bytes) in [(0_u8, 1 << 10), (1, nearly), (2, 1 << 10)] {
        let row = Shown::Row(Clustering::from(vec![n]), row(6, 1, bytes));
        assert!(gathering.add(row, &same).is_continue());
    }
    assert!(gathering.give().is_continue());
    assert!(
        given.iter().all(|(bytes, _)| *bytes <= MAX_MUTATION_BYTES),
        "{given:?}"
    );
    assert_eq!(given.iter().map(|(_, rows)| rows).sum::<u64>(), 3);
}
