//! Server processes on this machine, and what they cost.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{error::Error, scratch::Scratch};

/// A cluster that `starling demo` runs; stopped and removed when dropped.
pub struct Cluster {
    demo: Child,
    nodes: u32,
    cql_port: u16,
    time_to_ready: Duration,
    data: Scratch,
}

impl Cluster {
    /// Starts `nodes` nodes without data, on free ports of 127.0.0.1, .2, .3, ..., and waits for `ready:`.
    pub fn start(server: &Path, nodes: u32) -> Result<Self, Error> {
        let data = Scratch::new(None)?;
        let ports: [u16; 3] = free_ports(nodes)?;
        let started = Instant::now();
        let mut demo = Command::new(server)
            .args(["demo", "--no-shell", "--no-data", "--nodes", &nodes.to_string()])
            .args(["--cql-port", &ports[0].to_string()])
            .args(["--port", &ports[1].to_string()])
            .args(["--admin-port", &ports[2].to_string()])
            .arg("--dir")
            .arg(data.path().join("cluster"))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Error::Server(format!("{}: {error}", server.display())))?;
        let output = demo.stdout.take().expect("the output was asked for");
        let ready = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.starts_with("ready:"));
        let time_to_ready = started.elapsed();
        let cluster = Self {
            demo,
            nodes,
            cql_port: ports[0],
            time_to_ready,
            data,
        };
        if ready {
            Ok(cluster)
        } else {
            Err(Error::Server("it ended before it was ready".into()))
        }
    }

    /// From the start of the process to its `ready:` line.
    pub fn time_to_ready(&self) -> Duration {
        self.time_to_ready
    }

    /// Where the nodes speak CQL.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (1..=self.nodes)
            .map(|node| SocketAddr::from(([127, 0, 0, node as u8], self.cql_port)))
            .collect()
    }

    /// The nodes' process ids.
    pub fn processes(&self) -> Vec<u32> {
        let demo = self.demo.id();
        let children = fs::read_to_string(format!("/proc/{demo}/task/{demo}/children")).unwrap_or_default();
        // The demo's children may have been started by any of its threads.
        let tasks = fs::read_dir(format!("/proc/{demo}/task"))
            .into_iter()
            .flatten()
            .flatten();
        let mut all: Vec<u32> = tasks
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .chain([children])
            .flat_map(|list| {
                list.split_whitespace()
                    .filter_map(|id| id.parse().ok())
                    .collect::<Vec<u32>>()
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Resident memory of each node, in bytes.
    pub fn resident(&self) -> Vec<u64> {
        self.processes().into_iter().filter_map(resident_of).collect()
    }

    /// CPU time, user and system, that all nodes have spent so far.
    pub fn cpu(&self) -> Duration {
        self.processes().into_iter().filter_map(cpu_of).sum()
    }

    /// Bytes on disk, of all nodes together.
    pub fn disk(&self) -> u64 {
        size_of_tree(self.data.path())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.demo);
        // Asked to stop, it stops its children; a demo that is gone already can't be asked, and need not be.
        let _gone = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _status = self.demo.wait();
    }
}

/// TCP ports that are free on all the nodes' addresses, 127.0.0.1 and following.
pub(crate) fn free_ports<const PORTS: usize>(nodes: u32) -> Result<[u16; PORTS], Error> {
    let mut ports = [0; PORTS];
    for port in &mut ports {
        *port = free_port(nodes)?;
    }
    Ok(ports)
}

/// A TCP port that is free on all the nodes' addresses.
pub(crate) fn free_port(nodes: u32) -> Result<u16, Error> {
    for _ in 0..100 {
        let first = TcpListener::bind(("127.0.0.1", 0))?;
        let port = first.local_addr()?.port();
        let free = |node: u32| TcpListener::bind((format!("127.0.0.{node}"), port)).is_ok();
        if (2..=nodes).all(free) {
            return Ok(port);
        }
    }
    Err(Error::Server(
        "no port is free on all of the nodes' addresses".into(),
    ))
}

pub(crate) fn resident_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Resident memory of a process by what it is, in bytes.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Memory {
    /// Its own: nothing but the process holds it.
    pub(crate) anonymous: u64,
    /// Of files that are mapped, tables and the program: the system takes it back when it needs it.
    pub(crate) mapped: u64,
}

pub(crate) fn memory_of(process: u32) -> Option<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let bytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    };
    let anonymous = bytes("Anonymous:")?;
    Some(Memory {
        anonymous,
        mapped: bytes("Rss:")?.saturating_sub(anonymous),
    })
}

pub(crate) fn cpu_of(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th fields after it.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

fn size_of_tree(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_tree(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The server's binary beside the running program: both lie in `target/release`.
pub fn server_beside_this_program() -> Result<PathBuf, Error> {
    let mut path = std::env::current_exe()?;
    path.set_file_name("starling");
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::Server(format!(
        "there is no {}; build it with 'cargo build --release'",
        path.display()
    )))
}
