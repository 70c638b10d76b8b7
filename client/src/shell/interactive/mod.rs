//! The shell with a person in front of it.

mod completer;
mod editor;
mod highlighter;
mod lexer;
mod prompt;
#[cfg(test)]
mod tests;
mod validator;

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;

use super::{
    DONE, FAILED, Options,
    engine::{Failure, Shell, Status},
    schema_names::SchemaNames,
    splitter,
};
use editor::{Editor, Line};

/// Reads statements until the person leaves.
pub(super) async fn run(mut shell: Shell, options: &Options) -> u8 {
    shell.make_interactive();
    if greet(&mut shell, options).is_err() {
        return FAILED;
    }
    let names = Arc::new(ArcSwap::from_pointee(SchemaNames::default()));
    refresh(&shell, &names);
    let colours = shell.output.colours;
    let mut editor = match Editor::start(history(options), Arc::clone(&names), colours) {
        Ok(editor) => editor,
        Err(error) => {
            shell
                .output
                .error(&format!("the line editor can't be started: {error}"));
            return FAILED;
        }
    };
    loop {
        match editor.read(shell.session.keyspace()).await {
            Line::Text(text) => {
                if carry_out(&mut shell, &text).await == Status::Exit {
                    return DONE;
                }
                if std::mem::take(&mut shell.schema_changed) {
                    refresh(&shell, &names);
                }
            }
            Line::Interrupted => {}
            Line::End => return DONE,
            Line::Failed(error) => {
                shell
                    .output
                    .error(&format!("the terminal can't be read: {error}"));
                return FAILED;
            }
        }
    }
}

/// Carries out what was typed, statement by statement, until one fails or Ctrl-C comes.
async fn carry_out(shell: &mut Shell, text: &str) -> Status {
    let split = splitter::split(text);
    for piece in split.pieces.into_iter().chain(split.rest) {
        // Dropping the statement's future is what cancels it.
        let result = tokio::select! {
            result = shell.run_statement(piece.text) => result,
            _ = tokio::signal::ctrl_c() => {
                Err(Failure::Told("cancelled; the cluster may still carry the statement out".to_owned()))
            }
        };
        match result {
            Ok(Status::Done) => {}
            Ok(other) => return other,
            Err(Failure::OutputClosed) => return Status::Exit,
            Err(Failure::Told(message)) => {
                shell.output.error(&message);
                return Status::Failed;
            }
        }
    }
    Status::Done
}

fn greet(shell: &mut Shell, options: &Options) -> std::io::Result<()> {
    let topology = shell.session.topology();
    let nodes = topology.nodes.len();
    let up = topology.nodes.iter().filter(|node| node.up).count();
    shell.output.line(&format!(
        "Connected to {}: {up} of {nodes} nodes up.",
        topology.cluster
    ))?;
    if let Some(greeting) = &options.greeting {
        shell.output.line(greeting)?;
    }
    shell
        .output
        .line("Statements end with ';'. HELP lists the commands; Tab completes; Ctrl-D leaves.")?;
    shell.output.flush()
}

/// Learns the names for completion, beside what the person does. Without them there is less to complete.
fn refresh(shell: &Shell, names: &Arc<ArcSwap<SchemaNames>>) {
    let (session, names) = (shell.session.clone(), Arc::clone(names));
    tokio::spawn(async move {
        match SchemaNames::read(&session).await {
            Ok(read) => names.store(Arc::new(read)),
            Err(error) => tracing::debug!(%error, "no names for completion"),
        }
    });
}

/// Where lines are remembered: what the options say, else in the user's home; nowhere without one.
fn history(options: &Options) -> Option<PathBuf> {
    match &options.history {
        Some(path) if path.as_os_str().is_empty() => None,
        Some(path) => Some(path.clone()),
        None => std::env::home_dir().map(|home| home.join(".starling").join("history")),
    }
}
