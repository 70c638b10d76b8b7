//! COPY: a table to CSV, and CSV to a table.

mod export;
mod import;
mod options;
mod parse;
#[cfg(test)]
mod tests;

pub(super) use options::CopyOptions;
pub(super) use parse::{CopyCommand, Direction, Place, parse};

use super::engine::{Failure, Shell};

/// Carries out a COPY.
pub(super) async fn run(shell: &mut Shell, command: &CopyCommand) -> Result<(), Failure> {
    match command.direction {
        Direction::From => import::run(shell, command).await,
        Direction::To => export::run(shell, command).await,
    }
}
