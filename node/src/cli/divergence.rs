//! What `starling status` tells of replicas that differ: of each table how many ranges do, and of those that have differed longest which
//! they are, in what, and since when.

use starling_replication::{DivergedRange, TableDivergence, diverged_longest};

use super::output;

/// How equal the replicas are, of the ranges that the node looks after; `now` in seconds since the epoch.
pub(super) fn lines(tables: &[TableDivergence], now: u64) -> Vec<String> {
    let longest = diverged_longest(tables);
    let mut lines = Vec::new();
    for table in tables {
        lines.push(summary(table, now));
        let before = lines.len();
        let told = longest.iter().filter(|(of, _)| of.table == table.table);
        lines.extend(told.map(|(_, diverged)| range(diverged, now)));
        let told = lines.len() - before;
        let more = table.diverged_ranges.saturating_sub(told as u64);
        if more > 0 {
            lines.push(format!("  {more} more, none of them for longer"));
        }
    }
    lines
}

/// How equal a table's replicas are.
fn summary(table: &TableDivergence, now: u64) -> String {
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

/// What differs in a range. Its tokens are written as `starling repair --range` takes them.
fn range(range: &DivergedRange, now: u64) -> String {
    let DivergedRange {
        start,
        end,
        differing,
        since,
        problem,
    } = range;
    let ago = output::seconds(now.saturating_sub(u64::from(*since)));
    let found =
        (*differing > 0).then(|| format!("{differing} partitions or parts of them were seen to differ"));
    let what: Vec<String> = found.into_iter().chain(problem.clone()).collect();
    format!("  {start}:{end} for {ago}: {}", what.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, diverged: Vec<DivergedRange>) -> TableDivergence {
        TableDivergence {
            table: name.to_owned(),
            ranges: 50,
            agreed: 40,
            oldest_agreement: None,
            differing: diverged.iter().map(|range| range.differing).sum(),
            diverged_ranges: diverged.len() as u64,
            diverged_since: diverged.iter().map(|range| range.since).min(),
            diverged,
        }
    }

    fn diverged(start: i64, since: u32, differing: u64, problem: Option<&str>) -> DivergedRange {
        DivergedRange {
            start,
            end: start + 9,
            differing,
            since,
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn ranges_that_differ_are_told_with_what_and_since_when() {
        let down = Some("the replica 10.0.0.2:7000 is down");
        let tables = [
            table("ks.equal", Vec::new()),
            table(
                "ks.t",
                vec![
                    diverged(-9, 1_000, 4, down),
                    diverged(0, 4_940, 0, down),
                    diverged(9, 4_995, 2, None),
                ],
            ),
        ];
        let told = [
            "ks.equal: the replicas of 40 of 50 ranges were found equal",
            "ks.t: the replicas of 40 of 50 ranges were found equal, 3 differ or can't be compared (the replica 10.0.0.2:7000 is \
             down), the first for 1 h 6 min, 6 partitions or parts of them were seen to differ and are not known to be equal since",
            "  -9:0 for 1 h 6 min: 4 partitions or parts of them were seen to differ; the replica 10.0.0.2:7000 is down",
            "  0:9 for 1 min 0 s: the replica 10.0.0.2:7000 is down",
            "  9:18 for 5 s: 2 partitions or parts of them were seen to differ",
        ];
        assert_eq!(lines(&tables, 5_000), told);
    }

    /// Of two tables all ranges differ, of one of them longer.
    #[test]
    fn of_many_ranges_those_are_told_that_have_differed_longest() {
        let many = |name, first: u32| {
            let ranges = (first..first + 20).map(|since| diverged(i64::from(since), since, 1, None));
            TableDivergence {
                diverged_ranges: 40,
                ..table(name, ranges.collect())
            }
        };
        let told = lines(&[many("ks.late", 200), many("ks.early", 100)], 1_000);
        let at = |start: &str| told.iter().position(|line| line.starts_with(start));
        assert_eq!(told.len(), 2 + 32 + 2);
        let more = [13, 35].map(|at: usize| told[at].as_str());
        assert_eq!(
            more,
            [
                "  28 more, none of them for longer",
                "  20 more, none of them for longer"
            ]
        );
        assert_eq!(at("  211:220 "), Some(12), "{told:?}");
        assert_eq!(at("  212:221 "), None, "{told:?}");
        assert_eq!(at("  100:109 "), Some(15), "{told:?}");
    }
}
