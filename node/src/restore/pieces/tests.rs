use std::path::Path;

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ClusteringRange, ColumnId, Deletion, Expiry, Marker, RangeTombstone,
    Seconds, TableId, Timestamp, Token, mutation::MAX_MUTATION_BYTES,
};
use starling_sstable::{
    Engine, Options, PurgePolicy, Step,
    fs::{Fs, MemoryFs},
};

use super::*;
use crate::restore::matching::Target;

const TABLE: TableId = TableId(7);

/// An age that changes nothing.
fn as_it_was() -> Age {
    Age::at(Seconds(0))
}

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
    cut(&table, &target(), &as_it_was, &moved, &mut |mutation, some| {
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
    cut(&whole, &target(), &as_it_was, &same, &mut |_, _| {
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
    let read = cut(&damaged, &target(), &as_it_was, &same, &mut |_, _| {
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
        age: &as_it_was,
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

/// The present second of those who restore.
const NOW: Seconds = Seconds(1_000_000);

/// How long tombstones are kept.
const GRACE: u32 = 1_000;

fn engine(fs: &MemoryFs, dir: &str) -> Engine {
    let (mut engine, _) = Engine::open(Arc::new(fs.clone()), dir.into(), Options::default()).unwrap();
    engine.set_purge(TABLE, PurgePolicy::After { grace: GRACE });
    engine
}

fn work(engine: &mut Engine, now: Seconds) {
    engine.flush_all();
    while let Some(mut job) = engine.next_job(now) {
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    }
}

/// Everything that is written to one partition.
fn partition(content: Partition) -> Mutation {
    Mutation {
        table: TABLE,
        key: DecoratedKey {
            token: Token(1),
            key: Bytes::from("k"),
        },
        partition: content,
    }
}

/// Old data, all of it covered by what [`deleted`] has.
fn data() -> Mutation {
    let mut content = Partition::default();
    for name in ["partition", "range", "row", "cell", "expired"] {
        let timestamp = if name == "partition" { 1 } else { 5 };
        content.add_row(Clustering::from(name.as_bytes().to_vec()), row(timestamp, 1, 10));
    }
    partition(content)
}

/// Deletions of every kind, long ago.
fn deleted() -> Mutation {
    let mut content = Partition::default();
    content.delete(deletion(2));
    content.delete_range(RangeTombstone {
        range: ClusteringRange::row(&Clustering::from(b"range".to_vec())),
        deletion: deletion(6),
    });
    let deleted = Row {
        deletion: Some(deletion(6)),
        ..Row::default()
    };
    content.add_row(Clustering::from(b"row".to_vec()), deleted);
    let end = Expiry {
        at: Seconds(10),
        ttl: 5,
    };
    for (name, value) in [
        ("cell", CellValue::Tombstone(Seconds(1))),
        (
            "expired",
            CellValue::Live {
                value: Bytes::from("new"),
                expiry: Some(end),
            },
        ),
    ] {
        let mut row = Row::default();
        row.add(Cell {
            column: ColumnId(1),
            path: None,
            timestamp: Timestamp(6),
            value,
        });
        if name == "expired" {
            row.marker = Some(Marker {
                timestamp: Timestamp(6),
                expiry: Some(end),
            });
        }
        content.add_row(Clustering::from(name.as_bytes().to_vec()), row);
    }
    partition(content)
}

/// The deletions come first, all of it is compacted, and what they cover comes from another file. Returns how many rows are
/// seen then.
fn seen_after_compaction(age: Age, now: Seconds) -> usize {
    let fs = MemoryFs::new();
    let mut kept = Engine::open(Arc::new(fs.clone()), "/kept".into(), Options::default())
        .unwrap()
        .0;
    kept.apply(&deleted()).unwrap();
    work(&mut kept, Seconds(1));
    let file = kept.files(TABLE).remove(0);
    let mut present = engine(&fs, "/present");
    cut(&file, &target(), &|| age, &|key| key, &mut |mutation, _| {
        present.apply(&mutation).unwrap();
        ControlFlow::Continue(())
    })
    .unwrap();
    work(&mut present, now);
    present.compact(TABLE);
    work(&mut present, now);
    present.apply(&data()).unwrap();
    let data = data();
    let is_seen = |clustering: &Clustering| {
        let found = present.get(TABLE, &data.key, &clustering.0, None).unwrap().row;
        found.is_some_and(|row| {
            let row = starling_model::encoding::RowView::new(&row).unwrap();
            row.is_live(now).unwrap()
        })
    };
    data.partition.rows.keys().filter(|row| is_seen(row)).count()
}

#[test]
fn a_restored_deletion_outlives_a_compaction_before_what_it_covers_is_restored() {
    let all = data().partition.rows.len();
    assert_eq!(
        seen_after_compaction(as_it_was(), NOW),
        all,
        "they are old enough to be forgotten"
    );
    assert_eq!(seen_after_compaction(Age::at(NOW), NOW), 0);
    let within = Seconds(NOW.0 + GRACE - 601);
    assert_eq!(
        seen_after_compaction(Age::at(NOW), within),
        0,
        "for the whole grace"
    );
    let beyond = Seconds(NOW.0 + GRACE + 1);
    assert_eq!(seen_after_compaction(Age::at(NOW), beyond), all, "and no longer");
}

/// A file takes as long as its writes do, and the last deletion in it is to be kept for as long as the first.
#[test]
fn a_deletion_is_as_old_as_its_own_writing() {
    let fs = MemoryFs::new();
    let mut kept = engine(&fs, "/kept");
    for n in 1..=4_u8 {
        let mut deleted = deleted();
        deleted.key.token = Token(i64::from(n));
        kept.apply(&deleted).unwrap();
    }
    work(&mut kept, Seconds(1));
    let file = kept.files(TABLE).remove(0);
    let clock = std::cell::Cell::new(NOW);
    let mut ages = Vec::new();
    let age = || Age::at(clock.get());
    cut(&file, &target(), &age, &|key| key, &mut |mutation, _| {
        ages.push(mutation.partition.deletion.map(|deletion| deletion.at));
        clock.set(Seconds(clock.get().0 + 3_600));
        ControlFlow::Continue(())
    })
    .unwrap();
    let expected: Vec<_> = (0..4).map(|hours| Some(Seconds(NOW.0 + hours * 3_600))).collect();
    assert_eq!(ages, expected);
}

#[test]
fn people_are_told_of_a_short_grace() {
    use crate::restore::age::short_grace;
    assert_eq!(short_grace("ks.t", 864_000), None);
    let told = short_grace("ks.t", 3_600).unwrap();
    assert!(
        told.contains("table ks.t keeps deletions for 3600 s only") && told.contains("raise it"),
        "{told}"
    );
}

#[test]
fn what_is_restored_covers_no_more_and_lives_no_longer_than_it_did() {
    let age = Age::at(NOW);
    let end = |at| Expiry {
        at: Seconds(at),
        ttl: 5,
    };
    let expiring = |at| {
        let mut row = row(6, 1, 10);
        row.cells[0].value = CellValue::Live {
            value: Bytes::from("v"),
            expiry: Some(end(at)),
        };
        row
    };
    for (at, expected) in [(10, NOW.0 - 600), (NOW.0 - 5, NOW.0 - 5), (NOW.0 + 5, NOW.0 + 5)] {
        assert_eq!(age.row(expiring(at)), expiring(expected));
    }
    let forever = row(6, 3, 10);
    assert_eq!(age.row(forever.clone()), forever);
    let old = deletion(6);
    assert_eq!(age.deletion(old).timestamp, old.timestamp);
    assert_eq!(age.deletion(old).at, NOW);
    let later = Deletion {
        at: Seconds(NOW.0 + 1),
        ..old
    };
    assert_eq!(age.deletion(later), later, "another clock is ahead");
}
