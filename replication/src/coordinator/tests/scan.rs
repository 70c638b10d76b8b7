//! Scans over many sets of replicas.

use std::time::Duration;

use starling_model::{ClusteringRange, Consistency, KeyRange, Limits, ReadCommand, Token, TokenRange};

use crate::testing::{Link, TestCluster, insert, key, rows_of};

#[test]
fn a_scan_goes_on_after_pieces_that_were_read_side_by_side() {
    let cluster = TestCluster::new(3);
    let table = cluster.make_table(1);
    // The first pieces of every range are empty, so that many are read at a time when the rows come, and
    // one of them may fill the page. Where the range starts decides which are read together.
    let names = (0..300).map(|n| format!("k{n}"));
    let names: Vec<String> = names
        .filter(|name| key(name).token.0 > i64::MAX / 5 * 4)
        .collect();
    for name in &names {
        cluster
            .write(1, insert(table, name, 1, "x", 10), Consistency::One)
            .expect("all are alive");
    }
    let mut expected: Vec<String> = names.iter().map(|name| format!("{name}/1=x")).collect();
    expected.sort_unstable();
    let starts = (0..24).map(|n| i64::MIN + n * (i64::MAX / 32));
    for (start, rows) in starts.flat_map(|start| (4..30).map(move |rows| (start, rows))) {
        let mut command = ReadCommand {
            table,
            keys: KeyRange::Tokens(TokenRange {
                start: Token(start),
                end: TokenRange::ALL.end,
            }),
            slices: vec![ClusteringRange::ALL],
            reversed: false,
            after: None,
            limits: Limits { rows, ..Limits::NONE },
            now: cluster.now(),
        };
        let mut seen = Vec::new();
        loop {
            let page = cluster
                .read(1, command.clone(), Consistency::One)
                .expect("all are alive");
            seen.extend(rows_of(&page, command.now));
            command.after = page.next;
            if command.after.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, expected, "from {start}, in pages of {rows} rows");
    }
}

/// Ranges are read together where enough replicas have all of them. That one of these has just died nobody knows; each range by itself has
/// others.
#[test]
fn a_scan_goes_past_a_replica_that_has_just_died() {
    let cluster = TestCluster::new(6);
    let table = cluster.make_table(3);
    let names: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    for name in &names {
        cluster
            .write(1, insert(table, name, 1, "x", 10), Consistency::All)
            .expect("all are alive");
    }
    for dead in 2..=6 {
        let dead_id = cluster.node(dead).id;
        cluster.partition(&[1], &[dead], Link::Refused);
        let command = ReadCommand {
            table,
            keys: KeyRange::Tokens(TokenRange::ALL),
            slices: vec![ClusteringRange::ALL],
            reversed: false,
            after: None,
            limits: Limits::NONE,
            now: cluster.now(),
        };
        let page = cluster.read(1, command, Consistency::Quorum);
        cluster.partition(&[1], &[dead], Link::Good);
        let page = page.unwrap_or_else(|error| panic!("without n{dead}: {error}"));
        assert_eq!(
            rows_of(&page, cluster.now()).len(),
            names.len(),
            "without n{dead}"
        );
        while !cluster.node(1).views.load().cluster.peers[&dead_id].alive {
            cluster.run_for(Duration::from_millis(100));
        }
    }
}
