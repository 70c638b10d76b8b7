//! `starling flush` and `starling compact`.

use std::{io::IsTerminal, thread, time::Duration};

use super::{AdminArgs, output, plan::escaped};
use crate::{admin::CompactView, failure::Failure, snapshots::Selection};

/// How long what is flushed first may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often a compaction is asked about.
const POLL: Duration = Duration::from_secs(1);

/// Without a terminal, progress is printed this often: every so many polls.
const QUIET_POLLS: u32 = 10;

#[derive(Debug, clap::Args)]
pub(super) struct CompactArgs {
    /// What: everything, a keyspace, or a table
    #[arg(value_name = "KEYSPACE[.TABLE]")]
    target: Option<String>,
    /// Return once it is under way
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// `starling flush`.
pub(super) fn flush(args: &AdminArgs) -> Result<(), Failure> {
    args.order("/flush", PATIENCE)?;
    println!("All that was acknowledged before is in tables.");
    Ok(())
}

/// `starling compact`.
pub(super) fn compact(args: &CompactArgs) -> Result<(), Failure> {
    let selection = Selection::parse(args.target.as_deref());
    let path = format!("/compact?{}", parameters(&selection).join("&"));
    let begun: CompactView =
        serde_json::from_str(&args.admin.order(&path, PATIENCE)?).map_err(Failure::work)?;
    if args.no_wait {
        println!("Begun: {} to be read.", output::bytes(begun.left_bytes));
        return Ok(());
    }
    let is_terminal = std::io::stderr().is_terminal();
    let mut view = begun.clone();
    let mut polls = 0;
    while view.left_bytes > 0 {
        let line = progress(&view, &begun);
        if is_terminal {
            eprint!("\r\x1b[K{line}");
        } else if polls % QUIET_POLLS == 0 {
            eprintln!("{line}");
        }
        polls += 1;
        thread::sleep(POLL);
        view = args.admin.ask(&path)?;
    }
    if is_terminal && polls > 0 {
        eprintln!();
    }
    println!(
        "Compacted: {} in files of {} tables of the schema.",
        output::bytes(begun.left_bytes),
        begun.tables
    );
    Ok(())
}

/// How much is left, and what it waits for.
fn progress(view: &CompactView, begun: &CompactView) -> String {
    let waits = view.waits_for.as_ref();
    format!(
        "{} of {} left{}",
        output::bytes(view.left_bytes),
        output::bytes(begun.left_bytes),
        waits.map_or_else(String::new, |waits| format!("; {waits}"))
    )
}

/// A selection as parameters of a page.
pub(super) fn parameters(selection: &Selection) -> Vec<String> {
    [("keyspace", &selection.keyspace), ("table", &selection.table)]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", escaped(value.as_ref()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_what_is_waited_for() {
        let begun = CompactView {
            tables: 1,
            left_bytes: 4 << 20,
            waits_for: None,
        };
        let mut view = begun.clone();
        view.left_bytes = 1 << 20;
        assert_eq!(progress(&view, &begun), "1.00 MiB of 4.00 MiB left");
        view.waits_for = Some("the disk is full".to_owned());
        assert_eq!(
            progress(&view, &begun),
            "1.00 MiB of 4.00 MiB left; the disk is full"
        );
    }

    #[test]
    fn a_selection_is_escaped() {
        let parameters = |text| parameters(&Selection::parse(text)).join("&");
        assert_eq!(parameters(None), "");
        assert_eq!(parameters(Some("my ks")), "keyspace=my%20ks");
        assert_eq!(parameters(Some("k.t&x")), "keyspace=k&table=t%26x");
    }
}
