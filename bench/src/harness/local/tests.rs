use std::time::Duration;

use super::binary::{described, hash_of};
use super::fault::{Action, Fault, duration, needs_relay, parse};

#[test]
fn faults_are_read() {
    let faults = parse("kill:node3@30s, restart@1m,join@5s,decommission:node4@500ms", 3);
    assert!(
        faults.is_ok(),
        "{faults:?}: node4 joins, whatever the order of the entries"
    );
    let faults = parse("restart:node1@60,kill@2s", 3).expect("they fit");
    let fault = |action, node, seconds| Fault {
        action,
        node,
        at: Duration::from_secs(seconds),
    };
    assert_eq!(faults, [fault(Action::Kill, 1, 2), fault(Action::Restart, 1, 60)]);
    let split = parse("partition:node3@1s,heal@2s", 3).expect("they fit");
    assert_eq!(
        split.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["partition node3", "heal"]
    );
    assert!(needs_relay(&split) && !needs_relay(&faults));
    assert_eq!(parse("pause@1s", 1).expect("it fits")[0].node, 1);
    assert_eq!(parse("pause@1s", 3).expect("it fits")[0].node, 2);
    // In the order in which they are written, not in that of their times.
    let meant = parse("kill:node3@9s,restart@1s", 3).expect("they fit");
    assert_eq!(meant[0].to_string(), "restart node3");
    let after = parse("partition:node3@1s,heal@2s,kill@3s", 3).expect("they fit");
    assert_eq!(after[2].to_string(), "kill node3");
}

#[test]
fn faults_that_do_not_fit_are_refused() {
    let cases = [
        (
            "kill",
            "'kill' has no time: write ACTION[:nodeN]@TIME, as in kill:node2@30s",
        ),
        (
            "burn@1s",
            "'burn' is no fault; allowed are kill, restart, pause, resume, partition, heal, join, decommission",
        ),
        (
            "kill:node4@1s",
            "there is no node4 then; the cluster has node1 to node3",
        ),
        ("kill:second@1s", "'second' is no node: write node1, node2, ..."),
        (
            "kill:node3@1s,decommission@5s",
            "'decommission@5s' must say which node it means: write decommission:nodeN@TIME",
        ),
        (
            "kill:node3@1s,join@5s,pause@9s",
            "'pause@9s' must say which node it means: write pause:nodeN@TIME",
        ),
        ("join:node4@1s", "'join' has no node: write join@TIME"),
        ("heal:node2@1s", "'heal' has no node: write heal@TIME"),
        ("kill@soon", "'soon' is no time: write 500ms, 30s, 2m or 1h"),
    ];
    for (text, message) in cases {
        assert_eq!(parse(text, 3).expect_err("it does not fit"), message);
    }
}

#[test]
fn times_have_units() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
    assert!(duration("-1s").is_err() && duration("").is_err() && duration("1d").is_err());
}

#[test]
fn two_builds_of_one_version_are_told_apart() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let build = |name: &str, more: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\necho starling 1.2\n{more}")).expect("it can be written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        described(&file).expect("it runs")
    };
    let (one, same, other) = (
        build("one", ""),
        build("same", ""),
        build("other", "# built anew\n"),
    );
    assert!(
        one.starts_with("starling 1.2 (") && one == same && one != other,
        "{one} {same} {other}"
    );
    assert_ne!(hash_of("a"), hash_of("b"));
}
