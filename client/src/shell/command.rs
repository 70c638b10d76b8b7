//! The shell's own commands.

use std::{path::PathBuf, str::FromStr};

use starling_model::Consistency;

use super::{
    copy::{self, CopyCommand},
    settings::{Paging, SCREEN_PAGE},
};

/// What a statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// For the cluster.
    Cql,
    Consistency(Option<Consistency>),
    SerialConsistency(Option<Consistency>),
    Tracing(Option<bool>),
    Paging(Option<Paging>),
    Expand(Option<bool>),
    Source(PathBuf),
    Copy(Box<CopyCommand>),
    ShowVersion,
    ShowHost,
    Clear,
    Help(Option<String>),
    Exit,
}

/// Reads a statement, which has no `;` at its end.
pub(super) fn parse(text: &str) -> Result<Command, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some(first) = words.first() else {
        return Ok(Command::Cql);
    };
    let arguments = &words[1..];
    match first.to_ascii_uppercase().as_str() {
        "CONSISTENCY" => level(arguments, false).map(Command::Consistency),
        "SERIAL"
            if arguments
                .first()
                .is_some_and(|word| word.eq_ignore_ascii_case("CONSISTENCY")) =>
        {
            level(&arguments[1..], true).map(Command::SerialConsistency)
        }
        "TRACING" => switch("TRACING", arguments).map(Command::Tracing),
        "EXPAND" => switch("EXPAND", arguments).map(Command::Expand),
        "PAGING" => paging(arguments).map(Command::Paging),
        "SOURCE" => source(text[first.len()..].trim()),
        "COPY" => copy::parse(text).map(|command| Command::Copy(Box::new(command))),
        "SHOW" => show(arguments),
        "CLEAR" | "CLS" => none(first, arguments).map(|()| Command::Clear),
        "EXIT" | "QUIT" => none(first, arguments).map(|()| Command::Exit),
        "HELP" | "?" => Ok(Command::Help(
            arguments.first().map(|topic| topic.to_ascii_uppercase()),
        )),
        "LOGIN" => Err("LOGIN is not supported yet".to_owned()),
        "CAPTURE" => Err(
            "CAPTURE is not supported yet; run the shell with --format and redirect its output".to_owned(),
        ),
        _ => Ok(Command::Cql),
    }
}

fn level(arguments: &[&str], serial: bool) -> Result<Option<Consistency>, String> {
    let [name] = arguments else {
        return if arguments.is_empty() {
            Ok(None)
        } else {
            Err("CONSISTENCY takes one level".to_owned())
        };
    };
    let level = Consistency::from_str(name).map_err(|error| error.to_string())?;
    if serial && !level.is_serial() {
        return Err(format!(
            "{level} is no serial level; they are SERIAL and LOCAL_SERIAL"
        ));
    }
    Ok(Some(level))
}

fn switch(command: &str, arguments: &[&str]) -> Result<Option<bool>, String> {
    match arguments {
        [] => Ok(None),
        [word] if word.eq_ignore_ascii_case("ON") => Ok(Some(true)),
        [word] if word.eq_ignore_ascii_case("OFF") => Ok(Some(false)),
        _ => Err(format!("{command} takes ON or OFF")),
    }
}

fn paging(arguments: &[&str]) -> Result<Option<Paging>, String> {
    if let [word] = arguments
        && let Ok(rows) = word.parse::<u32>()
        && rows > 0
    {
        return Ok(Some(Paging::On(rows)));
    }
    match switch("PAGING", arguments) {
        Ok(Some(true)) => Ok(Some(Paging::On(SCREEN_PAGE))),
        Ok(Some(false)) => Ok(Some(Paging::Off)),
        Ok(None) => Ok(None),
        Err(_) => Err("PAGING takes ON, OFF or a number of rows".to_owned()),
    }
}

fn source(argument: &str) -> Result<Command, String> {
    let path = argument
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    match path {
        Some(path) if !path.is_empty() => Ok(Command::Source(PathBuf::from(path.replace("''", "'")))),
        _ => Err("SOURCE takes the name of a file in single quotes: SOURCE 'file.cql'".to_owned()),
    }
}

fn show(arguments: &[&str]) -> Result<Command, String> {
    match arguments {
        [word] if word.eq_ignore_ascii_case("VERSION") => Ok(Command::ShowVersion),
        [word] if word.eq_ignore_ascii_case("HOST") => Ok(Command::ShowHost),
        _ => Err("SHOW takes VERSION or HOST".to_owned()),
    }
}

fn none(command: &str, arguments: &[&str]) -> Result<(), String> {
    if arguments.is_empty() {
        Ok(())
    } else {
        Err(format!("{} takes no argument", command.to_ascii_uppercase()))
    }
}
