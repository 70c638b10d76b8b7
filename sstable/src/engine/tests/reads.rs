//! Reads of single rows agree with the merge of everything, wherever it lies.

use proptest::{collection::vec, prelude::*};
use starling_model::{
    Clustering, ColumnId, Deletion, Mutation, Row, Seconds, TableId, Timestamp, encoding::Writer,
};

use crate::{
    Engine, Lsn, Step,
    fixtures::{Content, TABLE, any_key, everything, insert, key, merge_into, mutation, open, settle},
    fs::MemoryFs,
};

#[derive(Debug, Clone)]
enum Event {
    Write(Box<Mutation>),
    Flush,
    Settle,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => mutation().prop_map(|mutation| Event::Write(Box::new(mutation))),
        2 => Just(Event::Flush),
        1 => Just(Event::Settle),
    ]
}

fn encoded(row: &Row) -> Vec<u8> {
    let mut out = Writer::default();
    out.row(row);
    out.into_vec()
}

/// What is to be shown of a row to one who wants some columns.
fn shown(row: &Row, columns: &[ColumnId]) -> Row {
    let mut row = row.clone();
    if row.marker.is_some_and(|marker| marker.expiry.is_none()) {
        row.cells.retain(|cell| columns.contains(&cell.column));
    }
    row
}

/// Writes out what is in memory, in one table for each time.
fn flush(engine: &mut Engine) {
    engine.flush_all();
    while let Some(mut job) = engine.next_job(Seconds(100)) {
        // Compactions and scrubs are, and write nothing out of memory.
        if job.is_paced() {
            engine.finish(job).unwrap();
            break;
        }
        while job.step().unwrap() == Step::More {}
        engine.finish(job).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_row_is_the_merge_of_all_that_was_written_of_it(
        events in vec(event(), 1..40),
        others in vec((any_key(), vec(any::<u8>(), 0..3)), 0..5),
    ) {
        let mut engine = open(&MemoryFs::new());
        let mut model = Content::new();
        for event in events {
            match event {
                Event::Write(mutation) => {
                    engine.apply(&mutation).unwrap();
                    merge_into(&mut model, &mutation);
                }
                Event::Flush => flush(&mut engine),
                Event::Settle => settle(&mut engine, Seconds(100)),
            }
        }
        let columns = [vec![], vec![ColumnId(0)], vec![ColumnId(1)], vec![ColumnId(0), ColumnId(1)]];
        for (key, partition) in &model {
            for (clustering, row) in &partition.rows {
                let found = engine.get(TABLE, key, &clustering.0, None).unwrap();
                prop_assert_eq!(found.row.as_deref(), Some(&encoded(row)[..]));
                for columns in &columns {
                    let found = engine.get(TABLE, key, &clustering.0, Some(columns)).unwrap();
                    let shown = shown(row, columns);
                    prop_assert_eq!(found.row.as_deref(), Some(&encoded(&shown)[..]), "{:?}", columns);
                }
            }
        }
        for (key, clustering) in others {
            let known = model.get(&key).and_then(|it| it.rows.get(&Clustering::from(clustering.clone())));
            let found = engine.get(TABLE, &key, &clustering, None).unwrap();
            prop_assert_eq!(found.row.map(|row| row.to_vec()), known.map(encoded));
        }
    }
}

#[test]
fn a_row_that_is_not_durable_yet_says_so() {
    let mut engine = open(&MemoryFs::new());
    let lsn = engine.apply(&insert(key(1), b"a", 5, b"value")).unwrap();
    let found = engine.get(TABLE, &key(1), b"a", None).unwrap();
    assert!(found.row.is_some());
    assert_eq!(found.durable_at, lsn);
    engine.log().sync().unwrap();
    assert_eq!(
        engine.get(TABLE, &key(1), b"a", None).unwrap().durable_at,
        Lsn::ZERO
    );
    assert_eq!(engine.get(TABLE, &key(2), b"a", None).unwrap().row, None);
    assert_eq!(engine.get(TableId(99), &key(1), b"a", None).unwrap().row, None);
}

/// Of two tables with the row, the older one is not looked at if the newer has all that is wanted.
#[test]
fn an_older_table_is_left_out_once_nothing_in_it_can_matter() {
    let mut engine = open(&MemoryFs::new());
    for timestamp in [1, 2] {
        engine
            .apply(&insert(key(1), b"a", timestamp, &[timestamp as u8]))
            .unwrap();
        flush(&mut engine);
    }
    assert_eq!(engine.stats().tables, 2);
    let visited = |columns: Option<&[ColumnId]>| {
        let before = engine.stats().visited;
        assert!(engine.get(TABLE, &key(1), b"a", columns).unwrap().row.is_some());
        engine.stats().visited - before
    };
    assert_eq!(visited(None), 2);
    assert_eq!(visited(Some(&[ColumnId(1)])), 1);
    assert_eq!(visited(Some(&[ColumnId(1), ColumnId(2)])), 2);
}

/// Very many tombstones: a reader whose time is up gets what it has covered, and goes on from there.
#[test]
fn a_read_through_tombstones_ends_at_its_deadline_with_what_it_covered() {
    let mut engine = open(&MemoryFs::new());
    let rows = 3_000_u32;
    for number in 0..rows {
        let mut write = insert(key(1), &number.to_be_bytes(), 5, b"value");
        if number + 1 < rows {
            let row = write.partition.rows.values_mut().next().unwrap();
            *row = Row {
                deletion: Some(Deletion {
                    timestamp: Timestamp(6),
                    at: Seconds(1),
                }),
                ..Row::default()
            };
        }
        engine.apply(&write).unwrap();
        if number % 1_000 == 0 {
            engine.log().sync().unwrap();
            flush(&mut engine);
        }
    }
    let mut command = everything();
    let mut visited = 0;
    let mut pages = 0;
    let mut looks = 0;
    loop {
        // Each page is late at its second look at the clock.
        let mut left = 1;
        let mut late = || {
            looks += 1;
            left -= 1;
            left < 0
        };
        let result = engine.read_encoded(&command, &mut late).unwrap();
        visited += result.visited;
        pages += 1;
        let page = result.page.decode().unwrap();
        command.after = page.next;
        if command.after.is_none() {
            assert_eq!(result.live, 1);
            break;
        }
        assert_eq!(result.live, 0, "only the last row is alive");
    }
    assert!(pages > 2, "{pages} pages");
    assert!(looks >= pages, "{looks} looks");
    assert!(visited >= u64::from(rows));
    let stats = engine.stats();
    assert_eq!((stats.visited, stats.live), (visited, 1));
}
