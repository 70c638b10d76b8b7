//! CQL statements: sent, fetched page by page, printed.

use std::{
    io::BufRead,
    time::{Duration, Instant},
};

use starling_cql::QueryResult;

use super::{
    Format,
    engine::{Failure, Shell, took},
    render,
    settings::Paging,
    trace,
};
use crate::{Error, ErrorKind, Outcome, Response, Statement, statement::is_read};

/// Carries out one statement of CQL.
pub(super) async fn run(shell: &mut Shell, text: &str) -> Result<(), Failure> {
    let started = Instant::now();
    let settings = shell.settings.clone();
    let mut statement = shell
        .session
        .statement(text)
        .with_consistency(settings.consistency)
        .with_page_size(settings.paging.page_size())
        .with_tracing(settings.tracing);
    // Only conditional writes have use for it; a plain read must not be refused for it.
    if !is_read(text) {
        statement = statement.with_serial_consistency(settings.serial_consistency);
    }
    let first = shell.session.query_page(&statement, None).await?;
    for warning in first.warnings() {
        shell.output.warning(warning);
    }
    let trace = first.trace();
    match first.result() {
        QueryResult::Rows(_) if is_description(text) && settings.format == Format::Table => {
            describe(shell, first)?;
        }
        QueryResult::Rows(_) => rows(shell, &statement, first, started).await?,
        QueryResult::SchemaChange(_) => shell.schema_changed = true,
        QueryResult::Void | QueryResult::SetKeyspace(_) => {}
    }
    if let Some(id) = trace {
        trace::print(shell, id).await?;
    }
    Ok(())
}

/// Prints all pages of a result, as they come.
async fn rows(
    shell: &mut Shell,
    statement: &Statement,
    first: Response,
    started: Instant,
) -> Result<(), Failure> {
    let settings = shell.settings.clone();
    let mut renderer = render::renderer(settings.format, settings.expand, shell.output.colours);
    let mut page = first.rows()?;
    let mut count = 0;
    let mut waited = Duration::ZERO;
    loop {
        count += page.len() as u64;
        renderer.page(shell.output.rows(), page.columns(), &page.0.rows)?;
        shell.output.flush()?;
        let Some(state) = page.paging_state().cloned() else {
            break;
        };
        if settings.interactive && matches!(settings.paging, Paging::On(_)) && !page.is_empty() {
            let asked = Instant::now();
            let go_on = more(shell).await?;
            waited += asked.elapsed();
            if !go_on {
                break;
            }
        }
        page = shell.session.query_page(statement, Some(state)).await?.rows()?;
    }
    renderer.end(shell.output.rows(), count)?;
    if settings.interactive && settings.format == Format::Table {
        shell.output.flush()?;
        shell.output.note(&took(started.elapsed().saturating_sub(waited)));
    }
    Ok(())
}

/// Asks whether to go on.
async fn more(shell: &mut Shell) -> Result<bool, Failure> {
    shell.output.note("--- Enter for more, q to stop ---");
    // A thread of its own, which nothing waits for: Ctrl-C leaves it behind with the line it reads.
    let (answer, line) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map(|bytes| (bytes, line));
        // Whoever asked may be gone.
        let _ = answer.send(read);
    });
    match line.await {
        Ok(Ok((bytes, line))) => Ok(bytes > 0 && !line.trim().eq_ignore_ascii_case("q")),
        _ => Ok(false),
    }
}

fn is_description(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or("");
    first.eq_ignore_ascii_case("DESC") || first.eq_ignore_ascii_case("DESCRIBE")
}

/// Prints what DESCRIBE returns: statements as they are; names by keyspace.
fn describe(shell: &mut Shell, response: Response) -> Result<(), Failure> {
    let rows = response.rows()?;
    let text =
        |row: &crate::Row<'_>, name: &str| row.get::<Option<String>>(name).ok().flatten().unwrap_or_default();
    if rows
        .columns()
        .iter()
        .any(|column| column.name == "create_statement")
    {
        for row in rows.iter() {
            shell
                .output
                .line(&format!("\n{}", text(&row, "create_statement")))?;
        }
    } else if rows.columns().iter().any(|column| column.name == "name") {
        let mut keyspace = None;
        for row in rows.iter() {
            let here = text(&row, "keyspace_name");
            let kind = text(&row, "type");
            if kind != "keyspace" && keyspace.as_ref() != Some(&here) {
                shell
                    .output
                    .line(&format!("\nKeyspace {here}\n{}", "-".repeat(9 + here.len())))?;
                keyspace = Some(here);
            }
            shell.output.line(&text(&row, "name"))?;
        }
    } else {
        // DESCRIBE CLUSTER: one row, a name and a value a line.
        for row in rows.iter() {
            for (column, value) in row.columns().iter().zip(row.values()) {
                let value = crate::text::display(&column.cql_type, value.as_ref());
                shell.output.line(&format!("{}: {value}", column.name))?;
            }
        }
    }
    Ok(shell.output.line("")?)
}

/// An error as one sentence, with what it means for the data where the server did not say.
pub(super) fn sentence(error: &Error) -> String {
    let message = error.to_string();
    let name = match error.kind() {
        ErrorKind::Invalid | ErrorKind::AlreadyExists | ErrorKind::Config | ErrorKind::Type => {
            return message;
        }
        kind => kind,
    };
    let outcome = match error.outcome() {
        Outcome::Unknown if !message.contains("may") => " (the write may have been applied)",
        _ => "",
    };
    format!("{name}: {message}{outcome}")
}
