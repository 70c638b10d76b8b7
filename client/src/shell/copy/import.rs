//! COPY ... FROM.

use std::{fs::File, io::Read};

use super::{CopyCommand, Place};
use crate::{
    load::{self, Bar, LoadReport},
    shell::engine::{Failure, Shell, took},
};

/// Loads the file and reports what failed, by line. Rows that were written stay.
pub(super) async fn run(shell: &mut Shell, command: &CopyCommand) -> Result<(), Failure> {
    let mut options = command.options.for_load();
    options.consistency = Some(shell.settings.consistency);
    let reader: Box<dyn Read + Send> = match &command.place {
        Place::File(path) => {
            Box::new(File::open(path).map_err(|error| format!("the file {path} can't be read: {error}"))?)
        }
        Place::Standard => Box::new(std::io::stdin()),
    };
    let columns = match (&command.columns[..], options.header) {
        // Neither named nor in a header: those of the table, in its order.
        ([], false) => super::export::columns_of(shell, &command.table).await?,
        (columns, _) => columns.to_vec(),
    };
    let mut bar = Bar::new(format!("loading {}", command.table), None);
    let report = load::csv(
        &shell.session,
        &command.table,
        &columns,
        reader,
        &options,
        &mut bar,
    )
    .await?;
    tell(shell, &report)
}

fn tell(shell: &mut Shell, report: &LoadReport) -> Result<(), Failure> {
    for error in &report.errors {
        shell
            .output
            .error(&format!("line {}: {}", error.line, error.message));
    }
    let unnamed = report.failed - report.errors.len() as u64;
    if unnamed > 0 {
        shell.output.error(&format!("... and {unnamed} more"));
    }
    let speed = if shell.settings.interactive {
        format!(" in {} ({:.0} rows/s)", took(report.elapsed), report.rate())
    } else {
        String::new()
    };
    shell.say(&format!("{} rows imported{speed}.", report.rows))?;
    if report.failed == 0 {
        return Ok(());
    }
    let why = if report.stopped {
        "; too many failed, and the rest was not read (MAXERRORS)"
    } else {
        ""
    };
    Err(format!("{} rows failed{why}", report.failed).into())
}
