//! The demo as a process.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use starling::admin::{self, StatusView};

use crate::harness::{STARLING, free_port, until};

struct Demo {
    process: Child,
    ready: String,
    ports: [u16; 3],
}

impl Demo {
    /// Starts a demo without shell and data and waits for its line.
    fn start(dir: Option<&Path>) -> Self {
        Self::start_on([free_port(), free_port(), free_port()], dir)
    }

    fn start_on(ports: [u16; 3], dir: Option<&Path>) -> Self {
        Self::start_with(ports, dir, &["--no-data"], Stdio::inherit())
    }

    fn start_with(ports: [u16; 3], dir: Option<&Path>, more: &[&str], stderr: Stdio) -> Self {
        let mut command = Command::new(STARLING);
        command
            .args(["demo", "--no-shell"])
            .args(more)
            .stderr(stderr)
            .args(["--port", &ports[0].to_string()])
            .args(["--cql-port", &ports[1].to_string()])
            .args(["--admin-port", &ports[2].to_string()]);
        if let Some(dir) = dir {
            command.arg("--dir").arg(dir);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        assert!(ready.starts_with("ready: 3 nodes"), "{ready}");
        Self {
            process,
            ready,
            ports,
        }
    }

    /// The processes of the three nodes.
    fn nodes(&self) -> Vec<Pid> {
        (1..=3)
            .map(|n| {
                let address = format!("127.0.0.{n}:{}", self.ports[2]).parse().unwrap();
                let status: StatusView = admin::client::get_json(address, "/status").unwrap();
                assert!(status.node.ready);
                Pid::from_raw(status.pid as i32).unwrap()
            })
            .collect()
    }

    /// Carries out CQL by the shell; gives its standard output.
    fn shell(&self, cql: &str) -> String {
        let output = Command::new(STARLING)
            .args([
                "shell",
                &format!("127.0.0.1:{}", self.ports[0]),
                "--format",
                "csv",
                "-e",
                cql,
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Interrupts it; gives what it said on standard error.
    fn stop(self) -> String {
        kill_process(self.pid(), Signal::INT).unwrap();
        let output = self.process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32).unwrap()
    }
}

fn all_gone(nodes: &[Pid]) -> bool {
    nodes.iter().all(|pid| test_kill_process(*pid).is_err())
}

#[test]
fn an_interrupt_stops_everything_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = Demo::start(None);
        let nodes = demo.nodes();
        let files = demo.ready.trim().rsplit_once("files ").unwrap().1.to_owned();
        assert!(Path::new(&files).exists());
        kill_process(demo.pid(), signal).unwrap();
        assert!(demo.process.wait().unwrap().success());
        assert!(all_gone(&nodes));
        assert!(!Path::new(&files).exists(), "{files} is left");
    }
}

#[test]
fn nodes_do_not_outlive_a_demo_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(Some(dir.path()));
    let nodes = demo.nodes();
    demo.process.kill().unwrap();
    demo.process.wait().unwrap();
    until("the nodes are gone", || all_gone(&nodes).then_some(()));

    // And it goes on from there.
    let mut again = Demo::start_on(demo.ports, Some(dir.path()));
    kill_process(again.pid(), Signal::TERM).unwrap();
    assert!(again.process.wait().unwrap().success());
}

#[test]
fn data_is_loaded_once_and_a_node_that_dies_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let flights = dir.path().join("flights.csv");
    std::fs::write(
        &flights,
        "tailnum,time_hour,minute,carrier,flight,origin,dest,dep_delay,arr_delay,air_time,distance\n\
         N14228,2013-01-01T10:00:00Z,15,UA,1545,EWR,IAH,2,11,227,1400\n\
         NA,2013-01-01T21:00:00Z,30,EV,4308,EWR,RDU,NA,NA,NA,416\n",
    )
    .unwrap();
    let more = ["--flights", flights.to_str().unwrap()];
    let ports = [free_port(), free_port(), free_port()];
    let start = || Demo::start_with(ports, Some(&dir.path().join("demo")), &more, Stdio::piped());

    let mut demo = start();
    let mut stderr = BufReader::new(demo.process.stderr.take().unwrap());
    let rows = demo.shell(
        "SELECT tail, departure_delay FROM flights.by_route WHERE origin = 'EWR' AND destination = 'IAH'",
    );
    assert_eq!(rows.lines().nth(1), Some("N14228,2"), "{rows}");
    let victim = demo.nodes()[2];
    kill_process(victim, Signal::KILL).unwrap();
    let rows = demo.shell("CONSISTENCY QUORUM; SELECT flight FROM flights.by_tail WHERE tail = 'N14228'");
    assert!(rows.lines().any(|line| line == "1545"), "{rows}");
    let mut said = String::new();
    while !said.contains("node3") || !said.contains("was killed by signal 9") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
    demo.stop();
    assert!(said.contains("loaded flights.by_route: 2 rows"), "{said}");
    assert!(said.contains("loaded flights.by_tail: 1 rows"), "{said}");

    let demo = start();
    let rows = demo.shell("SELECT count(*) FROM flights.by_route");
    assert!(rows.lines().any(|line| line == "2"), "{rows}");
    assert_eq!(demo.stop(), "");
}

#[test]
fn a_demo_of_another_size_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for node in ["node1", "node2"] {
        std::fs::create_dir_all(dir.path().join(node).join("data")).unwrap();
    }
    let output = Command::new(STARLING)
        .args(["demo", "--no-shell", "--nodes", "3", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--nodes 2"), "{stderr}");
}

#[test]
fn a_port_in_use_is_told_before_anything_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = Command::new(STARLING)
        .args([
            "demo",
            "--no-shell",
            "--no-data",
            "--cql-port",
            &address.port().to_string(),
        ])
        .args([
            "--port",
            &free_port().to_string(),
            "--admin-port",
            &free_port().to_string(),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("{address} is in use")) && stderr.contains("--cql-port"),
        "{stderr}"
    );
}

/// What a running demo has in its directory stays as it is: nodes that are started again read it.
#[test]
fn a_second_demo_in_a_directory_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(Some(dir.path()));
    let config = dir.path().join("node1/starling.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    let ports = [free_port(), free_port(), free_port()].map(|port| port.to_string());
    let output = Command::new(STARLING)
        .args(["demo", "--no-shell", "--no-data", "--port", &ports[0]])
        .args(["--cql-port", &ports[1], "--admin-port", &ports[2], "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("in use by another demo"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), before);
    demo.stop();
}

#[test]
fn ports_that_cannot_be_are_wrong_usage() {
    for (ports, said) in [
        (
            ["7000", "9042", "9042"],
            "--cql-port and --admin-port are both 9042",
        ),
        (["0", "9042", "7080"], "--port must not be 0"),
    ] {
        let output = Command::new(STARLING)
            .args(["demo", "--no-shell", "--no-data", "--port", ports[0]])
            .args(["--cql-port", ports[1], "--admin-port", ports[2]])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
