//! The nodes' processes.

use std::{
    env, fs,
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::plan::{Plan, PlannedNode};
use crate::failure::Failure;

/// How long nodes may take to stop before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// How often children are looked at while they stop.
const POLL: Duration = Duration::from_millis(10);

/// How much of the end of a log is searched for the reason of an early end, in bytes.
const LOG_TAIL: u64 = 4096;

struct Node {
    plan: PlannedNode,
    process: Child,
    ended: bool,
}

/// The running nodes. Dropping it stops them.
pub(super) struct Children {
    nodes: Vec<Node>,
}

/// A node that has ended by itself.
pub(super) struct Ended {
    pub(super) node: PlannedNode,
    status: ExitStatus,
    pid: u32,
}

impl Children {
    /// Starts all nodes. If one can't be started, those that were are stopped.
    pub(super) fn start(plan: &Plan) -> Result<Self, Failure> {
        let mut children = Self { nodes: Vec::new() };
        for node in &plan.nodes {
            let process =
                spawn(node).map_err(|error| Failure::work(format!("cannot start {}: {error}", node.name)))?;
            children.nodes.push(Node {
                plan: node.clone(),
                process,
                ended: false,
            });
        }
        Ok(children)
    }

    /// Nodes that have ended since this was last asked.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        let mut all = Vec::new();
        for node in self.nodes.iter_mut().filter(|node| !node.ended) {
            if let Ok(Some(status)) = node.process.try_wait() {
                node.ended = true;
                all.push(Ended {
                    node: node.plan.clone(),
                    status,
                    pid: node.process.id(),
                });
            }
        }
        all
    }

    /// Whether no node runs any more.
    pub(super) fn all_ended(&self) -> bool {
        self.nodes.iter().all(|node| node.ended)
    }

    /// Stops all nodes: asks them, waits, and kills those that don't.
    pub(super) fn stop(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| !node.ended) {
            drop(node.process.stdin.take());
            signal(&node.process, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        for node in self.nodes.iter_mut().filter(|node| !node.ended) {
            while matches!(node.process.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    // It may have ended this very moment.
                    let _ = node.process.kill();
                    let _ = node.process.wait();
                    break;
                }
                std::thread::sleep(POLL);
            }
            node.ended = true;
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Ended {
    /// What happened, in one sentence.
    pub(super) fn describe(&self) -> String {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (_, Some(signal)) => format!("was killed by signal {signal}"),
            _ => "ended".to_owned(),
        };
        match reason(&self.node.log) {
            Some(reason) if self.status.code().is_some() => {
                format!("{} (process {}) {how}: {reason}", self.node.name, self.pid)
            }
            _ => format!(
                "{} (process {}) {how}; its log is {}",
                self.node.name,
                self.pid,
                self.node.log.display()
            ),
        }
    }
}

/// Starts a node, in a process group of its own (Ctrl-C at the terminal is for the demo), its log in a file.
fn spawn(node: &PlannedNode) -> io::Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(&node.log)?;
    Command::new(env::current_exe()?)
        .args(["node", "--stop-with-stdin", "--config"])
        .arg(&node.config)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn signal(process: &Child, signal: Signal) {
    // A child that was not waited for keeps its id, so that no other process can be meant.
    if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The sentence with which a node that failed has ended its log.
fn reason(log: &Path) -> Option<String> {
    let mut file = fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL))).ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().rev().find(|line| line.starts_with("starling: "))?;
    Some(line.trim_start_matches("starling: ").to_owned())
}
