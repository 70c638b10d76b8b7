//! What a user is told when a node can't start: one sentence, and the exit code.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::harness::{Cluster, STARLING, free_port};

fn run(args: &[&str]) -> Output {
    Command::new(STARLING)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a node that is to fail: its last line on standard error, without the log before it.
fn failure(args: &[&str], code: i32) -> String {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let line = stderr.lines().last().unwrap().to_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    line
}

fn node(dir: &Path, more: &[&str], code: i32) -> String {
    let (listen, cql, admin) = (free_port(), free_port(), free_port());
    let flags = [
        "node".to_owned(),
        format!("--dir={}", dir.display()),
        format!("--listen=127.0.0.1:{listen}"),
        format!("--cql=127.0.0.1:{cql}"),
        format!("--admin=127.0.0.1:{admin}"),
    ];
    // The last of a flag given twice would be an error: what the test gives replaces the default.
    let kept = flags.iter().filter(|flag| {
        !more
            .iter()
            .any(|own| own.split('=').next() == flag.split('=').next())
    });
    let args: Vec<&str> = kept.map(String::as_str).chain(more.iter().copied()).collect();
    failure(&args, code)
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for flag in ["--cql", "--admin"] {
        let line = node(dir.path(), &[&format!("{flag}={address}")], 1);
        assert!(
            line.contains(&format!("{address} is in use")) && line.contains(flag),
            "{line}"
        );
    }
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let line = node(dir.path(), &[&format!("--listen={address}")], 1);
    assert!(
        line.contains(&format!("{address} is in use")) && line.contains("--listen"),
        "{line}"
    );
}

#[test]
fn a_data_directory_in_use_is_told_with_its_holder() {
    let cluster = Cluster::start(1);
    let pid = cluster.nodes[0].status().unwrap().pid;
    let line = node(&cluster.nodes[0].dir.join("data"), &[], 1);
    assert!(
        line.contains(&format!("in use by process {pid}")) && line.contains("--dir"),
        "{line}"
    );
}

#[test]
fn a_data_directory_that_is_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let line = node(&file, &[], 1);
    assert!(line.contains("file") && line.contains("--dir"), "{line}");

    let broken = dir.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("layout.toml"), "nonsense").unwrap();
    let line = node(&broken, &[], 1);
    assert!(line.contains("layout.toml") && line.contains("damaged"), "{line}");
}

#[test]
fn wrong_usage_is_told_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let line = node(&data, &["--vnodes=0"], 2);
    assert!(line.contains("--vnodes is 0"), "{line}");
    let line = node(&data, &["--listen=0.0.0.0"], 2);
    assert!(line.contains("--listen"), "{line}");
    let line = node(&data, &["--seeds=127.0.0.9"], 2);
    assert!(line.contains("--tls"), "{line}");
    let config = dir.path().join("bad.toml");
    std::fs::write(&config, "vnodes = 1\nspeed = 'fast'\n").unwrap();
    let line = node(&data, &[&format!("--config={}", config.display())], 2);
    assert!(line.contains("line 2") && line.contains("speed"), "{line}");
    assert!(!data.exists());

    let output = run(&["node", "--no-such-flag"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("--no-such-flag")
    );
    let output = run(&["no-such-command"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_node_that_is_not_there_is_told() {
    let admin = format!("127.0.0.1:{}", free_port());
    for command in ["status", "ring", "info"] {
        let line = failure(&[command, "--admin", &admin], 1);
        assert!(line.contains(&admin) && line.contains("--admin"), "{line}");
    }
}

#[test]
fn certificates_are_made_once_and_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca").display().to_string();
    let out = dir.path().join("tls").display().to_string();
    assert!(run(&["ca", "init", &ca]).status.success());
    assert!(failure(&["ca", "init", &ca], 1).contains("exists already"));
    let issue = [
        "ca",
        "issue",
        &ca,
        "--name",
        "n",
        "--address",
        "10.0.0.1,db1.example",
        "--out",
        &out,
    ];
    assert!(run(&issue).status.success());
    let mode = std::fs::metadata(dir.path().join("tls/node.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(failure(&["ca", "issue", "/nowhere", "--name", "n", "--address", "h"], 1).contains("/nowhere"));
}
