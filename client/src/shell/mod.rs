//! The CQL shell: `starling shell`.
//!
//! What it reads is split into statements; those that are commands of the shell itself are carried out
//! here, everything else goes to the cluster. Rows go to standard output, everything else to standard error.

mod args;
mod colour;
mod command;
mod copy;
mod engine;
mod execute;
mod help;
mod interactive;
mod options;
mod output;
mod render;
mod schema_names;
mod settings;
mod splitter;
#[cfg(test)]
mod tests;
mod trace;

use std::io::{IsTerminal, Read};

pub use args::Args;
pub use options::{Color, Format, Options};

use crate::{Session, error::Error};
use engine::Shell;
use output::Output;

/// Done.
pub const DONE: u8 = 0;
/// A statement failed, or there was no connection.
pub const FAILED: u8 = 1;
/// Wrong usage: options that make no sense, a file that can't be read.
pub const USAGE: u8 = 2;

/// Runs a shell to its end, and returns the exit code: [`DONE`], [`FAILED`] or [`USAGE`].
///
/// With [`Options::execute`] or [`Options::file`], or when standard input is no terminal, it stops at the
/// first statement that fails. Must be called within a tokio runtime.
pub async fn run(options: Options) -> u8 {
    let mut output = Output::standard(options.color.is_on());
    let script = match script(&options) {
        Ok(script) => script,
        Err(message) => {
            output.error(&message);
            return USAGE;
        }
    };
    let session = match connect(&options).await {
        Ok(session) => session,
        Err(error) => {
            output.error(&format!(
                "can't connect to {}: {error}",
                options.contacts.join(", ")
            ));
            return match error.kind() {
                crate::ErrorKind::Config => USAGE,
                _ => FAILED,
            };
        }
    };
    let mut shell = Shell::new(session, &options, output);
    match script {
        Some(script) => shell.run_script(&script).await,
        None => interactive::run(shell, &options).await,
    }
}

/// Runs a script over a session that exists already, with output to the writers given: what
/// [`run`] does, for programs and tests.
pub async fn run_script(
    session: Session,
    script: &str,
    options: &Options,
    out: impl std::io::Write + Send + 'static,
    err: impl std::io::Write + Send + 'static,
) -> u8 {
    let output = Output::new(Box::new(out), Box::new(err), options.color == Color::Always);
    Shell::new(session, options, output).run_script(script).await
}

/// What to carry out, unless a person types it.
fn script(options: &Options) -> Result<Option<String>, String> {
    if let Some(script) = &options.execute {
        return Ok(Some(script.clone()));
    }
    if let Some(file) = &options.file {
        return std::fs::read_to_string(file)
            .map(Some)
            .map_err(|error| format!("the file {} can't be read: {error}", file.display()));
    }
    if std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let mut script = String::new();
    std::io::stdin()
        .read_to_string(&mut script)
        .map_err(|error| format!("standard input can't be read: {error}"))?;
    Ok(Some(script))
}

async fn connect(options: &Options) -> Result<Session, Error> {
    let mut builder = Session::builder()
        .contacts(&options.contacts)
        .consistency(options.consistency)
        .timeout(options.request_timeout);
    if let Some(keyspace) = &options.keyspace {
        builder = builder.keyspace(keyspace);
    }
    if let Some(ca) = &options.ca {
        builder = builder.ca(ca);
    }
    if let Some(name) = &options.server_name {
        builder = builder.server_name(name);
    }
    if options.danger_accept_any {
        builder = builder.danger_accept_any();
    }
    builder.connect().await
}
