//! What a SELECT with IN reads, and when.

mod store;

use starling_cql::{ErrorKind, QueryResult, Values, plan::Plan, request::Bound};
use starling_model::KeyRange;
use store::Session;

/// 40 partitions of `rows` rows each.
fn session(rows: u32) -> Session {
    let mut session = Session::default();
    let mut run = |text: &str| session.run(text, &Values::default()).expect(text);
    run("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    run("USE k");
    run("CREATE TABLE t (p int, c int, v text, PRIMARY KEY (p, c))");
    for p in 0..40 {
        for c in 0..rows {
            run(&format!("INSERT INTO t (p, c, v) VALUES ({p}, {c}, 'x')"));
        }
    }
    session
}

/// All partitions.
fn in_all() -> String {
    let keys: Vec<String> = (0..40).map(|key| key.to_string()).collect();
    format!("p IN ({})", keys.join(", "))
}

fn reads_of(session: &mut Session, text: &str, page_size: Option<u32>) -> (usize, usize) {
    session.reads.clear();
    let Plan::Select(select) = session.prepare(text).expect(text) else {
        panic!("no SELECT: {text}")
    };
    let rows = session
        .select(&select, &Values::default(), page_size, None)
        .expect(text);
    (session.reads.len(), rows.rows.len())
}

#[test]
fn a_limit_is_not_read_far_past() {
    let mut session = session(10);
    let all = in_all();
    // The first partition fills it.
    let one = format!("SELECT c FROM t WHERE {all} LIMIT 10");
    assert_eq!(reads_of(&mut session, &one, Some(5000)), (1, 10));
    // Three are needed: one alone, then as many as fit by what it gave.
    let three = format!("SELECT c FROM t WHERE {all} LIMIT 30");
    assert_eq!(reads_of(&mut session, &three, Some(5000)), (3, 30));
    // So also where the page is the limit.
    let page = format!("SELECT c FROM t WHERE {all}");
    assert_eq!(reads_of(&mut session, &page, Some(30)), (3, 30));
    // A row of each at the most: that is known from the start.
    let rows = format!("SELECT v FROM t WHERE {all} AND c = 3 LIMIT 7");
    assert_eq!(reads_of(&mut session, &rows, Some(5000)), (7, 7));
    let first = format!("SELECT v FROM t WHERE {all} PER PARTITION LIMIT 2 LIMIT 8");
    assert_eq!(reads_of(&mut session, &first, Some(5000)), (4, 8));
}

#[test]
fn what_is_read_ahead_is_bounded_and_in_order() {
    let mut session = session(3);
    let text = format!("SELECT p, c FROM t WHERE {}", in_all());
    let Plan::Select(select) = session.prepare(&text).unwrap() else {
        panic!("no SELECT")
    };
    let mut run = session
        .with_context(|context| select.run(&Values::default(), None, None, context))
        .unwrap();
    let mut asked = Vec::new();
    while let Some(read) = run.next_read() {
        let KeyRange::Partition(key) = &read.command.keys else {
            panic!("no partition")
        };
        assert_eq!(read.first, asked.is_empty());
        asked.push(key.clone());
    }
    assert_eq!(asked.len(), 16, "nothing more before a page was accepted");
    for page_cap in [1, 2, 100] {
        session.page_cap = page_cap;
        let Ok(QueryResult::Rows(rows)) = session.run(&text, &Values::default()) else {
            panic!("no rows")
        };
        let got: Vec<(i32, i32)> = rows
            .rows
            .iter()
            .map(|row| (int(row[0].as_ref()), int(row[1].as_ref())))
            .collect();
        let expected: Vec<(i32, i32)> = (0..40).flat_map(|p| (0..3).map(move |c| (p, c))).collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn pages_and_limits_give_the_same_rows_however_far_is_read_ahead() {
    let mut session = session(3);
    let all = in_all();
    for (end, expected) in [
        ("", 120),
        ("LIMIT 50", 50),
        ("PER PARTITION LIMIT 2", 80),
        ("PER PARTITION LIMIT 1 LIMIT 33", 33),
        ("AND c > 0 LIMIT 1000", 80),
        ("AND c IN (0, 2) LIMIT 41", 41),
        ("AND v = 'x' LIMIT 70 ALLOW FILTERING", 70),
    ] {
        let text = format!("SELECT p, c FROM t WHERE {all} {end}");
        let whole = session.pages(&text, &Values::default(), u32::MAX).expect(&text);
        assert_eq!(whole[0].rows.len(), expected, "{text}");
        for (size, cap) in [(1, 1), (2, 1), (3, 2), (7, 100), (50, 2)] {
            session.page_cap = cap;
            let pages = session.pages(&text, &Values::default(), size).expect(&text);
            session.page_cap = u32::MAX;
            assert!(
                pages.iter().all(|page| page.rows.len() <= size as usize),
                "{text}"
            );
            let rows: Vec<_> = pages.into_iter().flat_map(|page| page.rows).collect();
            assert_eq!(rows, whole[0].rows, "{text} in pages of {size}");
        }
    }
}

#[test]
fn the_product_of_all_in_conditions_is_bounded() {
    let mut session = session(1);
    let list = |count: usize| {
        let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        numbers.join(", ")
    };
    let (small, large) = (list(100), list(101));
    for text in [
        format!("SELECT v FROM t WHERE p IN ({large}) AND c IN ({small})"),
        format!("UPDATE t SET v = 'y' WHERE p IN ({small}) AND c IN ({large})"),
        format!("DELETE FROM t WHERE p IN ({large}) AND c IN ({small})"),
    ] {
        let error = session.run(&text, &Values::default()).expect_err("too many");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains("10100 combinations"), "{}", error.message);
    }
    let text = format!("SELECT v FROM t WHERE p IN ({small}) AND c IN ({small})");
    session
        .run(&text, &Values::default())
        .expect("just as many as are taken");
}

#[test]
fn a_value_is_not_multiplied_without_bound() {
    let mut session = session(1);
    let text = "UPDATE t SET v = ? WHERE p IN ? AND c = 0";
    let keys = |count: i32| {
        let mut list = count.to_be_bytes().to_vec();
        for key in 0..count {
            list.extend_from_slice(&4_i32.to_be_bytes());
            list.extend_from_slice(&key.to_be_bytes());
        }
        Bound::Value(Some(list.into()))
    };
    let value = Bound::Value(Some(vec![b'x'; 1 << 20].into()));
    let mut update = |count| session.run(text, &Values::Positional(vec![value.clone(), keys(count)]));
    update(30).expect("30 MiB");
    let error = update(10_000).expect_err("10 GiB");
    assert!(error.message.contains("nothing was changed"), "{}", error.message);
    let error = update(10_001).expect_err("too many");
    assert!(error.message.contains("10001 combinations"), "{}", error.message);
}

fn int(value: Option<&bytes::Bytes>) -> i32 {
    let bytes = value.expect("a value");
    i32::from_be_bytes(bytes[..].try_into().expect("four bytes"))
}
