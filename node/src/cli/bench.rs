//! `starling bench`: the harness is a program of its own beside this one, so that servers don't carry it.

use std::{ffi::OsString, os::unix::process::CommandExt, path::Path, process::Command};

use clap::Args;

use crate::failure::Failure;

/// The harness's binary.
const HARNESS: &str = "starling-bench";

/// Everything goes to the harness as it is, `--help` too.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// What `starling-bench` is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the harness. Returns only if that fails.
pub(super) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(Failure::work)?;
    Err(run_beside(&own, &args.arguments))
}

fn run_beside(own: &Path, arguments: &[OsString]) -> Failure {
    let harness = own.with_file_name(HARNESS);
    if !harness.is_file() {
        return Failure::work(format!(
            "there is no {}; put it there, or build it with 'cargo build --release -p starling-bench'",
            harness.display()
        ));
    }
    let error = Command::new(&harness).args(arguments).exec();
    Failure::work(format!("cannot start {}: {error}", harness.display()))
}

#[cfg(test)]
mod tests {
    use super::run_beside;

    #[test]
    fn a_missing_harness_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let failure = run_beside(&dir.path().join("starling"), &["run".into()]);
        let message = failure.to_string();
        assert!(
            message.contains("starling-bench") && message.contains("cargo build"),
            "{message}"
        );
    }
}
