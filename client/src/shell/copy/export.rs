//! COPY ... TO.

use std::{
    fs::File,
    io::{self, Write},
    time::Instant,
};

use futures::TryStreamExt;

use super::{CopyCommand, Place};
use crate::{
    OwnedRow, RowStream,
    load::{Bar, LoadReport, Progress},
    shell::engine::{Failure, Shell, took},
    text,
};

/// How many rows pass between two looks at the clock.
const TELL_EVERY: u64 = 512;

/// Writes the table, page by page, so that memory stays bounded.
pub(super) async fn run(shell: &mut Shell, command: &CopyCommand) -> Result<(), Failure> {
    let columns = if command.columns.is_empty() {
        columns_of(shell, &command.table).await?
    } else {
        command.columns.clone()
    };
    let names: Vec<_> = columns
        .iter()
        .map(|name| starling_cql::parser::quoted(name))
        .collect();
    let select = format!("SELECT {} FROM {}", names.join(", "), command.table);
    let statement = shell
        .session
        .statement(select)
        .with_consistency(shell.settings.consistency)
        .with_page_size(command.options.page_size);
    let rows = shell.session.stream_query(statement);
    let started = Instant::now();
    let count = match &command.place {
        Place::File(path) => {
            let unwritable = |error: io::Error| format!("the file {path} can't be written: {error}");
            let mut file = io::BufWriter::new(File::create(path).map_err(unwritable)?);
            let count = write(rows, &columns, command, &mut file).await?;
            file.flush().map_err(unwritable)?;
            count
        }
        Place::Standard => write(rows, &columns, command, shell.output.rows()).await?,
    };
    let speed = if shell.settings.interactive {
        format!(" in {}", took(started.elapsed()))
    } else {
        String::new()
    };
    let said = format!("{count} rows exported{speed}.");
    match command.place {
        Place::File(_) => shell.say(&said)?,
        Place::Standard => shell.output.note(&said),
    }
    Ok(())
}

async fn write(
    mut rows: RowStream,
    columns: &[String],
    command: &CopyCommand,
    out: &mut (dyn Write + Send),
) -> Result<u64, Failure> {
    let options = &command.options;
    let failed = |error: csv::Error| -> Failure { io::Error::from(error).into() };
    let mut writer = csv::WriterBuilder::new()
        .delimiter(options.delimiter)
        .quote(options.quote)
        .escape(options.escape)
        .double_quote(options.escape == options.quote)
        .from_writer(out);
    if options.header {
        writer.write_record(columns).map_err(failed)?;
    }
    let mut bar = Bar::new(format!("writing {}", command.table), None);
    let mut report = LoadReport::default();
    let limit = options.max_rows.unwrap_or(u64::MAX);
    while report.rows < limit
        && let Some(row) = rows.try_next().await?
    {
        writer.write_record(fields(&row, &options.null)).map_err(failed)?;
        report.rows += 1;
        if report.rows.is_multiple_of(TELL_EVERY) {
            bar.update(&report);
        }
    }
    bar.finish(&report);
    writer.flush()?;
    Ok(report.rows)
}

fn fields<'r>(row: &'r OwnedRow, null: &'r str) -> impl Iterator<Item = String> + 'r {
    row.columns()
        .iter()
        .zip(row.values())
        .map(move |(column, value)| match value {
            Some(value) => text::plain(&column.cql_type, value),
            None => null.to_owned(),
        })
}

/// The columns of a table, in the order of `SELECT *`: asked of the server without reading a row.
pub(super) async fn columns_of(shell: &Shell, table: &str) -> Result<Vec<String>, Failure> {
    let prepared = shell.session.prepare(format!("SELECT * FROM {table}")).await?;
    Ok(prepared.columns().into_iter().map(|column| column.name).collect())
}
