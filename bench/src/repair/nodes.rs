//! Three nodes, of which one can be made to miss writes.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::ask;
use crate::{
    cluster::{Memory, cpu_of, free_ports, memory_of},
    error::Error,
    scratch::Scratch,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// Longer than the hints' window: they are dropped.
const FORGOTTEN: Duration = Duration::from_millis(2_500);

/// For how long nodes are watched to see whether they have anything to do.
const GLANCE: Duration = Duration::from_secs(2);

/// What of a node's memory is what, in bytes.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct NodeMemory {
    pub(crate) resident: Memory,
    pub(crate) memtables: u64,
    pub(crate) digests: u64,
}

/// Nodes with a replica of everything each, that keep no hints and compare nothing unasked.
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    _dir: Scratch,
}

struct Node {
    process: Child,
    cql: SocketAddr,
    admin: SocketAddr,
}

impl Nodes {
    /// Starts three nodes and waits until they serve.
    pub(crate) fn start(server: &Path, dir: Option<&Path>, memtable_mib: u32) -> Result<Self, Error> {
        let dir = Scratch::new(dir)?;
        let ca = dir.path().join("ca");
        run(Command::new(server).args(["ca", "init"]).arg(&ca))?;
        let ports = free_ports(3)?;
        let at = |n: u8, port: u16| SocketAddr::from(([127, 0, 0, n], port));
        let seed = at(1, ports[1]);
        let mut nodes = Vec::new();
        for n in 1..=3 {
            let own = dir.path().join(format!("node{n}"));
            let address = format!("127.0.0.{n}");
            run(Command::new(server)
                .args([
                    "ca",
                    "issue",
                    "--name",
                    &format!("node{n}"),
                    "--address",
                    &address,
                    "--out",
                ])
                .arg(own.join("tls"))
                .arg(&ca))?;
            nodes.push(Node {
                process: spawn(server, &own, n, ports, seed, memtable_mib)?,
                cql: at(n, ports[0]),
                admin: at(n, ports[2]),
            });
        }
        let nodes = Self { nodes, _dir: dir };
        nodes.wait_until_up([true; 3])?;
        Ok(nodes)
    }

    /// Where the first node speaks CQL.
    pub(crate) fn cql(&self) -> SocketAddr {
        self.nodes[0].cql
    }

    /// The first node's admin address.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.nodes[0].admin
    }

    /// CPU time of all nodes.
    pub(crate) fn cpu(&self) -> Duration {
        self.nodes
            .iter()
            .filter_map(|node| cpu_of(node.process.id()))
            .sum()
    }

    /// Waits until the nodes have nothing to do, compactions for example; but not for long.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let before = self.cpu();
            std::thread::sleep(GLANCE);
            if self.cpu().saturating_sub(before) < GLANCE / 10 {
                return;
            }
        }
    }

    /// Memory of the first node, and what of it are memtables and digests.
    pub(crate) fn memory(&self) -> Result<NodeMemory, Error> {
        let node = &self.nodes[0];
        let Some(resident) = memory_of(node.process.id()) else {
            return Err(Error::Server(
                "a node's memory can't be read; it has ended".into(),
            ));
        };
        Ok(NodeMemory {
            resident,
            memtables: ask::memtables(node.admin)?,
            digests: ask::tree(node.admin)?.1,
        })
    }

    /// Stops the third node for a while: it takes no part in what happens meanwhile and hears nothing of it after.
    pub(crate) async fn without_the_third(
        &self,
        meanwhile: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let third = Pid::from_child(&self.nodes[2].process);
        signal(third, Signal::STOP)?;
        let outcome = async {
            self.wait_until_up([true, true, false])?;
            meanwhile.await
        };
        let outcome = outcome.await;
        std::thread::sleep(FORGOTTEN);
        signal(third, Signal::CONT)?;
        outcome?;
        self.wait_until_up([true; 3])
    }

    /// Waits until those who are up see who is up.
    fn wait_until_up(&self, wanted: [bool; 3]) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        for (node, up) in self.nodes.iter().zip(wanted) {
            while up
                && !ask::sees(
                    node.admin,
                    self.nodes.iter().zip(wanted).map(|(n, up)| (n.cql, up)),
                )
            {
                if Instant::now() > deadline {
                    return Err(Error::Server(format!("{} does not see who is up", node.admin)));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // Nothing is kept, so nobody needs to be asked.
            let _gone = node.process.kill();
            let _status = node.process.wait();
        }
    }
}

fn spawn(
    server: &Path,
    own: &Path,
    n: u8,
    ports: [u16; 3],
    seed: SocketAddr,
    memtable_mib: u32,
) -> Result<Child, Error> {
    let log = fs::File::create(own.join("log"))?;
    let at = |port: u16| format!("127.0.0.{n}:{port}");
    let dir = |name: &str| -> PathBuf { own.join(name) };
    let node = Command::new(server)
        .args(["node", "--stop-with-stdin", "--name", &format!("node{n}")])
        .args([
            "--hint-window-s",
            "0",
            "--repair-interval-s",
            "0",
            "--shards",
            "2",
        ])
        .args([
            "--cql",
            &at(ports[0]),
            "--listen",
            &at(ports[1]),
            "--admin",
            &at(ports[2]),
        ])
        .args(["--seeds", &seed.to_string()])
        .args(["--memtable-mib", &memtable_mib.to_string()])
        .arg("--dir")
        .arg(dir("data"))
        .arg("--tls")
        .arg(dir("tls"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    node.map_err(|error| Error::Server(format!("{}: {error}", server.display())))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Server(
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

fn signal(process: Pid, signal: Signal) -> Result<(), Error> {
    kill_process(process, signal).map_err(|error| Error::Machine(error.into()))
}
