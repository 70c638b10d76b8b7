//! `starling status`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use starling_replication::{DamageStatus, DepartedStatus, MemberStatus, TableDivergence, WaitingDamage};

use super::{AdminArgs, divergence, output};
use crate::{admin::StatusView, failure::Failure};

pub(super) fn run(args: &AdminArgs) -> Result<(), Failure> {
    let status: StatusView = args.fetch("/status")?;
    if args.format == output::Format::Json {
        return output::json(&Told::of(&status));
    }
    let up = status.node.members.iter().filter(|member| member.up).count();
    println!(
        "cluster {}: {up} of {} up, schema {}, as {} sees it",
        status.node.cluster,
        status.node.members.len(),
        if status.node.schema_agreed {
            "agreed"
        } else {
            "not agreed"
        },
        status.name
    );
    let header = [
        "state",
        "address",
        "cql",
        "datacenter",
        "rack",
        "tokens",
        "owns",
        "hints",
        "release",
        "id",
    ];
    println!("{}", output::table(&header, status.node.members.iter().map(row)));
    for departed in &status.node.departed {
        println!(
            "{} of hints for {}, which has left, wait for those who have its ranges now",
            output::bytes(departed.hint_bytes),
            departed.id
        );
    }
    for line in damage(&status.node.damage) {
        println!("{line}");
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    for line in divergence::lines(&status.node.divergence, now) {
        println!("{line}");
    }
    Ok(())
}

/// The same as JSON.
#[derive(Serialize)]
struct Told<'a> {
    /// The name of the node that was asked.
    name: &'a str,
    cluster: &'a str,
    schema_agreed: bool,
    members: &'a [MemberStatus],
    departed: &'a [DepartedStatus],
    damage: &'a DamageStatus,
    divergence: &'a [TableDivergence],
}

impl<'a> Told<'a> {
    fn of(status: &'a StatusView) -> Self {
        let node = &status.node;
        Self {
            name: &status.name,
            cluster: &node.cluster,
            schema_agreed: node.schema_agreed,
            members: &node.members,
            departed: &node.departed,
            damage: &node.damage,
            divergence: &node.divergence,
        }
    }
}

/// What is damaged on the node and does not heal now.
fn damage(damage: &DamageStatus) -> Vec<String> {
    let line = |it: &WaitingDamage| {
        let WaitingDamage {
            table,
            start,
            end,
            why,
            ..
        } = it;
        format!("{table}: data of the tokens {start}:{end} is damaged on this node, and does not heal: {why}")
    };
    let mut lines: Vec<String> = damage.stretches.iter().map(line).collect();
    let more = damage.waiting.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("{more} more stretches of damaged data do not heal"));
    }
    lines
}

fn row(member: &MemberStatus) -> Vec<String> {
    let state = match (member.up, member.joined) {
        (true, true) => "up",
        (true, false) => "joining",
        (false, _) => "down",
    };
    vec![
        state.to_owned(),
        member.address.to_string(),
        member
            .cql_address
            .map_or_else(|| "?".to_owned(), |address| address.to_string()),
        member.datacenter.clone(),
        member.rack.clone(),
        member.tokens.to_string(),
        format!("{:.1} %", member.ownership * 100.0),
        output::bytes(member.hint_bytes),
        member.release.clone().unwrap_or_else(|| "?".to_owned()),
        member.id.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_that_waits_is_told_with_what_to_do() {
        assert_eq!(damage(&DamageStatus::default()), [] as [String; 0]);
        let status = DamageStatus {
            waiting: 3,
            for_operator: 1,
            stretches: vec![WaitingDamage {
                table: "ks.t".to_owned(),
                start: -5,
                end: 7,
                damaged: vec!["10.0.0.2:7000".to_owned()],
                down: Vec::new(),
                for_operator: true,
                why: "see `starling repair ks.t --accept-loss`".to_owned(),
            }],
        };
        let lines = damage(&status);
        assert_eq!(lines.len(), 2);
        for part in ["ks.t", "-5:7", "--accept-loss"] {
            assert!(lines[0].contains(part), "{lines:?}");
        }
        assert!(lines[1].starts_with("2 more"), "{lines:?}");
    }
}
