//! What the shell is told when it starts.

use std::{io::IsTerminal, path::PathBuf, str::FromStr, time::Duration};

use crate::Consistency;

/// What a shell is to do, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes to learn the ring from, as [`SessionBuilder::contact`](crate::SessionBuilder::contact) takes them.
    pub contacts: Vec<String>,
    /// CQL and shell commands to carry out instead of reading them from standard input.
    pub execute: Option<String>,
    /// A file of them.
    pub file: Option<PathBuf>,
    /// The level to begin with.
    pub consistency: Consistency,
    /// How rows are printed.
    pub format: Format,
    /// Whether colours are used.
    pub color: Color,
    /// The keyspace to begin with.
    pub keyspace: Option<String>,
    /// The PEM file of the cluster's CA.
    pub ca: Option<PathBuf>,
    /// The name that nodes' certificates must be for, instead of `starling-node`.
    pub server_name: Option<String>,
    /// Accept any certificate from anywhere.
    pub danger_accept_any: bool,
    /// Where lines are remembered; `None`: in the user's home. An empty path: nowhere.
    pub history: Option<PathBuf>,
    /// How long to wait for an answer.
    pub request_timeout: Duration,
    /// Printed before the first prompt of an interactive shell, beside the usual greeting.
    pub greeting: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            contacts: vec!["127.0.0.1".to_owned()],
            execute: None,
            file: None,
            consistency: Consistency::One,
            format: Format::Table,
            color: Color::Auto,
            keyspace: None,
            ca: None,
            server_name: None,
            danger_accept_any: false,
            history: None,
            request_timeout: crate::DEFAULT_TIMEOUT,
            greeting: None,
        }
    }
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// Comma-separated values, with a header.
    Csv,
    /// An array of objects.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        <Self as clap::ValueEnum>::from_str(text, true)
    }
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to colour what goes to standard output.
    pub(super) fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            // https://no-color.org: present and not empty.
            Self::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
}
