//! The processes of a cluster on this machine: each node on its own loopback address, with a certificate of the
//! cluster's own authority, all below one directory that goes away with the cluster.
//!
//! `addresses`: where the nodes are; `node`: one of them, its process and its log.

mod addresses;
mod node;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{super::evidence::process::Sample, relay::Relay, status};
use crate::{error::Error, scratch::Scratch};
use addresses::Addresses;
pub use node::Stopping;
use node::{Node, POLL};

/// How long a cluster may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// The nodes. Dropping it ends them and removes their data.
#[derive(Debug)]
pub struct LocalCluster {
    server: PathBuf,
    dir: Scratch,
    addresses: Addresses,
    /// Between the nodes, if they are to be cut off from one another.
    relay: Option<Relay>,
    extra: Vec<String>,
    /// By number: node1 is the first.
    nodes: Vec<Node>,
    /// Last samples of processes that were ended.
    ended: Vec<(u32, Sample)>,
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

impl LocalCluster {
    /// Starts nodes, and waits until each is ready and sees all others.
    ///
    /// # Errors
    /// A node does not start, with the end of its log.
    pub fn start(server: &Path, wishes: Wishes<'_>) -> Result<Self, Error> {
        let dir = Scratch::new(None)?;
        let addresses = Addresses::free_for(wishes.nodes)?;
        let relay = wishes
            .partitions
            .then(|| Relay::start(addresses.inner_port()))
            .transpose()?;
        let mut cluster = Self {
            server: server.to_owned(),
            addresses,
            relay,
            extra: wishes.extra.to_vec(),
            nodes: Vec::new(),
            ended: Vec::new(),
            dir,
        };
        let ca = cluster.dir.path().join("ca");
        cluster.run(&["ca", "init", &ca.to_string_lossy(), "--cluster", "bench"])?;
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
        self.each_at(Addresses::cql)
    }

    /// Where the nodes speak QUIC.
    pub fn quic_addresses(&self) -> Vec<SocketAddr> {
        self.each_at(Addresses::quic)
    }

    /// The admin pages of the nodes that run and are not paused.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        let answer = self.nodes.iter().filter(|node| node.answers());
        answer.map(|node| self.addresses.admin(node.number())).collect()
    }

    /// The ids of the processes that run.
    pub fn processes(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Node::process_id).collect()
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
        let running = self.nodes.iter().filter(|node| node.runs()).count();
        for node in self.nodes.iter_mut().filter(|node| node.runs()) {
            let admin = self.addresses.admin(node.number());
            while !status::serves(admin, running) {
                node.check_alive()?;
                if Instant::now() > deadline {
                    return Err(Error::Server(format!(
                        "node{} was not ready in time: {}",
                        node.number(),
                        node.log_end()
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
        let number = self.len() + 1;
        let dir = self.node_dir(number);
        fs::create_dir_all(&dir)?;
        self.run(&[
            "ca",
            "issue",
            &self.dir.path().join("ca").to_string_lossy(),
            "--name",
            &format!("node{number}"),
            "--address",
            &Addresses::ip(number).to_string(),
            "--out",
            &dir.join("tls").to_string_lossy(),
        ])?;
        self.nodes.push(Node::new(number, dir));
        if let Some(relay) = &self.relay {
            let (reached, inner) = (self.addresses.quic(number), self.addresses.inner(number));
            relay.add(number, reached, inner)?;
        }
        self.spawn(number)?;
        Ok(number)
    }

    /// Starts a node that does not run.
    ///
    /// # Errors
    /// There is no such node, it runs or is being stopped, or it does not start.
    pub fn start_node(&mut self, number: u32) -> Result<(), Error> {
        self.spawn(number)
    }

    /// Begins to stop a node properly; `None` if it does not run. Stopping takes its time: that is for the caller, without
    /// holding the cluster, and [`Self::stopped`] when it is done.
    ///
    /// # Errors
    /// There is no such node, or it is being stopped already.
    pub fn stop(&mut self, number: u32) -> Result<Option<Stopping>, Error> {
        self.node_mut(number)?.begin_stop()
    }

    /// A node that was being stopped has ended, and had spent this.
    ///
    /// # Errors
    /// There is no such node.
    pub fn stopped(&mut self, number: u32, spent: Option<(u32, Sample)>) -> Result<(), Error> {
        self.node_mut(number)?.has_stopped();
        self.ended.extend(spent);
        Ok(())
    }

    /// The admin page of a node that was started.
    ///
    /// # Errors
    /// There is no such node, or it does not run any more: with the end of its log.
    pub fn admin_address_of_running(&mut self, number: u32) -> Result<SocketAddr, Error> {
        let admin = self.addresses.admin(number);
        let node = self.node_mut(number)?;
        node.check_alive()?;
        if node.runs() {
            Ok(admin)
        } else {
            Err(Error::Server(format!("node{number} was ended before it served")))
        }
    }

    /// Ends a node at once (SIGKILL).
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn kill(&mut self, number: u32) -> Result<(), Error> {
        let spent = self.node_mut(number)?.kill()?;
        self.ended.extend(spent);
        Ok(())
    }

    /// What processes that were ended had spent by then. Gives each once.
    pub fn take_ended(&mut self) -> Vec<(u32, Sample)> {
        std::mem::take(&mut self.ended)
    }

    /// Stops a node's threads without ending it (SIGSTOP): it neither answers nor closes anything.
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn pause(&mut self, number: u32) -> Result<(), Error> {
        self.node_mut(number)?.pause()
    }

    /// Lets a paused node go on (SIGCONT).
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn resume(&mut self, number: u32) -> Result<(), Error> {
        self.node_mut(number)?.resume()
    }

    /// Cuts a node off from all others; clients still reach it.
    ///
    /// # Errors
    /// There is no such node, or nothing between the nodes that could cut it off.
    pub fn partition(&self, number: u32) -> Result<(), Error> {
        self.check_exists(number)?;
        let relay = self.relay.as_ref().ok_or_else(|| {
            Error::Usage("the cluster was started without a relay between its nodes".to_owned())
        })?;
        relay.cut_off(number);
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
    pub fn decommission(&self, number: u32) -> Result<Command, Error> {
        self.check_exists(number)?;
        let mut command = Command::new(&self.server);
        command
            .args(["decommission", "--force"])
            .args(["--admin", &self.addresses.admin(number).to_string()]);
        Ok(command)
    }

    /// Ends partitions, lets paused nodes go on and starts those that do not run, and waits until all are ready. Those in
    /// `gone` have left the cluster: they are ended, and nobody waits for them.
    ///
    /// # Errors
    /// One is not ready in time, or ended.
    pub fn heal(&mut self, gone: &[u32]) -> Result<(), Error> {
        self.unite();
        for &number in gone {
            if let Some(stopping) = self.stop(number)? {
                let spent = stopping.finish();
                self.stopped(number, spent)?;
            }
        }
        for number in (1..=self.len()).filter(|number| !gone.contains(number)) {
            let node = self.node_mut(number)?;
            node.resume_if_paused()?;
            if node.check_alive().is_err() || !node.runs() {
                self.spawn(number)?;
            }
        }
        self.wait_ready()
    }

    fn spawn(&mut self, number: u32) -> Result<(), Error> {
        let command = self.command_of(number);
        self.node_mut(number)?.start(command)
    }

    /// What starts a node.
    fn command_of(&self, number: u32) -> Command {
        let dir = self.node_dir(number);
        let reached = self.addresses.quic(number);
        let listen = match &self.relay {
            Some(_) => self.addresses.inner(number),
            None => reached,
        };
        let mut command = Command::new(&self.server);
        command
            .args(["node", "--stop-with-stdin", "--cluster", "bench"])
            .args(["--name", &format!("node{number}")])
            .arg("--dir")
            .arg(dir.join("data"))
            .arg("--tls")
            .arg(dir.join("tls"))
            .args(["--listen", &listen.to_string()])
            .args(["--cql", &self.addresses.cql(number).to_string()])
            .args(["--admin", &self.addresses.admin(number).to_string()])
            .args(["--seeds", &self.addresses.quic(1).to_string()]);
        if self.relay.is_some() {
            // Binaries of other releases may not know it: it is said only where it differs.
            command.args(["--advertise", &reached.to_string()]);
        }
        command.args(&self.extra);
        command
    }

    fn check_exists(&self, number: u32) -> Result<(), Error> {
        if (1..=self.len()).contains(&number) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "there is no node{number}; the cluster has node1 to node{}",
            self.len()
        )))
    }

    fn node_mut(&mut self, number: u32) -> Result<&mut Node, Error> {
        self.check_exists(number)?;
        Ok(&mut self.nodes[number as usize - 1])
    }

    fn node_dir(&self, number: u32) -> PathBuf {
        self.dir.path().join(format!("node{number}"))
    }

    fn each_at(&self, address: fn(Addresses, u32) -> SocketAddr) -> Vec<SocketAddr> {
        (1..=self.len())
            .map(|node| address(self.addresses, node))
            .collect()
    }

    /// Runs the server's program for a short while, and waits for it.
    fn run(&self, arguments: &[&str]) -> Result<(), Error> {
        let output = Command::new(&self.server)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::Server(format!("{}: {error}", self.server.display())))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Server(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        // The data goes away: nothing is lost by an end at once.
        for node in &mut self.nodes {
            node.abandon();
        }
    }
}
