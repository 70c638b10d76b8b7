//! Carries out what is read, statement by statement.

use std::{io, path::Path, time::Duration};

use super::{
    DONE, FAILED, Format, Options,
    command::{self, Command},
    copy, execute, help,
    output::Output,
    settings::{Paging, SCREEN_PAGE, Settings},
    splitter::{self, Piece},
};
use crate::{Consistency, Session};

/// Files that may include one another by SOURCE, at most this deep.
const MAX_SOURCE_DEPTH: usize = 16;

/// A shell.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) session: Session,
    pub(super) settings: Settings,
    pub(super) output: Output,
    contacts: String,
    source_depth: usize,
    /// The schema changed since this was last asked for.
    pub(super) schema_changed: bool,
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Done.
    Done,
    /// It failed; the error has been printed.
    Failed,
    /// The shell is to end.
    Exit,
}

/// A statement that failed, in one sentence.
#[derive(Debug)]
pub(super) enum Failure {
    /// What the user is told.
    Told(String),
    /// Nobody reads what is printed any more (`| head`): end quietly.
    OutputClosed,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Told(text)
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self::Told(execute::sentence(&error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Told(format!("the output can't be written: {error}")),
        }
    }
}

impl Shell {
    pub(super) fn new(session: Session, options: &Options, output: Output) -> Self {
        let settings = Settings {
            consistency: options.consistency,
            serial_consistency: Consistency::Serial,
            tracing: false,
            paging: Paging::Off,
            expand: false,
            format: options.format,
            interactive: false,
        };
        let contacts = options.contacts.join(", ");
        Self {
            session,
            settings,
            output,
            contacts,
            source_depth: 0,
            schema_changed: false,
        }
    }

    /// Prepares for a person.
    pub(super) fn make_interactive(&mut self) {
        self.settings.interactive = true;
        self.settings.paging = Paging::On(SCREEN_PAGE);
    }

    /// Carries out a whole script, to its end or its first failure, and returns the exit code.
    pub(super) async fn run_script(&mut self, script: &str) -> u8 {
        let status = self.run_text(script).await;
        if self.output.flush().is_err() {
            return FAILED;
        }
        match status {
            Status::Done | Status::Exit => DONE,
            Status::Failed => FAILED,
        }
    }

    /// Carries out the statements of a text, the last of which needs no `;`.
    pub(super) async fn run_text(&mut self, text: &str) -> Status {
        let split = splitter::split(text);
        for piece in split.pieces.into_iter().chain(split.rest) {
            match self.run_statement(piece.text).await {
                Ok(Status::Done) => {}
                Ok(other) => return other,
                Err(Failure::OutputClosed) => return Status::Exit,
                Err(Failure::Told(message)) => {
                    self.tell(text, piece, &message);
                    return Status::Failed;
                }
            }
        }
        Status::Done
    }

    /// Prints an error, with the line where that helps.
    fn tell(&mut self, text: &str, piece: Piece<'_>, message: &str) {
        if self.settings.interactive || !text.trim_end().contains('\n') {
            self.output.error(message);
        } else {
            let line = splitter::line_of(text, piece.start);
            self.output.error(&format!("statement at line {line}: {message}"));
        }
    }

    /// Carries out one statement, without its `;`.
    pub(super) async fn run_statement(&mut self, text: &str) -> Result<Status, Failure> {
        match command::parse(text)? {
            Command::Cql => {
                execute::run(self, text).await?;
            }
            Command::Exit => return Ok(Status::Exit),
            Command::Source(path) => return Box::pin(self.source(&path)).await,
            Command::Copy(command) => copy::run(self, &command).await?,
            Command::Help(topic) => self.output.line(&help::text(topic.as_deref())?)?,
            Command::Clear => self.clear()?,
            Command::ShowVersion => {
                self.output
                    .line(concat!("[starling ", env!("CARGO_PKG_VERSION"), " | CQL 3.4.7]"))?;
            }
            Command::ShowHost => self.show_host()?,
            setting => self.change(setting)?,
        }
        self.output.flush()?;
        Ok(Status::Done)
    }

    /// Shows or changes a setting.
    fn change(&mut self, command: Command) -> Result<(), Failure> {
        let settings = &mut self.settings;
        let said = match command {
            Command::Consistency(Some(level)) => {
                settings.consistency = level;
                format!("Consistency level set to {level}.")
            }
            Command::Consistency(None) => format!("Current consistency level is {}.", settings.consistency),
            Command::SerialConsistency(Some(level)) => {
                settings.serial_consistency = level;
                format!("Serial consistency level set to {level}.")
            }
            Command::SerialConsistency(None) => {
                format!(
                    "Current serial consistency level is {}.",
                    settings.serial_consistency
                )
            }
            Command::Tracing(state) => toggle("Tracing", &mut settings.tracing, state),
            Command::Expand(state) => toggle("Expanded output", &mut settings.expand, state),
            Command::Paging(Some(paging)) => {
                settings.paging = paging;
                match paging {
                    Paging::Off => "Disabled query paging.".to_owned(),
                    Paging::On(rows) => format!("Query paging is on, {rows} rows a page."),
                }
            }
            Command::Paging(None) => match settings.paging {
                Paging::Off => "Query paging is off.".to_owned(),
                Paging::On(rows) => format!("Query paging is on, {rows} rows a page."),
            },
            _ => return Ok(()),
        };
        Ok(self.say(&said)?)
    }

    /// Says what a command did: beside the rows, so that they stay clean for a machine.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        if self.settings.format == Format::Table {
            self.output.line(text)
        } else {
            self.output.note(text);
            Ok(())
        }
    }

    async fn source(&mut self, path: &Path) -> Result<Status, Failure> {
        if self.source_depth == MAX_SOURCE_DEPTH {
            return Err(
                format!("SOURCE goes {MAX_SOURCE_DEPTH} files deep; does a file include itself?").into(),
            );
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the file {} can't be read: {error}", path.display()))?;
        self.source_depth += 1;
        let status = self.run_text(&text).await;
        self.source_depth -= 1;
        match status {
            Status::Failed => Err(format!(
                "{} was carried out up to the statement that failed",
                path.display()
            )
            .into()),
            // EXIT in a file ends the file.
            Status::Done | Status::Exit => Ok(Status::Done),
        }
    }

    fn clear(&mut self) -> io::Result<()> {
        if self.settings.interactive {
            write!(self.output.rows(), "\x1b[2J\x1b[H")?;
        }
        Ok(())
    }

    fn show_host(&mut self) -> io::Result<()> {
        let topology = self.session.topology();
        self.output.line(&format!(
            "Connected to {} at {}.",
            topology.cluster, self.contacts
        ))?;
        for node in &topology.nodes {
            let state = if node.up { "up" } else { "down" };
            self.output.line(&format!(
                "  {}  CQL {}  {}/{}  {state}",
                node.address, node.cql_address, node.datacenter, node.rack
            ))?;
        }
        Ok(())
    }
}

fn toggle(what: &str, setting: &mut bool, state: Option<bool>) -> String {
    let name = |on: bool| if on { "on" } else { "off" };
    match state {
        Some(state) => {
            *setting = state;
            format!("{what} is now {}.", name(state))
        }
        None => format!("{what} is {}.", name(*setting)),
    }
}

/// How long something took, as people read it.
pub(super) fn took(elapsed: Duration) -> String {
    let micros = elapsed.as_micros();
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.1} ms", elapsed.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", elapsed.as_secs_f64()),
    }
}
