//! Transcripts of shell sessions: what goes in, what comes out on standard output and standard error.

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use starling_client::{
    CqlType,
    shell::{self, Format, Options},
};
use starling_cql::{
    ColumnSpec, Error, QueryResult, SchemaChange, SchemaTarget, Statement,
    native::{Request, Response},
    result::ChangeKind,
};

use crate::fake::{FakeNode, Reply, alone, column, failed, result, rows, table::Table, void};

/// A writer whose content can be read while the shell has it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Runs a script and writes down what happened.
async fn transcript(node: &FakeNode, script: &str, options: Options) -> String {
    let (out, err) = (Shared::default(), Shared::default());
    let code = shell::run_script(node.session().await, script, &options, out.clone(), err.clone()).await;
    let mut transcript = String::new();
    writeln!(transcript, "=== in\n{}", script.trim()).unwrap();
    writeln!(transcript, "=== out\n{}", out.text().trim_end()).unwrap();
    if !err.text().is_empty() {
        writeln!(transcript, "=== err\n{}", err.text().trim_end()).unwrap();
    }
    writeln!(transcript, "=== exit {code}").unwrap();
    transcript
}

/// Compares with the file of that name; `UPDATE_TRANSCRIPTS=1` writes it instead.
fn check(name: &str, transcript: &str) {
    let path = format!(
        "{}/tests/against_a_fake_node/transcripts/{name}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        std::fs::write(&path, transcript).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(
        transcript, expected,
        "{path} differs; UPDATE_TRANSCRIPTS=1 writes it anew"
    );
}

#[allow(clippy::unnecessary_wraps, reason = "rows are made of options")]
fn text(text: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(text.as_bytes()))
}

#[allow(clippy::unnecessary_wraps, reason = "rows are made of options")]
fn int(number: i32) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(&number.to_be_bytes()))
}

fn flights() -> (Vec<ColumnSpec>, Vec<Vec<Option<Bytes>>>) {
    let columns = vec![
        column("tailnum", CqlType::Text),
        column("dep_delay", CqlType::Int),
        column("Note", CqlType::Text),
        column(
            "tags",
            CqlType::Set {
                element: Box::new(CqlType::Text),
                frozen: false,
            },
        ),
        column("raw", CqlType::Blob),
    ];
    let set = starling_cql::value::write_elements(2, [&b"a"[..], &b"b'c"[..]]);
    let rows = vec![
        vec![
            text("N14228"),
            int(-4),
            text("on \"time\", 100%"),
            Some(set),
            Some(Bytes::from_static(&[0xca, 0xfe])),
        ],
        vec![text("N24211"), int(1200), text("日本語\nsecond line"), None, None],
    ];
    (columns, rows)
}

/// A node that knows a handful of statements.
fn node() -> FakeNode {
    alone(|request| {
        let Request::Execute {
            statement: Statement::Text(statement),
            parameters,
            ..
        } = request
        else {
            return failed(Error::invalid("only statements")).into();
        };
        answer(
            statement.trim(),
            parameters.paging_state.as_ref(),
            parameters.consistency.name(),
        )
    })
}

fn answer(statement: &str, page: Option<&Bytes>, level: &str) -> Reply {
    let (columns, all) = flights();
    match statement {
        "SELECT * FROM flights" => rows(columns, all).into(),
        "SELECT * FROM nothing" => rows(columns, Vec::new()).into(),
        "SELECT * FROM paged" => {
            let at = page.map_or(0, |page| usize::from(page[0]));
            let mut response = rows(columns, vec![all[at].clone()]);
            if let Response::Result {
                result: QueryResult::Rows(rows),
                ..
            } = &mut response
            {
                rows.paging_state = (at == 0).then(|| Bytes::from_static(&[1]));
            }
            response.into()
        }
        "SELECT level" => rows(vec![column("level", CqlType::Text)], vec![vec![text(level)]]).into(),
        "USE ks" => result(QueryResult::SetKeyspace("ks".to_owned())).into(),
        "DESCRIBE TABLE t" => rows(
            vec![column("create_statement", CqlType::Text)],
            vec![vec![text("CREATE TABLE ks.t (\n    k int PRIMARY KEY\n);")]],
        )
        .into(),
        "DESCRIBE TABLES" => rows(
            vec![
                column("keyspace_name", CqlType::Text),
                column("type", CqlType::Text),
                column("name", CqlType::Text),
            ],
            vec![
                vec![text("ks"), text("table"), text("t")],
                vec![text("ks"), text("table"), text("u")],
            ],
        )
        .into(),
        create if create.starts_with("CREATE TABLE") => result(QueryResult::SchemaChange(SchemaChange {
            change: ChangeKind::Created,
            keyspace: "ks".to_owned(),
            target: SchemaTarget::Table("t".to_owned()),
        }))
        .into(),
        write if write.starts_with("INSERT") || write.starts_with("BEGIN BATCH") => void().into(),
        other => failed(Error::syntax(format!(
            "line 1: no viable alternative at '{other}'"
        )))
        .into(),
    }
}

async fn golden(name: &str, script: &str, options: Options) {
    check(name, &transcript(&node(), script, options).await);
}

#[tokio::test]
async fn tables_are_aligned() {
    golden(
        "table",
        "SELECT * FROM flights;\nSELECT * FROM nothing;",
        Options::default(),
    )
    .await;
}

#[tokio::test]
async fn pages_are_one_result() {
    golden("pages", "SELECT * FROM paged;", Options::default()).await;
}

#[tokio::test]
async fn expanded_rows_have_a_column_a_line() {
    golden("expand", "EXPAND ON\nSELECT * FROM flights;", Options::default()).await;
}

#[tokio::test]
async fn machine_formats_keep_standard_output_clean() {
    let script = "CONSISTENCY QUORUM\nSELECT * FROM flights;";
    golden(
        "json",
        script,
        Options {
            format: Format::Json,
            ..Options::default()
        },
    )
    .await;
    golden(
        "csv",
        script,
        Options {
            format: Format::Csv,
            ..Options::default()
        },
    )
    .await;
    golden(
        "json_empty",
        "SELECT * FROM nothing",
        Options {
            format: Format::Json,
            ..Options::default()
        },
    )
    .await;
}

#[tokio::test]
async fn settings_are_shown_and_changed() {
    let script = "CONSISTENCY\nCONSISTENCY local_quorum;\nSELECT level;\nSERIAL CONSISTENCY LOCAL_SERIAL\n\
                  TRACING\nEXPAND\nPAGING 50\nPAGING\nPAGING OFF\nSHOW VERSION\n";
    golden("settings", script, Options::default()).await;
}

#[tokio::test]
async fn statements_end_where_cql_says() {
    let script = "-- a comment; with a semicolon\nUSE ks;\nCREATE TABLE t (k int PRIMARY KEY); /* ; */\n\
                  BEGIN BATCH\n  INSERT INTO t (k) VALUES (1);\n  INSERT INTO t (k) VALUES (2);\nAPPLY BATCH;\n\
                  INSERT INTO t (k, v) VALUES (3, ';');\nDESCRIBE TABLE t\nDESC TABLES;";
    golden(
        "statements",
        &script.replace("DESC TABLES", "DESCRIBE TABLES"),
        Options::default(),
    )
    .await;
}

#[tokio::test]
async fn the_first_error_ends_a_script() {
    golden(
        "error",
        "USE ks;\nSELEC 1;\nSELECT * FROM flights;",
        Options::default(),
    )
    .await;
    golden(
        "wrong_level",
        "CONSISTENCY SOME\nSELECT level;",
        Options::default(),
    )
    .await;
    golden("not_supported", "LOGIN ada", Options::default()).await;
}

#[tokio::test]
async fn source_runs_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("it's.cql");
    std::fs::write(&file, "USE ks;\nSELECT level;\n").unwrap();
    let script = format!(
        "SOURCE '{}'\nSELECT level;",
        file.display().to_string().replace('\'', "''")
    );
    let told = transcript(&node(), &script, Options::default()).await;
    assert!(told.ends_with("=== exit 0\n"), "{told}");
    assert_eq!(told.matches("(1 row)").count(), 2, "{told}");

    std::fs::write(
        &file,
        format!("SOURCE '{}'", file.display().to_string().replace('\'', "''")),
    )
    .unwrap();
    let told = transcript(&node(), &script, Options::default()).await;
    assert!(
        told.contains("does a file include itself?") && told.ends_with("=== exit 1\n"),
        "{told}"
    );
}

#[tokio::test]
async fn what_was_copied_to_csv_comes_back() {
    let (columns, content) = flights();
    let (from, to) = (Table::new(columns.clone()), Table::new(columns));
    from.rows.lock().unwrap().extend(content.clone());
    let serve = |table: &Table| {
        let table = table.clone();
        alone(move |request| table.answer(&request).unwrap())
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flights.csv");
    for options in [
        "",
        " WITH HEADER = true",
        " WITH DELIMITER = '|' AND NULL = '<none>' AND HEADER = true AND QUOTE = ''''",
    ] {
        let copy = |direction: &str| format!("COPY ks.t {direction} '{}'{options};", file.display());
        let told = transcript(&serve(&from), &copy("TO"), Options::default()).await;
        assert!(
            told.contains("2 rows exported.") && told.ends_with("exit 0\n"),
            "{told}"
        );
        to.rows.lock().unwrap().clear();
        let told = transcript(&serve(&to), &copy("FROM"), Options::default()).await;
        assert!(
            told.contains("2 rows imported.") && told.ends_with("exit 0\n"),
            "{told}"
        );
        let mut back = to.rows();
        back.sort();
        assert_eq!(back, content, "{options}");
    }
}

#[tokio::test]
async fn a_copy_that_fails_names_lines() {
    let table = Table::new(vec![column("name", CqlType::Text), column("age", CqlType::Int)]);
    let node = alone({
        let table = table.clone();
        move |request| table.answer(&request).unwrap()
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("people.csv");
    std::fs::write(&file, "Ada,36\nBob,old\n").unwrap();
    let told = transcript(
        &node,
        &format!("COPY ks.t FROM '{}'", file.display()),
        Options::default(),
    )
    .await;
    assert!(
        told.contains("1 rows imported.") && told.contains("error: line 2: column age: "),
        "{told}"
    );
    assert!(
        told.contains("error: 1 rows failed") && told.ends_with("exit 1\n"),
        "{told}"
    );
    let told = transcript(&node, "COPY ks.t FROM '/no/such/file'", Options::default()).await;
    assert!(
        told.contains("can't be read") && told.ends_with("exit 1\n"),
        "{told}"
    );
}
