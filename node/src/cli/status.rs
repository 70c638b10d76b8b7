//! `starling status`.

use std::time::{SystemTime, UNIX_EPOCH};

use starling_replication::{DamageStatus, MemberStatus, TableDivergence, WaitingDamage};

use super::{AdminArgs, output};
use crate::{admin::StatusView, failure::Failure};

pub(super) fn run(args: &AdminArgs) -> Result<(), Failure> {
    let status: StatusView = args.fetch("/status")?;
    if args.format == output::Format::Json {
        return output::json(&status.node.members);
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
    for table in &status.node.divergence {
        println!("{}", replicas(table, now));
    }
    Ok(())
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

/// How equal the replicas are, of the ranges that the node looks after; `now` in seconds since the epoch.
fn replicas(table: &TableDivergence, now: u64) -> String {
    let TableDivergence {
        table: name,
        ranges,
        agreed,
        diverged_ranges,
        diverged_since,
        differing,
        ..
    } = table;
    let mut parts = vec![format!(
        "{name}: the replicas of {agreed} of {ranges} ranges were found equal"
    )];
    if *diverged_ranges > 0 {
        let problem = table.diverged.iter().find_map(|range| range.problem.as_ref());
        let problem = problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
        let since = diverged_since.map(|since| {
            let ago = now.saturating_sub(u64::from(since));
            format!(", the first for {}", output::seconds(ago))
        });
        parts.push(format!(
            "{diverged_ranges} differ or can't be compared{problem}{}",
            since.unwrap_or_default()
        ));
    }
    if *differing > 0 {
        parts.push(format!(
            "{differing} partitions or parts of them were seen to differ and are not known to be equal since"
        ));
    }
    parts.join(", ")
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
    use starling_replication::DivergedRange;

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

    #[test]
    fn replicas_that_differ_are_told_with_how_many_and_since_when() {
        let mut table = TableDivergence {
            table: "ks.t".to_owned(),
            ranges: 8,
            agreed: 8,
            oldest_agreement: Some(900),
            differing: 0,
            diverged_ranges: 0,
            diverged_since: None,
            diverged: Vec::new(),
        };
        let equal = "ks.t: the replicas of 8 of 8 ranges were found equal";
        assert_eq!(replicas(&table, 5_000), equal);
        table.differing = 4;
        table.diverged_ranges = 3;
        table.diverged_since = Some(1_000);
        table.diverged = vec![DivergedRange {
            start: 0,
            end: 9,
            differing: 4,
            since: 1_000,
            problem: Some("the replica 10.0.0.2:7000 is down".to_owned()),
        }];
        let differ = "3 differ or can't be compared (the replica 10.0.0.2:7000 is down), the first for 1 h 6 min, \
                      4 partitions or parts of them were seen to differ and are not known to be equal since";
        assert_eq!(replicas(&table, 5_000), format!("{equal}, {differ}"));
    }
}
