//! Loading CSV.

use std::sync::{Arc, Mutex};

use starling_client::{
    CqlType,
    load::{self, LoadOptions, LoadReport, Silent},
};
use starling_cql::{Error, ErrorKind, native::Request};

use crate::fake::{alone, column, failed, table::Table};

fn people() -> Table {
    Table::new(vec![
        column("name", CqlType::Text),
        column("age", CqlType::Int),
        column("home", CqlType::Text),
    ])
}

async fn load(
    table: &Table,
    columns: &[&str],
    csv: &str,
    options: LoadOptions,
) -> Result<LoadReport, String> {
    let answering = table.clone();
    let node = alone(move |request| answering.answer(&request).unwrap());
    let session = node.session().await;
    let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
    load::csv(&session, "ks.t", &columns, csv.as_bytes(), &options, &mut Silent)
        .await
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_header_names_the_columns() {
    let table = people();
    let csv = "home,name\n\"London, England\",Ada\n,Bob\n";
    let report = load(
        &table,
        &[],
        csv,
        LoadOptions {
            header: true,
            ..LoadOptions::default()
        },
    )
    .await
    .unwrap();
    assert_eq!((report.rows, report.failed), (2, 0));
    let mut rows = table.rows();
    rows.sort();
    assert_eq!(
        rows[0],
        [Some("Ada".into()), None, Some("London, England".into())]
    );
    assert_eq!(rows[1], [Some("Bob".into()), None, None]);
}

#[tokio::test]
async fn bad_rows_are_counted_by_line_and_the_rest_is_loaded() {
    let table = people();
    let csv = "Ada,36\nBob,old\n\"Two\nlines\",7\nCid\n,5\nDan,8\n";
    let report = load(&table, &["name", "age"], csv, LoadOptions::default())
        .await
        .unwrap();
    assert_eq!((report.rows, report.failed, report.stopped), (3, 3, false));
    let told: Vec<(u64, &str)> = report
        .errors
        .iter()
        .map(|error| (error.line, error.message.as_str()))
        .collect();
    assert_eq!(told[0].0, 2);
    assert!(told[0].1.starts_with("column age: "), "{told:?}");
    assert_eq!(told[1], (5, "1 fields where 2 columns are expected"));
    assert_eq!(told[2], (6, "the partition key is null"));
}

#[tokio::test]
async fn a_load_stops_when_too_much_fails() {
    let table = people();
    let csv = "Ada,x\n".repeat(50);
    let options = LoadOptions {
        max_errors: Some(3),
        ..LoadOptions::default()
    };
    let report = load(&table, &["name", "age"], &csv, options).await.unwrap();
    assert!(report.stopped);
    assert_eq!(report.failed, 4);
}

#[tokio::test]
async fn rows_can_be_skipped_and_limited() {
    let table = people();
    let csv: String = ["0", "1", "2", "3", "4", "5"]
        .map(|number| ["p", number, ";", number, "\n"].concat())
        .concat();
    let options = LoadOptions {
        delimiter: b';',
        skip_rows: 2,
        max_rows: Some(3),
        ..LoadOptions::default()
    };
    let report = load(&table, &["name", "age"], &csv, options).await.unwrap();
    assert_eq!(report.rows, 3);
    let mut names: Vec<_> = table
        .rows()
        .into_iter()
        .map(|row| row[0].clone().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["p2", "p3", "p4"]);
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let table = people();
    let answering = table.clone();
    let refused = Arc::new(Mutex::new(0));
    let node = alone({
        let refused = Arc::clone(&refused);
        move |request| {
            let mut refused = refused.lock().unwrap();
            if matches!(request, Request::Execute { .. }) && *refused < 2 {
                *refused += 1;
                return failed(Error::new(ErrorKind::Overloaded, "busy")).into();
            }
            answering.answer(&request).unwrap()
        }
    });
    let session = node.session().await;
    let columns = ["name".to_owned()];
    let report = load::csv(
        &session,
        "ks.t",
        &columns,
        &b"Ada\n"[..],
        &LoadOptions::default(),
        &mut Silent,
    )
    .await
    .unwrap();
    assert_eq!((report.rows, report.failed), (1, 0));
    assert_eq!(*refused.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_load_without_columns_says_so() {
    let error = load(&people(), &[], "Ada,36\n", LoadOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error, "name the columns, or read a header");
}
