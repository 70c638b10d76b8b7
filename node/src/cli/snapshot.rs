//! `starling snapshot`.

use std::{io, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{AdminArgs, output, plan::escaped, upkeep::parameters};
use crate::{
    admin::client,
    failure::Failure,
    restore::RestoreProgress,
    snapshots::{Selection, SnapshotView, Tag},
};

/// The longest silence while a file is written.
const SILENCE: Duration = Duration::from_hours(1);

/// How long a snapshot may take: what is in memory is flushed first.
const PATIENCE: Duration = Duration::from_mins(30);

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Keep a node's tables as they are now, as hard links in its data directory
    Create(CreateArgs),
    /// Show a node's snapshots
    List(AdminArgs),
    /// Write what a snapshot holds into the cluster
    ///
    /// Writes all rows and deletions of a snapshot, or of incremental backups, to their present replicas, with the
    /// timestamps that they had: into the cluster that they are from, or another one with the same tables (make them with
    /// the snapshot's schema.cql), whatever their rings are.
    ///
    /// What was written or deleted after the snapshot is newer and stays; to have the state of then, TRUNCATE the tables
    /// first. What was deleted so long ago that its tombstone is gone comes back. Restore the snapshots of all nodes, or of
    /// as many as hold all data, within gc_grace_seconds (10 days unless set) of one another: so long restored deletions are
    /// kept, however old they are. It can be broken off, and done again.
    Restore(RestoreArgs),
    /// Delete a snapshot of a node
    Delete {
        /// Its name
        tag: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What: everything, a keyspace, or a table
    #[arg(value_name = "KEYSPACE[.TABLE]")]
    target: Option<String>,
    /// Its name [default: the time, as 20261122-094501]
    #[arg(long, short)]
    tag: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The snapshot's directory, on the machine of the node that is asked
    dir: PathBuf,
    /// What: everything, a keyspace, or a table
    #[arg(value_name = "KEYSPACE[.TABLE]")]
    target: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(command: SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Create(args) => create(&args),
        SnapshotCommand::List(admin) => list(&admin),
        SnapshotCommand::Restore(args) => restore(&args),
        SnapshotCommand::Delete { tag, admin } => delete(&tag, &admin),
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let mut all = parameters(&Selection::parse(args.target.as_deref()));
    if let Some(tag) = &args.tag {
        let tag = Tag::new(tag).map_err(Failure::usage)?;
        all.push(format!("tag={tag}"));
    }
    let made = order(&args.admin, &format!("/snapshots/create?{}", all.join("&")))?;
    if args.admin.format == output::Format::Json {
        return output::json(&made);
    }
    println!("{}", sentence(&made));
    Ok(())
}

fn list(admin: &AdminArgs) -> Result<(), Failure> {
    let all: Vec<SnapshotView> = admin.ask("/snapshots")?;
    if admin.format == output::Format::Json {
        return output::json(&all);
    }
    println!("{}", text(&all));
    Ok(())
}

fn delete(tag: &str, admin: &AdminArgs) -> Result<(), Failure> {
    let tag = Tag::new(tag).map_err(Failure::usage)?;
    let path = format!("/snapshots/delete?tag={}", escaped(tag.as_str()));
    let deleted = order(admin, &path)?;
    if admin.format == output::Format::Json {
        return output::json(&deleted);
    }
    println!(
        "Snapshot {} is deleted: {} are free again.",
        deleted.tag,
        output::bytes(deleted.own_bytes)
    );
    Ok(())
}

fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    // As this machine sees it, which is the node's most often.
    let dir = args.dir.canonicalize().unwrap_or_else(|_| args.dir.clone());
    let Some(text) = dir.to_str() else {
        return Err(Failure::usage("the directory's name is not UTF-8: rename it"));
    };
    let mut all = parameters(&Selection::parse(args.target.as_deref()));
    all.push(format!("dir={}", escaped(text)));
    let path = format!("/snapshots/restore?{}", all.join("&"));
    let mut last = RestoreProgress::default();
    let mut told = 0;
    let answer = client::post_lines(args.admin.admin, &path, SILENCE, |line| {
        last = serde_json::from_str(line).map_err(io::Error::from)?;
        if args.admin.format == output::Format::Json {
            println!("{line}");
            return Ok(());
        }
        if let Some(message) = &last.message {
            eprintln!("{message}");
        }
        // A line for each tenth of the way.
        let tenth = last.done_bytes * 10 / last.bytes.max(1);
        if tenth > told && !last.finished {
            told = tenth;
            println!(
                "{} of {}, {} rows written",
                output::bytes(last.done_bytes),
                output::bytes(last.bytes),
                last.rows
            );
        }
        Ok(())
    });
    match answer {
        Err(error) => Err(Failure::work(format!(
            "the restore by the node at {} was cut off: {error}; what was written before is, do it again",
            args.admin.admin
        ))),
        Ok((200, _)) if last.finished => conclude(args, &last),
        Ok((200, _)) => Err(Failure::work(format!(
            "the restore ended early: {}; what was written before is, do it again",
            last.message.as_deref().unwrap_or("the node was stopped")
        ))),
        Ok((400, problem)) => Err(Failure::usage(problem.trim())),
        Ok((_, problem)) => Err(Failure::work(problem.trim())),
    }
}

fn conclude(args: &RestoreArgs, done: &RestoreProgress) -> Result<(), Failure> {
    if args.admin.format == output::Format::Table {
        println!(
            "{} rows of {} files ({}) are written. What is newer than the snapshot, deletions too, was not changed.",
            done.rows,
            done.files,
            output::bytes(done.bytes)
        );
    }
    if done.incomplete > 0 {
        return Err(Failure::work(format!(
            "{} of {} files could not be read to their end; see above",
            done.incomplete, done.files
        )));
    }
    Ok(())
}

fn order(admin: &AdminArgs, path: &str) -> Result<SnapshotView, Failure> {
    serde_json::from_str(&admin.order(path, PATIENCE)?).map_err(Failure::work)
}

fn of(view: &SnapshotView) -> &str {
    view.of.as_deref().unwrap_or("everything")
}

fn sentence(made: &SnapshotView) -> String {
    format!(
        "Snapshot {} of {}: {} tables, {}, of which {} are its own, in\n{}",
        made.tag,
        of(made),
        made.tables,
        output::bytes(made.bytes),
        output::bytes(made.own_bytes),
        made.path.display()
    )
}

fn text(all: &[SnapshotView]) -> String {
    if all.is_empty() {
        return "There are no snapshots.".to_owned();
    }
    let rows = all.iter().map(|view| {
        vec![
            view.tag.clone(),
            taken(view.taken),
            of(view).to_owned(),
            view.tables.to_string(),
            output::bytes(view.bytes),
            output::bytes(view.own_bytes),
            view.path.display().to_string(),
        ]
    });
    output::table(
        &["tag", "taken (UTC)", "of", "tables", "size", "its own", "path"],
        rows,
    )
}

/// `2026-11-22 09:45:01`.
fn taken(seconds: i64) -> String {
    let Ok(time) = time::OffsetDateTime::from_unix_timestamp(seconds) else {
        return "?".to_owned();
    };
    format!(
        "{} {:02}:{:02}:{:02}",
        time.date(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> SnapshotView {
        SnapshotView {
            tag: "before".to_owned(),
            path: "/data/snapshots/before".into(),
            taken: 1_795_340_701,
            of: Some("k.t".to_owned()),
            tables: 4,
            bytes: 5 << 20,
            own_bytes: 1_234,
        }
    }

    #[test]
    fn snapshots_are_shown_with_what_they_cost() {
        let expected = "\
tag     taken (UTC)          of   tables  size      its own   path
before  2026-11-22 09:45:01  k.t  4       5.00 MiB  1.21 KiB  /data/snapshots/before";
        assert_eq!(text(&[view()]), expected);
        assert_eq!(text(&[]), "There are no snapshots.");
        assert_eq!(
            sentence(&view()),
            "Snapshot before of k.t: 4 tables, 5.00 MiB, of which 1.21 KiB are its own, in\n/data/snapshots/before"
        );
    }
}
