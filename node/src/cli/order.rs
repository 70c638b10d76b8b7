//! Orders that change the ring: given, and followed until they are over.

use std::{collections::BTreeMap, io::IsTerminal, thread, time::Duration};

use super::{AdminArgs, output, plan};
use crate::{
    admin::{self, StatusView, TopologyView},
    failure::Failure,
};

/// How often an order that is under way is asked about.
const POLL: Duration = Duration::from_secs(1);

/// Without a terminal, progress is printed this often: every so many polls.
const QUIET_POLLS: u32 = 10;

/// Flags of all orders.
#[derive(Debug, clap::Args)]
pub(super) struct OrderArgs {
    #[command(flatten)]
    pub(super) admin: AdminArgs,
    /// Only show what would move, how long that takes, and where it leads
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Return once it is under way; `starling topology` shows how far it is
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Do it although fewer nodes are left than a keyspace has replicas
    #[arg(long)]
    pub(super) force: bool,
}

/// `starling decommission`.
pub(super) fn decommission(args: &OrderArgs) -> Result<(), Failure> {
    if args.dry_run {
        return plan::show(&args.admin, &[("change", "leave")]);
    }
    give(
        args,
        &format!("/topology/decommission?force={}", args.force),
        "The node has left the ring: its data is with the others. Stop its process; its directory is not needed any more.",
    )
}

/// `starling remove`.
pub(super) fn remove(args: &OrderArgs, nodes: &[String]) -> Result<(), Failure> {
    let nodes = nodes.join(",");
    if args.dry_run {
        return plan::show(&args.admin, &[("change", "remove"), ("node", &nodes)]);
    }
    let path = format!(
        "/topology/remove?node={}&force={}",
        plan::escaped(&nodes),
        args.force
    );
    give(
        args,
        &path,
        "Removed. If such a node comes back, it is refused: it must start with an empty directory.",
    )
}

/// `starling topology abort`.
pub(super) fn abort(args: &AdminArgs) -> Result<(), Failure> {
    post(args, "/topology/abort")?;
    println!(
        "The change was given up or, if all data was there already, is done: `starling status` shows the ring."
    );
    Ok(())
}

fn post(args: &AdminArgs, path: &str) -> Result<u16, Failure> {
    let (code, body) = admin::client::post(args.admin, path).map_err(|error| args.unreachable(&error))?;
    match code {
        200 | 202 => Ok(code),
        400 => Err(Failure::usage(body.trim())),
        _ => Err(Failure::work(body.trim())),
    }
}

/// Gives an order, and follows it to its end.
fn give(args: &OrderArgs, path: &str, done: &str) -> Result<(), Failure> {
    let is_over = post(&args.admin, path)? == 200;
    if !is_over && args.no_wait {
        println!("Begun: `starling topology` shows how far it is.");
        return Ok(());
    }
    if !is_over {
        follow(&args.admin)?;
    }
    println!("{done}");
    Ok(())
}

fn follow(args: &AdminArgs) -> Result<(), Failure> {
    let is_terminal = std::io::stderr().is_terminal();
    let mut polls = 0;
    loop {
        let view: TopologyView = args.ask("/topology")?;
        match &view.order {
            Some(order) if order.running => {}
            Some(order) => {
                if is_terminal {
                    eprintln!();
                }
                return order
                    .error
                    .as_ref()
                    .map_or(Ok(()), |error| Err(Failure::work(error)));
            }
            None => {
                return Err(Failure::work(
                    "the node was restarted meanwhile; it goes on with the change by itself: see `starling topology`",
                ));
            }
        }
        let line = progress(&view);
        if is_terminal {
            eprint!("\r\x1b[K{line}");
        } else if polls % QUIET_POLLS == 0 {
            eprintln!("{line}");
        }
        polls += 1;
        thread::sleep(POLL);
    }
}

/// All that moves, in a line.
fn progress(view: &TopologyView) -> String {
    let fetching = || {
        view.nodes
            .iter()
            .map(|node| &node.streams)
            .filter(|streams| streams.fetching)
    };
    let done: u64 = fetching().map(|streams| streams.bytes_done).sum();
    let total: u64 = fetching().map(|streams| streams.bytes_total).sum();
    let seconds = fetching().map(|streams| streams.seconds).max().unwrap_or(0);
    let phase = view
        .change
        .as_ref()
        .map_or("waiting for the others", |change| change.phase.as_str());
    let mut parts = vec![phase.to_owned()];
    if total > 0 {
        let rate = done / seconds.max(1);
        let moved = format!(
            "{} of {} ({} %), {}/s",
            output::bytes(done),
            output::bytes(total),
            done * 100 / total,
            output::bytes(rate)
        );
        let left = total.saturating_sub(done).checked_div(rate);
        let left = left.map_or_else(String::new, |left| {
            format!(", about {} left", output::seconds(left))
        });
        parts = vec![format!("{phase}: {moved}{left}")];
    }
    let waits = fetching().find_map(|streams| streams.waits_for.as_ref());
    parts.extend(waits.map(|waits| format!("waits for {waits}")));
    parts.join("; ")
}

/// `starling topology`.
pub(super) fn show(args: &AdminArgs) -> Result<(), Failure> {
    let view: TopologyView = args.ask("/topology")?;
    if args.format == output::Format::Json {
        return output::json(&view);
    }
    let status: StatusView = args.fetch("/status")?;
    let members = status.node.members.iter();
    let names: BTreeMap<String, String> = members
        .map(|member| (member.id.to_string(), member.address.to_string()))
        .collect();
    println!("{}", text(&view, &names));
    Ok(())
}

fn text(view: &TopologyView, names: &BTreeMap<String, String>) -> String {
    let name = |id: &String| names.get(id).unwrap_or(id).clone();
    let mut lines = vec![match &view.change {
        None => "No change of the ring is under way.".to_owned(),
        Some(change) => format!(
            "Under way: {}; {}. Carried through by {}.",
            change.what,
            progress(view),
            name(&change.coordinator)
        ),
    }];
    if let Some(error) = view.order.as_ref().and_then(|order| order.error.as_ref()) {
        lines.push(format!("The last order to this node did not work: {error}."));
    }
    let busy = |node: &&admin::NodeMoves| {
        let streams = &node.streams;
        streams.fetching || streams.serving > 0 || streams.cleaning > 0
    };
    let rows: Vec<Vec<String>> = view
        .nodes
        .iter()
        .filter(busy)
        .map(|node| {
            let streams = &node.streams;
            vec![
                name(&node.node),
                if streams.fetching {
                    format!(
                        "{} of {}",
                        output::bytes(streams.bytes_done),
                        output::bytes(streams.bytes_total)
                    )
                } else {
                    "-".to_owned()
                },
                streams.serving.to_string(),
                streams.cleaning.to_string(),
                streams.waits_for.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(String::new());
        let header = ["node", "fetched", "streams out", "tables to clean", "waits for"];
        lines.push(output::table(&header, rows));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use starling_replication::StreamStatus;

    use super::*;
    use crate::admin::{ChangeView, NodeMoves, Order};

    fn view() -> TopologyView {
        TopologyView {
            change: Some(ChangeView {
                what: "node b leaves".to_owned(),
                phase: "new replicas fetch their data".to_owned(),
                coordinator: "b".to_owned(),
                since: 0,
            }),
            nodes: vec![NodeMoves {
                node: "a".to_owned(),
                streams: StreamStatus {
                    fetching: true,
                    bytes_total: 400 << 20,
                    bytes_done: 100 << 20,
                    seconds: 2,
                    waits_for: Some("node b: no answer".to_owned()),
                    ..StreamStatus::default()
                },
            }],
            order: None,
        }
    }

    #[test]
    fn what_is_under_way_is_told_in_a_sentence_and_a_table() {
        let names = BTreeMap::from([
            ("a".to_owned(), "10.0.0.1:7000".to_owned()),
            ("b".to_owned(), "10.0.0.2:7000".to_owned()),
        ]);
        let expected = "\
Under way: node b leaves; new replicas fetch their data: 100 MiB of 400 MiB (25 %), 50.0 MiB/s, about 6 s left; \
waits for node b: no answer. Carried through by 10.0.0.2:7000.

node           fetched             streams out  tables to clean  waits for
10.0.0.1:7000  100 MiB of 400 MiB  0            0                node b: no answer";
        assert_eq!(text(&view(), &names), expected);
    }

    #[test]
    fn a_quiet_ring_is_one_line_and_a_failed_order_is_told() {
        let mut quiet = view();
        quiet.change = None;
        quiet.nodes.clear();
        assert_eq!(
            text(&quiet, &BTreeMap::new()),
            "No change of the ring is under way."
        );
        quiet.order = Some(Order {
            what: "remove".to_owned(),
            running: false,
            error: Some("node c is down".to_owned()),
        });
        assert!(text(&quiet, &BTreeMap::new()).ends_with("did not work: node c is down."));
    }
}
