//! A change of the ring as it would go, for people.

use std::collections::BTreeMap;

use starling_replication::Estimate;

use super::{AdminArgs, output};
use crate::{admin::StatusView, failure::Failure};

/// Asks for the plan of a change and prints it.
pub(super) fn show(args: &AdminArgs, query: &[(&str, &str)]) -> Result<(), Failure> {
    let query: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    let plan: Estimate = args.ask(&format!("/topology/plan?{}", query.join("&")))?;
    if args.format == output::Format::Json {
        return output::json(&plan);
    }
    let status: StatusView = args.fetch("/status")?;
    let members = status.node.members.iter();
    let names: BTreeMap<String, String> = members
        .map(|member| (member.id.to_string(), member.address.to_string()))
        .collect();
    println!("{}", text(&plan, &names));
    Ok(())
}

/// A value as a URL's query has it.
pub(super) fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:,".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    value.bytes().map(one).collect()
}

/// The plan as text. `names` are the addresses of host ids; who has none is new.
fn text(plan: &Estimate, names: &BTreeMap<String, String>) -> String {
    let name = |id: &String| {
        names
            .get(id)
            .cloned()
            .unwrap_or_else(|| "the new node".to_owned())
    };
    let mut lines = vec![if plan.moves.is_empty() {
        format!("Plan: {}. No data has to move. Nothing was changed.", plan.change)
    } else {
        format!(
            "Plan: {}. {} move in about {} (at {}/s for each node that fetches). Nothing was changed.",
            plan.change,
            output::bytes(plan.bytes),
            output::seconds(plan.seconds),
            output::bytes(plan.rate)
        )
    }];
    lines.extend(plan.warnings.iter().map(|warning| format!("Warning: {warning}.")));
    if !plan.moves.is_empty() {
        let rows = plan.moves.iter().map(|moved| {
            vec![
                name(&moved.from),
                name(&moved.to),
                moved.ranges.to_string(),
                output::bytes(moved.bytes),
            ]
        });
        lines.push(String::new());
        lines.push(output::table(&["from", "to", "ranges", "bytes"], rows));
    }
    let share = |share: f64| format!("{:.1} %", share * 100.0);
    let rows = plan.nodes.iter().map(|node| {
        vec![
            name(&node.node),
            output::bytes(node.bytes_before),
            output::bytes(node.bytes_after),
            share(node.share_before),
            share(node.share_after),
        ]
    });
    lines.push(String::new());
    let header = ["node", "data now", "data then", "owns now", "owns then"];
    lines.push(output::table(&header, rows));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use starling_replication::streaming::estimate::{Balance, Move};

    use super::*;

    #[test]
    fn a_plan_says_what_moves_how_long_and_where_it_leads() {
        let balance = |node: &str, before: u64, after: u64| Balance {
            node: node.to_owned(),
            bytes_before: before << 20,
            bytes_after: after << 20,
            share_before: if before > 0 { 0.5 } else { 0.0 },
            share_after: if after > 0 { 1.0 / 3.0 } else { 0.0 },
        };
        let plan = Estimate {
            change: "node c joins".to_owned(),
            moves: vec![Move {
                to: "c".to_owned(),
                from: "a".to_owned(),
                ranges: 16,
                bytes: 300 << 20,
            }],
            nodes: vec![balance("a", 900, 600), balance("c", 0, 300)],
            bytes: 300 << 20,
            seconds: 125,
            rate: 60 << 20,
            warnings: vec!["beware".to_owned()],
        };
        let names = BTreeMap::from([("a".to_owned(), "10.0.0.1:7000".to_owned())]);
        let expected = "\
Plan: node c joins. 300 MiB move in about 2 min 5 s (at 60.0 MiB/s for each node that fetches). Nothing was changed.
Warning: beware.

from           to            ranges  bytes
10.0.0.1:7000  the new node  16      300 MiB

node           data now  data then  owns now  owns then
10.0.0.1:7000  900 MiB   600 MiB    50.0 %    33.3 %
the new node   0 B       300 MiB    0.0 %     33.3 %";
        assert_eq!(text(&plan, &names), expected);
    }

    #[test]
    fn what_is_sent_in_a_url_is_escaped() {
        assert_eq!(escaped("10.0.0.1:7000"), "10.0.0.1:7000");
        assert_eq!(escaped("a b&c=d/é"), "a%20b%26c%3Dd%2F%C3%A9");
    }
}
