//! `starling ca`: certificates for real clusters. The demo and single nodes make theirs themselves.

use std::path::PathBuf;

use clap::Subcommand;

use crate::{
    failure::Failure,
    tls::{Authority, TlsFiles},
};

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// Make the authority of a new cluster: ca.pem for nodes and clients, ca.key to be kept secret
    Init {
        /// Where to put it
        dir: PathBuf,
        /// The cluster's name
        #[arg(long, default_value = "starling")]
        cluster: String,
    },
    /// Make a node's certificate: a directory for --tls
    Issue {
        /// Where the authority is
        dir: PathBuf,
        /// The node's name
        #[arg(long)]
        name: String,
        /// The addresses and host names by which clients reach the node, by comma
        #[arg(long, value_name = "IP|HOST,...", value_delimiter = ',', required = true)]
        address: Vec<String>,
        /// Where to put it [default: a directory of the node's name beside the authority]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// For how many days it is good
        #[arg(long, default_value = "825", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
}

pub(super) fn run(command: CaCommand) -> Result<(), Failure> {
    match command {
        CaCommand::Init { dir, cluster } => {
            Authority::create(&dir, &cluster).map_err(Failure::work)?;
            println!(
                "made {} and {}",
                dir.join("ca.pem").display(),
                dir.join("ca.key").display()
            );
            println!("keep ca.key secret: who has it can join the cluster");
        }
        CaCommand::Issue {
            dir,
            name,
            address,
            out,
            days,
        } => {
            let out = out.unwrap_or_else(|| dir.join(&name));
            let authority = Authority::open(&dir).map_err(Failure::work)?;
            let issued = authority.issue(&name, &address, days).map_err(Failure::work)?;
            let TlsFiles { certificate, key, .. } = authority.write(&out, &issued).map_err(Failure::work)?;
            println!("made {} and {}", certificate.display(), key.display());
            println!("start the node with --tls {}", out.display());
        }
    }
    Ok(())
}
