//! Statements and what comes of them, as text: each file in `transcripts/` is one session.
//!
//! A line `> statement` is carried out; the lines after it, up to a blank one, are what it returned.
//! `> PAGES n statement` reads all pages of `n` rows, with replicas that return two rows at a time.

mod store;

use starling_cql::{
    ErrorKind, QueryResult, Rows, Values,
    value::{FormatOptions, format},
};
use store::Session;

fn render_rows(rows: &Rows) -> String {
    let names: Vec<&str> = rows.columns.iter().map(|column| column.name.as_str()).collect();
    let mut lines = vec![names.join(" | ")];
    for row in &rows.rows {
        let values: Vec<String> = rows
            .columns
            .iter()
            .zip(row)
            .map(|(column, value)| match value {
                Some(value) => format(&column.cql_type, value, FormatOptions { quoted: true }),
                None => "null".to_owned(),
            })
            .collect();
        lines.push(values.join(" | "));
    }
    lines.join("\n")
}

fn execute(session: &mut Session, statement: &str) -> String {
    let paged = statement
        .strip_prefix("PAGES ")
        .and_then(|rest| rest.split_once(' '));
    let result = match paged {
        Some((size, statement)) => {
            session.page_cap = 2;
            let pages = session.pages(statement, &Values::default(), size.parse().expect("a page size"));
            session.page_cap = u32::MAX;
            match pages {
                Ok(pages) => return pages.iter().map(render_rows).collect::<Vec<_>>().join("\n---\n"),
                Err(error) => Err(error),
            }
        }
        None => session.run(statement, &Values::default()),
    };
    match result {
        Ok(QueryResult::Void) => "ok".to_owned(),
        Ok(QueryResult::Rows(rows)) => render_rows(&rows),
        Ok(QueryResult::SetKeyspace(keyspace)) => format!("using {keyspace}"),
        Ok(QueryResult::SchemaChange(change)) => {
            format!("{:?} {} {:?}", change.change, change.keyspace, change.target)
        }
        Err(error) => {
            let kind = match &error.kind {
                ErrorKind::Invalid => "invalid".to_owned(),
                ErrorKind::Syntax => "syntax".to_owned(),
                ErrorKind::Config => "config".to_owned(),
                other => format!("{other:?}"),
            };
            format!("error {kind}: {}", error.message)
        }
    }
}

/// Plays a transcript again and compares.
fn check(name: &str, expected: &str) {
    let mut session = Session::default();
    let mut actual = String::new();
    for block in expected.split("\n\n") {
        let mut statement = String::new();
        for line in block.lines() {
            if let Some(text) = line.strip_prefix("> ") {
                text.clone_into(&mut statement);
                actual.push_str(line);
                actual.push('\n');
            } else if let Some(more) = line.strip_prefix(". ") {
                statement = format!("{statement}\n{more}");
                actual.push_str(line);
                actual.push('\n');
            } else if line.starts_with('#') {
                actual.push_str(line);
                actual.push('\n');
            }
        }
        if !statement.is_empty() {
            actual.push_str(&execute(&mut session, &statement));
            actual.push('\n');
        }
        actual.push('\n');
    }
    let actual = actual.trim_end();
    assert!(
        actual == expected.trim_end(),
        "transcript {name} differs; this is what came of it:\n-----\n{actual}\n-----"
    );
}

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name), include_str!(concat!("transcripts/", stringify!($name), ".txt")));
            }
        )*
    };
}

transcripts!(
    definition,
    writes,
    reads,
    collections,
    filtering,
    statics,
    errors,
    paging
);
