//! The processes of a cluster on this machine: each node on its own loopback address, with a certificate of the
//! cluster's own authority, all below one directory that goes away with the cluster.

use std::{
    fs::{self, OpenOptions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use super::{
    super::evidence::process::{Sample, sample_of},
    relay::Relay,
    status,
};
use crate::{cluster::free_ports, error::Error};

/// How long a cluster may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// How long a node may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How often a node is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Lines of a node's log that are quoted when it fails.
const LOG_LINES: usize = 8;

/// Addresses that are kept free for nodes that join later.
const MAY_JOIN: u32 = 8;

/// The nodes. Dropping it ends them and removes their data.
#[derive(Debug)]
pub struct LocalCluster {
    server: PathBuf,
    dir: TempDir,
    ports: Ports,
    /// Between the nodes, if they are to be cut off from one another.
    relay: Option<Relay>,
    extra: Vec<String>,
    nodes: Vec<Node>,
    /// Last samples of processes that were killed.
    ended: Vec<(u32, Sample)>,
}

/// Each node has the same ports, on its own address.
#[derive(Debug, Clone, Copy)]
struct Ports {
    cql: u16,
    /// Where others reach the node by QUIC.
    quic: u16,
    admin: u16,
    /// Where the node itself listens, if there is a relay before it.
    inner: u16,
}

/// What nodes are started with.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// How many nodes there are.
    pub nodes: u32,
    /// Further arguments for each.
    pub extra: &'a [String],
    /// Whether nodes can be cut off from one another.
    pub partitions: bool,
}

#[derive(Debug)]
struct Node {
    process: Option<Child>,
    paused: bool,
}

impl LocalCluster {
    /// Starts nodes, and waits until each is ready and sees all others.
    ///
    /// # Errors
    /// A node does not start, with the end of its log.
    pub fn start(server: &Path, wishes: Wishes<'_>) -> Result<Self, Error> {
        let dir = TempDir::new()?;
        let [cql, quic, admin, inner] = free_ports(wishes.nodes + MAY_JOIN)?;
        let ports = Ports {
            cql,
            quic,
            admin,
            inner,
        };
        let mut cluster = Self {
            server: server.to_owned(),
            ports,
            relay: wishes.partitions.then(|| Relay::start(inner)).transpose()?,
            extra: wishes.extra.to_vec(),
            nodes: Vec::new(),
            ended: Vec::new(),
            dir,
        };
        let ca = cluster.dir.path().join("ca");
        cluster.command(&["ca", "init", &ca.to_string_lossy(), "--cluster", "bench"])?;
        for _ in 0..wishes.nodes {
            cluster.add()?;
        }
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// How many nodes were made, also those that do not run.
    pub fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// Whether there is no node. There always is one.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Where the nodes speak CQL.
    pub fn cql_addresses(&self) -> Vec<SocketAddr> {
        (1..=self.len()).map(|node| at(node, self.ports.cql)).collect()
    }

    /// Where the nodes speak QUIC.
    pub fn quic_addresses(&self) -> Vec<SocketAddr> {
        (1..=self.len()).map(|node| at(node, self.ports.quic)).collect()
    }

    /// The admin pages of the nodes that run and are not paused.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        (1..=self.len())
            .zip(&self.nodes)
            .filter(|(_, node)| node.process.is_some() && !node.paused)
            .map(|(number, _)| at(number, self.ports.admin))
            .collect()
    }

    /// The ids of the processes that run.
    pub fn processes(&self) -> Vec<u32> {
        self.nodes
            .iter()
            .filter_map(|node| Some(node.process.as_ref()?.id()))
            .collect()
    }

    /// Where all nodes' data lies.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Waits until every node that runs is ready and sees all that run.
    ///
    /// # Errors
    /// One is not ready in time, or ended.
    pub fn wait_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        let running: Vec<u32> = (1..=self.len())
            .filter(|node| self.node(*node).process.is_some())
            .collect();
        for &node in &running {
            while !status::serves(at(node, self.ports.admin), running.len()) {
                self.check_alive(node)?;
                if Instant::now() > deadline {
                    return Err(Error::Server(format!(
                        "node{node} was not ready in time: {}",
                        self.log_end(node)
                    )));
                }
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// Adds a node and starts it. Gives its number. It joins through node 1.
    ///
    /// # Errors
    /// It does not start.
    pub fn add(&mut self) -> Result<u32, Error> {
        let node = self.len() + 1;
        let dir = self.node_dir(node);
        fs::create_dir_all(&dir)?;
        let (ca, tls) = (self.dir.path().join("ca"), dir.join("tls"));
        let name = format!("node{node}");
        let address = at(node, 0).ip().to_string();
        self.command(&[
            "ca",
            "issue",
            &ca.to_string_lossy(),
            "--name",
            &name,
            "--address",
            &address,
            "--out",
            &tls.to_string_lossy(),
        ])?;
        self.nodes.push(Node {
            process: None,
            paused: false,
        });
        if let Some(relay) = &self.relay {
            relay.add(node, at(node, self.ports.quic), at(node, self.ports.inner))?;
        }
        self.spawn(node)?;
        Ok(node)
    }

    /// Starts a node that does not run; one that runs is stopped properly before.
    ///
    /// # Errors
    /// There is no such node, or it does not start.
    pub fn restart(&mut self, node: u32) -> Result<(), Error> {
        self.existing(node)?;
        if self.node(node).process.is_some() {
            self.resume_if_paused(node)?;
            self.stop(node);
        }
        self.spawn(node)
    }

    /// Ends a node at once (SIGKILL).
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn kill(&mut self, node: u32) -> Result<(), Error> {
        self.signal(node, Signal::KILL)?;
        let node = &mut self.nodes[node as usize - 1];
        node.paused = false;
        if let Some(mut process) = node.process.take() {
            self.note_end(&process);
            process.wait()?;
        }
        Ok(())
    }

    /// What processes that were ended had spent by then. Gives each once.
    pub fn take_ended(&mut self) -> Vec<(u32, Sample)> {
        std::mem::take(&mut self.ended)
    }

    /// Waits until a process has ended, and keeps what it had spent: after it was waited for the system knows no more.
    fn note_end(&mut self, process: &Child) {
        let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let ended = id.map(|id| waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT));
        if matches!(ended, Some(Ok(_)))
            && let Some(sample) = sample_of(process.id())
        {
            self.ended.push((process.id(), sample));
        }
    }

    /// Stops a node's threads without ending it (SIGSTOP): it neither answers nor closes anything.
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn pause(&mut self, node: u32) -> Result<(), Error> {
        self.signal(node, Signal::STOP)?;
        self.nodes[node as usize - 1].paused = true;
        Ok(())
    }

    /// Lets a paused node go on (SIGCONT).
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn resume(&mut self, node: u32) -> Result<(), Error> {
        self.signal(node, Signal::CONT)?;
        self.nodes[node as usize - 1].paused = false;
        Ok(())
    }

    /// Cuts a node off from all others; clients still reach it.
    ///
    /// # Errors
    /// There is no such node, or nothing between the nodes that could cut it off.
    pub fn partition(&self, node: u32) -> Result<(), Error> {
        self.existing(node)?;
        let relay = self.relay.as_ref().ok_or_else(|| {
            Error::Usage("the cluster was started without a relay between its nodes".to_owned())
        })?;
        relay.cut_off(node);
        Ok(())
    }

    /// Ends all partitions.
    pub fn unite(&self) {
        if let Some(relay) = &self.relay {
            relay.heal();
        }
    }

    /// The command that makes a node leave, to be run without holding the cluster.
    ///
    /// # Errors
    /// There is no such node.
    pub fn decommission(&self, node: u32) -> Result<Command, Error> {
        self.existing(node)?;
        let mut command = Command::new(&self.server);
        command
            .args(["decommission", "--force"])
            .args(["--admin", &at(node, self.ports.admin).to_string()])
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Ends partitions, lets paused nodes go on and starts those that do not run, and waits until all are ready. Those in
    /// `gone` have left the cluster: they are ended, and nobody waits for them.
    ///
    /// # Errors
    /// One is not ready in time, or ended.
    pub fn heal(&mut self, gone: &[u32]) -> Result<(), Error> {
        self.unite();
        for &node in gone {
            self.existing(node)?;
            self.resume_if_paused(node)?;
            self.stop(node);
        }
        for node in (1..=self.len()).filter(|node| !gone.contains(node)) {
            self.resume_if_paused(node)?;
            if self.check_alive(node).is_err() || self.node(node).process.is_none() {
                self.nodes[node as usize - 1].process = None;
                self.spawn(node)?;
            }
        }
        self.wait_ready()
    }

    /// Why a node that was started does not run any more.
    ///
    /// # Errors
    /// The end of its log, if it has ended.
    pub fn check_alive(&mut self, node: u32) -> Result<(), Error> {
        let ended = match &mut self.nodes[node as usize - 1].process {
            Some(process) => process.try_wait()?,
            None => None,
        };
        match ended {
            Some(status) => Err(Error::Server(format!(
                "node{node} ended ({status}): {}",
                self.log_end(node)
            ))),
            None => Ok(()),
        }
    }

    fn resume_if_paused(&mut self, node: u32) -> Result<(), Error> {
        if self.node(node).paused {
            self.resume(node)
        } else {
            Ok(())
        }
    }

    fn spawn(&mut self, node: u32) -> Result<(), Error> {
        let dir = self.node_dir(node);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("log"))?;
        let reached = at(node, self.ports.quic);
        let listen = match &self.relay {
            Some(_) => at(node, self.ports.inner),
            None => reached,
        };
        let mut command = Command::new(&self.server);
        command
            .args(["node", "--stop-with-stdin", "--cluster", "bench"])
            .args(["--name", &format!("node{node}")])
            .arg("--dir")
            .arg(dir.join("data"))
            .arg("--tls")
            .arg(dir.join("tls"))
            .args(["--listen", &listen.to_string()])
            .args(["--cql", &at(node, self.ports.cql).to_string()])
            .args(["--admin", &at(node, self.ports.admin).to_string()])
            .args(["--seeds", &at(1, self.ports.quic).to_string()]);
        if self.relay.is_some() {
            // Binaries of other releases may not know it: it is said only where it differs.
            command.args(["--advertise", &reached.to_string()]);
        }
        let process = command
            .args(&self.extra)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C at the terminal is for the harness.
            .process_group(0)
            .spawn()
            .map_err(|error| Error::Server(format!("{}: {error}", self.server.display())))?;
        self.nodes[node as usize - 1] = Node {
            process: Some(process),
            paused: false,
        };
        Ok(())
    }

    /// Asks a node to stop, and ends it if it does not.
    fn stop(&mut self, node: u32) {
        let Some(mut process) = self.nodes[node as usize - 1].process.take() else {
            return;
        };
        drop(process.stdin.take());
        send(&process, Signal::TERM);
        let deadline = Instant::now() + STOP_WITHIN;
        while matches!(process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // It may end this very moment.
                let _gone = process.kill();
            }
            std::thread::sleep(POLL);
        }
    }

    fn signal(&mut self, node: u32, signal: Signal) -> Result<(), Error> {
        self.existing(node)?;
        self.check_alive(node)?;
        match &self.node(node).process {
            Some(process) => {
                send(process, signal);
                Ok(())
            }
            None => Err(Error::Server(format!("node{node} does not run"))),
        }
    }

    fn existing(&self, node: u32) -> Result<(), Error> {
        if (1..=self.len()).contains(&node) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "there is no node{node}; the cluster has node1 to node{}",
            self.len()
        )))
    }

    fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize - 1]
    }

    fn node_dir(&self, node: u32) -> PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    /// The last lines of a node's log: its reason is among them, if it failed.
    fn log_end(&self, node: u32) -> String {
        let text = fs::read(self.node_dir(node).join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.len() {
            0 => "its log is empty".to_owned(),
            1 => lines[0].to_owned(),
            all => format!(
                "the end of its log:\n  {}",
                lines[all.saturating_sub(LOG_LINES)..].join("\n  ")
            ),
        }
    }

    fn command(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = Command::new(&self.server)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::Server(format!("{}: {error}", self.server.display())))?;
        if output.status.success() {
            return Ok(output);
        }
        Err(Error::Server(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                // The data goes away: nothing is lost by an end at once. A paused process ends too.
                let _gone = process.kill();
                let _status = process.wait();
            }
        }
    }
}

fn at(node: u32, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, node as u8), port))
}

/// A child that was not waited for keeps its id, so that no other process can be meant.
fn send(process: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}
