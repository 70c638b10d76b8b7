//! `starling repair`.

use std::{io, net::SocketAddr, time::Duration};

use clap::Args;
use starling_replication::RepairProgress;

use super::{loss, output};
use crate::{
    admin::{RepairQuery, client},
    config::ADMIN_PORT,
    failure::Failure,
};

/// The longest silence between two ranges: a large one is hashed meanwhile.
const PATIENCE: Duration = Duration::from_mins(30);

/// Compares the replicas of tables, and writes to each what it lacks. Nodes do so by themselves all the time; this
/// does it now, as fast as it goes.
#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    /// What: everything, a keyspace, or a table
    #[arg(value_name = "KEYSPACE[.TABLE]")]
    pub(super) target: Option<String>,
    /// Tell what differs and change nothing
    #[arg(long)]
    preview: bool,
    /// Only tokens after START up to END
    #[arg(long, value_name = "START:END", allow_hyphen_values = true)]
    pub(super) range: Option<String>,
    /// Show what is damaged on the node that is asked and can't be given back, because other replicas are damaged in the same
    /// place, or dead for good; with --yes it is given up on all of them, for good, and they get what is left
    #[arg(long, requires = "target", conflicts_with = "preview")]
    accept_loss: bool,
    /// A node that is dead for good, by host id or address; each has to be named, unless it is being removed or replaced
    #[arg(long, value_name = "NODE", requires = "accept_loss")]
    pub(super) dead: Vec<String>,
    /// With --accept-loss: do it
    #[arg(long, requires = "accept_loss")]
    pub(super) yes: bool,
    /// The admin address of a node
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT)))]
    pub(super) admin: SocketAddr,
    /// How the answer is printed: JSON is an object a line
    #[arg(long, value_enum, default_value = "table")]
    pub(super) format: output::Format,
}

pub(super) fn run(args: &RepairArgs) -> Result<(), Failure> {
    if args.accept_loss {
        return loss::run(args);
    }
    let query = args.query().map_err(Failure::work)?;
    let mut last = RepairProgress::default();
    let mut told = 0;
    let answer = client::post_lines(args.admin, &path(&query), PATIENCE, |line| {
        last = serde_json::from_str(line).map_err(io::Error::from)?;
        if args.format == output::Format::Json {
            println!("{line}");
            return Ok(());
        }
        if let Some(message) = &last.message {
            println!("{message}");
        }
        // A line for each tenth of the way.
        let tenth = last.done * 10 / last.ranges.max(1);
        if tenth > told && !last.finished {
            told = tenth;
            println!(
                "{} of {} ranges, {} rows compared",
                last.done, last.ranges, last.rows
            );
        }
        Ok(())
    });
    match answer {
        Err(error) => Err(Failure::work(format!(
            "the repair by the node at {} was cut off: {error}; what was repaired before is, run it again",
            args.admin
        ))),
        Ok((200, _)) if last.finished => conclude(args, &last),
        Ok((200, _)) => Err(Failure::work(
            "the node ended the repair early; what was repaired before is, run it again",
        )),
        Ok((_, problem)) => Err(Failure::work(problem)),
    }
}

fn conclude(args: &RepairArgs, done: &RepairProgress) -> Result<(), Failure> {
    if args.format == output::Format::Table {
        let what = if args.preview {
            "would be repaired"
        } else {
            "repaired"
        };
        println!(
            "{} ranges and {} rows compared: {} partitions or parts of them {what} ({} writes, {} fetched)",
            done.ranges,
            done.rows,
            done.differing,
            done.written,
            output::bytes(done.fetched)
        );
    }
    if done.incomplete > 0 {
        return Err(Failure::work(format!(
            "{} of {} ranges were not compared on all of their replicas; see above, and run it again",
            done.incomplete, done.ranges
        )));
    }
    Ok(())
}

impl RepairArgs {
    fn query(&self) -> Result<RepairQuery, String> {
        let (keyspace, table) = match self.target.as_deref().map(|target| target.split_once('.')) {
            None => (None, None),
            Some(None) => (self.target.clone(), None),
            Some(Some((keyspace, table))) => (Some(keyspace.to_owned()), Some(table.to_owned())),
        };
        let query = RepairQuery {
            keyspace,
            table,
            range: self.range.clone(),
            preview: self.preview,
        };
        query.request().map(|_| query)
    }
}

/// The page's address.
fn path(query: &RepairQuery) -> String {
    let mut parts = vec![format!("preview={}", query.preview)];
    for (name, value) in [
        ("keyspace", &query.keyspace),
        ("table", &query.table),
        ("range", &query.range),
    ] {
        parts.extend(value.as_ref().map(|value| format!("{name}={}", escaped(value))));
    }
    format!("/repair?{}", parts.join("&"))
}

/// As part of an address (RFC 3986, 2.1).
pub(super) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_names_what_is_to_be_repaired() {
        let query = RepairQuery {
            keyspace: Some("my ks".to_owned()),
            table: Some("t".to_owned()),
            range: Some("-1:2".to_owned()),
            preview: true,
        };
        assert_eq!(
            path(&query),
            "/repair?preview=true&keyspace=my%20ks&table=t&range=-1%3A2"
        );
    }
}
