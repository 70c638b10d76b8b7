//! The command line of `starling shell`.

use std::{path::PathBuf, time::Duration};

use super::options::{Color, Format, Options};
use crate::Consistency;

/// The arguments of `starling shell`, to be flattened into a clap command.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A node of the cluster: HOST or HOST:PORT of its QUIC listener; several by comma
    #[arg(
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:7000",
        value_delimiter = ','
    )]
    contacts: Vec<String>,

    /// Carry out CQL and exit
    #[arg(short, long, value_name = "CQL", conflicts_with = "file")]
    execute: Option<String>,

    /// Carry out a file of CQL and exit
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The consistency level to begin with
    #[arg(long, value_name = "LEVEL", default_value = "ONE")]
    consistency: Consistency,

    /// How rows are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    color: Color,

    /// The keyspace to begin with
    #[arg(short, long, value_name = "NAME")]
    keyspace: Option<String>,

    /// The cluster's CA certificate (PEM); without one, only nodes on this machine are accepted
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The name that the nodes' certificates are for, if not starling-node
    #[arg(long, value_name = "NAME", requires = "ca")]
    server_name: Option<String>,

    /// Accept any certificate: whoever is in between can read and change everything
    #[arg(long, conflicts_with = "ca")]
    danger_accept_any: bool,

    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    request_timeout: u64,
}

impl From<Args> for Options {
    fn from(args: Args) -> Self {
        Self {
            contacts: args.contacts,
            execute: args.execute,
            file: args.file,
            consistency: args.consistency,
            format: args.format,
            color: args.color,
            keyspace: args.keyspace,
            ca: args.ca,
            server_name: args.server_name,
            danger_accept_any: args.danger_accept_any,
            history: None,
            request_timeout: Duration::from_secs(args.request_timeout),
            greeting: None,
        }
    }
}
