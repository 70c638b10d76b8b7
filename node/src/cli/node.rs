//! `starling node`.

use std::path::PathBuf;

use clap::Args;

use super::logging;
use crate::{
    config::{NodeConfig, Settings},
    failure::Failure,
    run,
};

/// Flags win over the file.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// A TOML file with these settings, named as the flags are, with `_` for `-`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,

    /// Stop when standard input ends: a parent that dies takes the node with it
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

pub(super) fn run(args: NodeArgs) -> Result<(), Failure> {
    let from_file = match &args.config {
        Some(path) => Settings::read(path).map_err(Failure::usage)?,
        None => Settings::default(),
    };
    let config = NodeConfig::from_settings(args.settings.or(from_file)).map_err(Failure::usage)?;
    logging::start();
    run::run(&config, args.stop_with_stdin)
}
