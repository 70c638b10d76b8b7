//! The harness against real nodes: each test starts its own cluster, on ports that are free.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use starling_bench::harness::{
    costs::drive::{Drive, Driven},
    evidence::result::RunResult,
    local::cluster::{LocalCluster, Wishes},
};

/// The server's binary of this build. `cargo test` of the whole house has made it; of this crate alone it may not have.
fn server() -> PathBuf {
    let harness = Path::new(env!("CARGO_BIN_EXE_starling-bench"));
    let server = harness.with_file_name("starling");
    if !server.is_file() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "starling", "--bin", "starling"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(
            build.status().expect("cargo runs").success(),
            "the server is built"
        );
    }
    server
}

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_starling-bench"))
        .args(arguments)
        .output()
        .expect("the harness runs")
}

/// Runs a workload, which must succeed, and gives its result.
#[track_caller]
fn run(arguments: &[&str], dir: &Path) -> RunResult {
    let json = dir.join("result.json");
    let server = server();
    let mut all = vec!["run", "--quiet", "--server", server.to_str().expect("a path")];
    all.extend(["--json", json.to_str().expect("a path")]);
    all.extend(arguments);
    let output = bench(&all);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(json).expect("the result was written");
    serde_json::from_str(&text).expect("the result is JSON")
}

#[test]
fn a_verified_run_over_either_protocol_makes_a_report() {
    let dir = tempfile::tempdir().expect("a directory");
    let page = dir.path().join("report.html");
    for target in ["own-cql", "own-quic"] {
        let arguments = [
            "registers",
            "--target",
            target,
            "--operations",
            "2000",
            "--verify",
        ];
        let result = run(&arguments, dir.path());
        assert_eq!(result.total.count + result.total.failed(), 2000);
        assert_eq!(result.total.failed(), 0, "{:?}", result.examples);
        let verification = result.verification.expect("it was asked for");
        assert!(verification.passed && verification.writes > 500 && verification.reads > 500);
        assert_eq!((verification.records, verification.final_reads), (200, 200));
        let server = result.server.expect("the server is of this machine");
        assert!(server.cpu_seconds > 0.0, "{server:?}");
        assert!(server.disk_bytes > Some(0), "{server:?}");
        assert!(server.payload_bytes > 0, "{server:?}");
        let json = dir.path().join("result.json");
        let output = bench(&[
            "report",
            json.to_str().expect("a path"),
            "-o",
            page.to_str().expect("a path"),
        ]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            std::fs::read_to_string(&page)
                .expect("the page")
                .contains("<polyline")
        );
    }
}

/// Drives a cluster of so many nodes, at QUORUM, with as many replicas.
fn driven(nodes: u32, workload: &'static str) -> Driven {
    let wishes = Wishes {
        nodes,
        extra: &[],
        partitions: false,
    };
    let cluster = LocalCluster::start(&server(), wishes).expect("the nodes start");
    let addresses: Vec<String> = cluster.cql_addresses().iter().map(ToString::to_string).collect();
    let drive = Drive {
        workload,
        target: format!("cql:{}", addresses.join(",")),
        consistency: "QUORUM",
        rows: 1000,
        in_flight: 16,
        connections: 4,
        seconds: 2,
        settles: false,
        processes: cluster.processes(),
        admins: cluster.admin_addresses(),
    };
    drive.load().expect("the rows are loaded");
    drive.run().expect("every operation succeeds")
}

#[test]
fn messages_of_an_operation_are_counted() {
    let messages = driven(1, "point-writes").messages.expect("the node counts");
    let of_peers = messages.count["requests sent to peers"];
    assert!(of_peers <= 0.0, "there is no peer: {messages:?}");
    let of_clients = messages.count["requests of CQL clients"];
    assert!((1.0..1.1).contains(&of_clients), "{messages:?}");
    // A write goes to both other replicas, whoever coordinates, and both answer. There is little else in two seconds.
    let messages = driven(3, "point-writes").messages.expect("all nodes count");
    for name in [
        "requests sent to peers",
        "requests received of peers",
        "answers sent to peers",
        "answers received of peers",
    ] {
        let count = messages.count[name];
        assert!((1.9..2.2).contains(&count), "{name}: {messages:?}");
    }
    let batches = messages.count["batches of requests to peers"];
    assert!(batches > 0.0 && batches <= messages.count["requests sent to peers"]);
    // A row of 116 bytes and what is around it, twice.
    let bytes = messages.bytes["requests sent to peers"];
    assert!((250.0..1000.0).contains(&bytes), "{messages:?}");
}

/// A workload that deletes rows behind the verifier's back.
const WIPE: &str = r#"
[statements.wipe]
cql = "DELETE FROM {keyspace}.registers WHERE key = ?"
values = ["key"]

[operations.wipe]
weight = 2
steps = ["wipe"]
"#;

#[test]
fn a_planted_loss_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, json) = (dir.path().join("wipe.toml"), dir.path().join("result.json"));
    let registers = bench(&["workloads", "registers"]).stdout;
    let text = String::from_utf8(registers).expect("text") + WIPE;
    std::fs::write(&file, text).expect("the directory can be written");
    let server = server();
    let output = bench(&[
        "run",
        file.to_str().expect("a path"),
        "--quiet",
        "--verify",
        "--operations",
        "1000",
        "--server",
        server.to_str().expect("a path"),
        "--json",
        json.to_str().expect("a path"),
    ]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "rows were deleted");
    assert!(error.contains("the verification failed"), "{error}");
    let text = std::fs::read_to_string(json).expect("the result was written before");
    let result: RunResult = serde_json::from_str(&text).expect("the result is JSON");
    assert!(result.verification.expect("it was asked for").lost > 0);
}

/// A workload whose writes, as [verify] has them, no operation makes.
#[test]
fn a_verification_of_nothing_is_not_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("reads.toml");
    let registers = String::from_utf8(bench(&["workloads", "registers"]).stdout).expect("text");
    let reads = registers.replace("steps = [\"write\"]", "steps = [\"read\"]");
    std::fs::write(&file, reads).expect("the directory can be written");
    let server = server();
    let mut arguments = vec!["run", file.to_str().expect("a path"), "--quiet", "--verify"];
    arguments.extend([
        "--operations",
        "100",
        "--server",
        server.to_str().expect("a path"),
    ]);
    let output = bench(&arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("no write of [verify] was acknowledged"), "{error}");
}

#[test]
fn a_partition_is_survived_at_quorum() {
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = [
        "registers",
        "--nodes",
        "3",
        "--warm-up",
        "0s",
        "--duration",
        "6s",
        "--rate",
        "50",
        "--fault",
        "partition:node3@1s,heal@3s",
        "--verify",
    ];
    let result = run(&arguments, dir.path());
    assert!(
        result.faults.iter().all(|fault| fault.done),
        "{:?}",
        result.faults
    );
    // Clients still reach node3, which no longer meets QUORUM: it says so, and nothing is lost.
    assert!(result.total.count > 0);
    assert!(result.verification.expect("it was asked for").passed);
}

#[test]
fn a_node_that_left_is_not_waited_for_at_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut arguments = vec!["registers", "--nodes", "4", "--warm-up", "0s", "--duration", "4s"];
    arguments.extend(["--rate", "50", "--fault", "decommission:node4@500ms", "--verify"]);
    let result = run(&arguments, dir.path());
    assert!(result.faults[0].done, "{:?}", result.faults);
    assert_eq!(result.total.failed(), 0, "{:?}", result.examples);
    let verification = result.verification.expect("it was asked for");
    assert!(verification.passed, "{verification:?}");
    assert_eq!(verification.records, verification.final_reads);
}

#[test]
fn every_fault_is_carried_out_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = "kill:node2@2s,restart@5s,pause:node3@9s,resume@12s,partition:node2@16s,heal@19s,join@23s,\
                  decommission:node3@40s";
    let mut arguments = vec![
        "registers",
        "--nodes",
        "3",
        "--warm-up",
        "0s",
        "--duration",
        "44s",
    ];
    arguments.extend(["--rate", "100", "--fault", faults, "--verify"]);
    let result = run(&arguments, dir.path());
    let done: Vec<&str> = result
        .faults
        .iter()
        .filter(|fault| fault.done)
        .map(|fault| fault.action.as_str())
        .collect();
    let asked = [
        "kill node2",
        "restart node2",
        "pause node3",
        "resume node3",
        "partition node2",
        "heal",
        "join",
        "decommission node3",
    ];
    assert_eq!(done, asked, "{:?}", result.faults);
    assert!(
        result.faults[6].outcome.contains("node4 served"),
        "{:?}",
        result.faults[6]
    );
    let verification = result.verification.expect("it was asked for");
    assert!(verification.passed, "{verification:?}");
    assert_eq!(
        (verification.lost, verification.records),
        (0, verification.final_reads)
    );
}

/// A server that dies at once when it is started a second time.
const DIES_AGAIN: &str = r#"#!/bin/sh
case "$1" in
node)
    for argument; do
        if [ "${directory:-}" = --dir ]; then break; fi
        directory=$argument
    done
    if [ -e "$argument.started" ]; then echo "no second time" >&2; exit 7; fi
    : > "$argument.started"
esac
exec "$SERVER" "$@"
"#;

#[test]
fn a_restart_of_a_node_that_dies_at_once_fails_the_run() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("server");
    std::fs::write(&script, DIES_AGAIN).expect("the directory can be written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let output = Command::new(env!("CARGO_BIN_EXE_starling-bench"))
        .args([
            "run",
            "registers",
            "--quiet",
            "--warm-up",
            "0s",
            "--duration",
            "3s",
            "--rate",
            "20",
        ])
        .args(["--fault", "kill@500ms,restart@1s", "--server"])
        .arg(&script)
        .env("SERVER", server())
        .output()
        .expect("the harness runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("a fault was not carried out: restart node1") && error.contains("no second time"),
        "{error}"
    );
}

#[test]
fn servers_settle_and_every_record_is_read_before_the_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut arguments = vec!["point-reads", "--records", "700", "--settle", "--in-flight", "1"];
    arguments.extend(["--operations", "100"]);
    let result = run(&arguments, dir.path());
    let settled = result.settled.expect("it was asked for");
    assert_eq!((settled.quiet, settled.records_read), (true, 700));
    assert_eq!(
        (result.total.count, result.total.failed()),
        (100, 0),
        "none of it is measured"
    );
    assert_eq!(result.settings.connections, 1);
}

#[test]
fn several_processes_share_an_open_load() {
    let dir = tempfile::tempdir().expect("a directory");
    let arguments = [
        "time-series-read",
        "--records",
        "500",
        "--processes",
        "2",
        "--rate",
        "200",
        "--operations",
        "400",
    ];
    let result = run(&arguments, dir.path());
    assert_eq!(result.total.count + result.total.failed(), 400);
    assert_eq!(result.settings.processes, 2);
    let cores = &result.generator_cores;
    assert!(
        cores.len() == 2 && cores.iter().all(|cores| *cores < 1.1),
        "{cores:?}"
    );
}

#[test]
fn what_the_server_does_not_support_is_said_in_its_words() {
    let server = server();
    for (workload, word) in [("conditional", "not supported"), ("counters", "ounter")] {
        let output = bench(&[
            "run",
            workload,
            "--quiet",
            "--server",
            server.to_str().expect("a path"),
        ]);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && words.contains(word),
            "{workload}: {words}"
        );
    }
}

#[test]
fn a_run_in_which_nothing_is_done_fails_and_names_the_address() {
    let dir = tempfile::tempdir().expect("a directory");
    let json = dir.path().join("result.json");
    let mut arguments = vec![
        "run",
        "point-reads",
        "--quiet",
        "--no-load",
        "--target",
        "cql:127.0.0.1:1",
    ];
    arguments.extend(["--warm-up", "0s", "--duration", "300ms", "--json"]);
    arguments.push(json.to_str().expect("a path"));
    let output = bench(&arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("nothing was done") && error.contains("127.0.0.1:1"),
        "{error}"
    );
    let text = std::fs::read_to_string(json).expect("the result was written before");
    let result: RunResult = serde_json::from_str(&text).expect("the result is JSON");
    assert!(result.total.errors["Unreachable"] > 0, "{:?}", result.total);
    // An output that can't be written is told before anything is run.
    let output = bench(&["run", "point-reads", "--json", "/no/such/directory/result.json"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("/no/such/directory/result.json: "), "{error}");
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_starts() {
    let given = "--target=cql:127.0.0.1";
    let cases: [(&[&str], &str); 16] = [
        (&["run", "nothing"], "cannot read the workload nothing"),
        (&["run", "ycsb-c", "--verify"], "no [verify] section"),
        (
            &["run", "ycsb-a", "--target", "cql:127.0.0.1", "--fault", "kill@1s"],
            "cluster of our own",
        ),
        (&["run", "ycsb-a", "--fault", "burn:node1@1s"], "is no fault"),
        (
            &["run", "ycsb-a", "--fault", "kill@5s,restart@30s"],
            "when the run is over",
        ),
        (&["run", "ycsb-a", "--fault", "partition@1s"], "needs others"),
        (&["run", "ycsb-c", "--rate", "1e10"], "--rate must be"),
        (&["run", "ycsb-c", "--rate", "1e-300"], "--rate must be"),
        (
            &["run", "ycsb-c", "--target", "cql:127.0.0.1"],
            "--replication-factor",
        ),
        (
            &["run", "ycsb-c", "--in-flight", "1", "--processes", "4"],
            "a request in flight",
        ),
        (
            &["run", "ycsb-c", given, "--no-load", "--pid", "4194305"],
            "there is no such process",
        ),
        (
            &["run", "ycsb-c", given, "--no-load", "--data-dir", "/no/such"],
            "/no/such: there is no such directory",
        ),
        (&["run", "ycsb-c", "--pid", "1"], "not of our own"),
        (
            &["run", "ycsb-c", given, "--no-load", "--settle"],
            "must know their processes",
        ),
        (
            &[
                "compare",
                "ycsb-c",
                "--a",
                "a=own-cql",
                "--b",
                "b=own-cql",
                "--data-dir-b",
                "/",
            ],
            "not of our own",
        ),
        (
            &[
                "compare",
                "ycsb-c",
                "--a",
                "a=own-cql",
                "--b",
                "b=own-cql",
                "--pid",
                "1",
            ],
            "unexpected argument '--pid'",
        ),
    ];
    for (arguments, words) in cases {
        let output = bench(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && error.contains(words),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn an_interrupted_run_leaves_neither_data_nor_servers() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut harness = Command::new(env!("CARGO_BIN_EXE_starling-bench"))
        .args([
            "run",
            "point-writes",
            "--nodes",
            "2",
            "--duration",
            "10m",
            "--quiet",
        ])
        .arg("--server")
        .arg(server())
        .env("TMPDIR", dir.path())
        .spawn()
        .expect("the harness runs");
    let servers = wait_for(|| {
        let servers = children_of(harness.id());
        (servers.len() == 2).then_some(servers)
    });
    assert_ne!(entries(dir.path()), 0, "the servers have a directory");
    let pid = Pid::from_child(&harness);
    kill_process(pid, Signal::INT).expect("it runs");
    let status = harness.wait().expect("it ends");
    assert_eq!(status.code(), Some(128 + 2), "{status}");
    assert_eq!(entries(dir.path()), 0, "everything is removed");
    for server in servers {
        let runs = Path::new("/proc").join(server.to_string()).exists();
        assert!(!runs, "the server {server} runs still");
    }
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("it is there").count()
}

/// The nodes that a harness has started, by their process ids.
fn children_of(harness: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{harness}/task")).expect("it runs");
    let lists = threads.flatten().filter_map(|thread| {
        let list = std::fs::read_to_string(thread.path().join("children")).ok()?;
        Some(list.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>())
    });
    let is_node = |id: &u32| {
        let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        arguments
            .split(|&byte| byte == 0)
            .any(|argument| argument == b"node")
    };
    lists.flatten().filter(is_node).collect()
}

#[track_caller]
fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}
