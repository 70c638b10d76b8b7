//! Two nodes of one cluster, started one after the other.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{cluster::free_port, error::Error};

/// How long a node may take to serve: it fetches its data first.
const PATIENCE: Duration = Duration::from_hours(1);

/// How often it is asked.
const POLL: Duration = Duration::from_millis(10);

/// The nodes; stopped when dropped.
pub(super) struct Pair {
    server: PathBuf,
    dir: PathBuf,
    /// Of peers, CQL and the admin pages.
    ports: [u16; 3],
    running: Vec<Child>,
}

impl Pair {
    /// Makes certificates and chooses ports.
    pub(super) fn prepare(server: &Path, dir: &Path) -> Result<Self, Error> {
        let pair = Self {
            server: server.to_owned(),
            dir: dir.to_owned(),
            ports: [free_port(2)?, free_port(2)?, free_port(2)?],
            running: Vec::new(),
        };
        let ca = dir.join("ca");
        pair.command(&[&"ca", &"init", &ca])?;
        for node in 0..2 {
            let (name, address) = (format!("node{node}"), pair.at(node, 0).ip().to_string());
            pair.command(&[&"ca", &"issue", &ca, &"--name", &name, &"--address", &address])?;
        }
        Ok(pair)
    }

    /// Where a node speaks CQL.
    pub(super) fn cql(&self, node: u8) -> SocketAddr {
        self.at(node, 1)
    }

    fn at(&self, node: u8, port: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 0, 0, node + 1), self.ports[port]))
    }

    fn command(&self, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Result<(), Error> {
        let mut command = Command::new(&self.server);
        for argument in arguments {
            command.arg(argument);
        }
        let output = command.output().map_err(|error| self.failed(&error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(self.failed(&String::from_utf8_lossy(&output.stderr)))
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> Error {
        Error::Server(format!("{}: {why}", self.server.display()))
    }

    /// Starts a node and waits until it serves.
    pub(super) fn start(&mut self, node: u8) -> Result<(), Error> {
        let name = format!("node{node}");
        let log = self.dir.join(format!("{name}.log"));
        let mut child = Command::new(&self.server)
            .args(["node", "--name", &name, "--shards", "2"])
            .arg("--dir")
            .arg(self.dir.join(&name))
            .arg("--tls")
            .arg(self.dir.join("ca").join(&name))
            .args(["--listen", &self.at(node, 0).to_string()])
            .args(["--cql", &self.at(node, 1).to_string()])
            .args(["--admin", &self.at(node, 2).to_string()])
            .args(["--seeds", &self.at(0, 0).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .map_err(|error| self.failed(&error))?;
        let until = Instant::now() + PATIENCE;
        let admin = self.at(node, 2);
        let outcome = loop {
            if get(admin, "/health").is_ok_and(|(code, _)| code == 200) {
                break Ok(());
            }
            if let Some(status) = child.try_wait()? {
                break Err(status.to_string());
            }
            if Instant::now() > until {
                break Err("it does not serve".to_owned());
            }
            thread::sleep(POLL);
        };
        self.running.push(child);
        outcome.map_err(|why| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            self.failed(&format!("{why}; it said: {said}"))
        })
    }

    /// Bytes of other nodes' data that a node fetched.
    pub(super) fn fetched_bytes(&self, node: u8) -> Result<u64, Error> {
        let (_, body) = get(self.at(node, 2), "/status")?;
        let status: serde_json::Value = serde_json::from_str(&body).map_err(std::io::Error::from)?;
        let counter = status.pointer("/counters/streamed_in_bytes");
        counter
            .and_then(serde_json::Value::as_u64)
            .ok_or_else(|| Error::Protocol("the node does not tell what it fetched".to_owned()))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for mut child in self.running.drain(..) {
            // One that is gone already can't be stopped, and need not be.
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

/// A page's code and body.
fn get(admin: SocketAddr, path: &str) -> Result<(u16, String), Error> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    match (code, body) {
        (Some(code), Some(body)) => Ok((code, body)),
        _ => Err(Error::Protocol("the answer is no HTTP".to_owned())),
    }
}
