//! Rows that nothing bounds: tables tell of them, and compaction goes on beside them.

use bytes::Bytes;
use starling_model::{
    Cell, CellValue, Clustering, ColumnId, Deletion, Limits, Mutation, Partition, Row, Seconds, Timestamp,
};

use crate::{
    Engine, Error, Options, Step,
    fixtures::{TABLE, contents, dir, everything, insert, key, settle, small_options},
    fs::MemoryFs,
    read::Never,
    table::{properties::LargeRows, verify},
};
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn open(fs: &MemoryFs) -> Engine {
    let options = Options {
        memtable_bytes: 256 * MIB,
        memory_bytes: 512 * MIB,
        segment_bytes: 64 << 20,
        log_bytes: 1 << 30,
        table_bytes: 1 << 30,
        step_bytes: MIB,
        ..small_options()
    };
    Engine::open(Arc::new(fs.clone()), dir(), options).unwrap().0
}

/// Adds an element to the collection in the row "c" of the partition 1.
fn append(engine: &mut Engine, element: u32, bytes: usize) {
    let row = Row {
        cells: vec![Cell {
            column: ColumnId(1),
            path: Some(Bytes::copy_from_slice(&element.to_be_bytes())),
            timestamp: Timestamp(1),
            value: CellValue::Live {
                value: vec![element as u8; bytes].into(),
                expiry: None,
            },
        }],
        ..Row::default()
    };
    let mut partition = Partition::default();
    partition.add_row(Clustering::from(b"c".to_vec()), row);
    let write = Mutation {
        table: TABLE,
        key: key(1),
        partition,
    };
    engine.apply(&write).unwrap();
}

fn flush(engine: &mut Engine) {
    engine.log().sync().unwrap();
    engine.flush_all();
    settle(engine, Seconds(1));
}

fn files(engine: &Engine) -> Vec<u64> {
    engine.files(TABLE).iter().map(|table| table.number()).collect()
}

#[test]
fn tables_tell_of_large_rows() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    append(&mut engine, 0, MIB / 2);
    flush(&mut engine);
    assert_eq!(engine.large_rows(), []);
    for element in 1..18 {
        append(&mut engine, element, MIB);
    }
    flush(&mut engine);
    engine.compact(TABLE);
    settle(&mut engine, Seconds(2));
    drop(engine);
    let engine = open(&fs);
    let [table] = &engine.files(TABLE)[..] else {
        panic!("one table")
    };
    let rows @ LargeRows { count, largest } = table.properties().large_rows;
    assert_eq!((count, largest >> 20), (1, 17));
    assert_eq!(engine.large_rows(), [(TABLE, rows)]);
    verify(table).unwrap();
}

/// Four tables make a merge. Two of them are known to have rows that are too large for it.
#[test]
fn what_cannot_be_merged_stays_and_the_rest_goes_on() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    for table in 0..2 {
        append(&mut engine, table, 100);
        flush(&mut engine);
    }
    let apart = files(&engine);
    assert_eq!(apart.len(), 2);
    for table in engine.files(TABLE) {
        table.meet_row(300 * MIB as u64);
    }
    for table in 2..40 {
        append(&mut engine, table, 100);
        flush(&mut engine);
    }
    let left = files(&engine);
    assert!(left.starts_with(&apart), "{left:?}");
    assert!(left.len() < 12, "{left:?}");
    assert_eq!(
        engine.stats().overlapping,
        left.len() - 2,
        "they slow no writer down"
    );
    engine.compact(TABLE);
    while let Some(mut job) = engine.next_job(Seconds(2)) {
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
        // What one of them went into has its row.
        for table in engine.files(TABLE) {
            if !left.contains(&table.number()) {
                table.meet_row(300 * MIB as u64);
            }
        }
    }
    let left = files(&engine);
    assert_eq!(left.len(), 2, "one of them with all the small ones: {left:?}");
    let row = &contents(&engine)[&key(1)].rows[&Clustering::from(b"c".to_vec())];
    assert_eq!(row.cells.len(), 40);
}

/// A row that is written over and over, and is too large for the strategies' merges, stays in few tables all the same.
#[test]
fn a_large_row_that_is_overwritten_is_in_few_tables() {
    let mut engine = open(&MemoryFs::new());
    for time in 1..13 {
        append(&mut engine, 0, 100);
        flush(&mut engine);
        for table in engine.files(TABLE) {
            table.meet_row(70 * MIB as u64);
        }
        // Later it is looked for what is due once more.
        settle(&mut engine, Seconds(time * 100));
        let left = files(&engine);
        assert!(left.len() <= 2, "{left:?}");
    }
}

/// What a read would have to merge is bounded; a deletion of the row helps before any compaction.
#[test]
fn a_row_whose_states_are_too_much_is_refused_until_it_is_deleted() {
    let mut engine = open(&MemoryFs::new());
    for element in 0..66 {
        append(&mut engine, element, MIB);
        if element == 32 {
            flush(&mut engine);
        }
    }
    engine.apply(&insert(key(2), b"c", 1, b"small")).unwrap();
    let get = |engine: &Engine, number| engine.get(TABLE, &key(number), b"c", None);
    let too_large = |error: Error| {
        let text = error.to_string();
        assert!(
            text.contains(&format!("table {TABLE} at token {}", key(1).token))
                && text.contains(&format!("partition key 0x{:x}", key(1).key)),
            "it says which row: {text}"
        );
        matches!(
            error,
            Error::RowTooLarge { table: TABLE, key: of, bytes, .. } if *of == key(1) && bytes >= 66 * MIB
        )
    };
    assert!(get(&engine, 1).err().is_some_and(too_large));
    assert!(engine.read(&everything()).err().is_some_and(too_large));
    assert!(get(&engine, 2).unwrap().row.is_some());

    let mut deletion = insert(key(1), b"c", 2, b"");
    for row in deletion.partition.rows.values_mut() {
        *row = Row {
            deletion: Some(Deletion {
                timestamp: Timestamp(2),
                at: Seconds(1),
            }),
            ..Row::default()
        };
    }
    engine.apply(&deletion).unwrap();
    assert!(get(&engine, 1).unwrap().row.is_some_and(|row| row.len() < 100));
    assert_eq!(contents(&engine).len(), 2);
}

/// What comes before a large row has pages of its own, if it would not fit a message with it.
#[test]
fn a_page_with_a_large_row_fits_a_message() {
    let mut engine = open(&MemoryFs::new());
    for row in 0..7_u8 {
        engine.apply(&insert(key(1), &[row], 1, &vec![row; MIB])).unwrap();
    }
    for element in 0..28 {
        append(&mut engine, element, MIB);
    }
    flush(&mut engine);
    let mut command = everything();
    command.limits = Limits {
        bytes: 8 << 20,
        ..Limits::NONE
    };
    let mut sizes = Vec::new();
    let mut live = 0;
    loop {
        let result = engine.read_encoded(&command, &mut Never).unwrap();
        let page = result.page;
        live += result.live;
        sizes.push(page.bytes() >> 20);
        command.after.clone_from(&page.next);
        if page.next.is_none() {
            break;
        }
    }
    assert!(sizes.iter().all(|size| *size < 31), "{sizes:?}");
    assert!(sizes.last() >= Some(&28) && live == 8, "{sizes:?}");
}
