//! Starting, killing and asking nodes.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use starling::{
    admin::{self, StatusView},
    config::Settings,
    tls::Authority,
};
use starling_client::{
    Consistency, ErrorKind, Session, SessionBuilder,
    retry::{Decision, DefaultRetry, Failure, RetryPolicy},
};

/// How long anything may take before a test fails. Generous: machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) const STARLING: &str = env!("CARGO_BIN_EXE_starling");

/// Polls until `done` gives something.
pub(crate) fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that is free, for UDP and TCP, on all addresses.
pub(crate) fn free_port() -> u16 {
    until("a port is free", || {
        let first = TcpListener::bind("127.0.0.1:0").ok()?;
        let port = first.local_addr().ok()?.port();
        let at = |n: u8| SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), port));
        let tcp = (2..=6).all(|n| TcpListener::bind(at(n)).is_ok());
        let udp = (1..=6).all(|n| UdpSocket::bind(at(n)).is_ok());
        (tcp && udp).then_some(port)
    })
}

pub(crate) struct Node {
    pub(crate) listen: SocketAddr,
    pub(crate) cql: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) dir: PathBuf,
    config: PathBuf,
    process: Option<Child>,
}

/// A cluster below a directory of its own. Dropping it kills what runs.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) ca: PathBuf,
    _dir: tempfile::TempDir,
}

impl Cluster {
    /// Starts `count` nodes and waits until all serve.
    pub(crate) fn start(count: u8) -> Self {
        Self::start_with(count, &Settings::default())
    }

    /// The same, with settings beside the ones that make it a cluster.
    pub(crate) fn start_with(count: u8, more: &Settings) -> Self {
        let mut cluster = Self::prepared(count, more);
        cluster.start_all();
        cluster
    }

    /// Everything that `count` nodes need; none is started.
    pub(crate) fn prepared(count: u8, more: &Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&dir.path().join("ca"), "test").unwrap();
        let (port, cql, admin) = (free_port(), free_port(), free_port());
        let at = |n: u8, port| SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), port));
        let nodes = (1..=count)
            .map(|n| {
                let dir = dir.path().join(format!("node{n}"));
                let issued = authority
                    .issue(&format!("node{n}"), &[format!("127.0.0.{n}")], 1)
                    .unwrap();
                authority.write(&dir.join("tls"), &issued).unwrap();
                let settings = Settings {
                    name: Some(format!("node{n}")),
                    dir: Some("data".into()),
                    listen: Some(at(n, port).to_string()),
                    cql: Some(at(n, cql).to_string()),
                    admin: Some(at(n, admin).to_string()),
                    seeds: Some(vec![at(1, port).to_string()]),
                    cluster: Some("test".to_owned()),
                    tls: Some("tls".into()),
                    shards: Some(2),
                    ..Settings::default()
                }
                .or(more.clone());
                let config = dir.join("starling.toml");
                fs::write(&config, toml::to_string(&settings).unwrap()).unwrap();
                Node {
                    listen: at(n, port),
                    cql: at(n, cql),
                    admin: at(n, admin),
                    dir,
                    config,
                    process: None,
                }
            })
            .collect();
        Self {
            nodes,
            ca: dir.path().join("ca/ca.pem"),
            _dir: dir,
        }
    }

    /// Starts the nodes that don't run, and waits until all serve and see each other.
    pub(crate) fn start_all(&mut self) {
        self.start_first(self.nodes.len());
    }

    /// The same for the first `count`, which are all members that there are.
    pub(crate) fn start_first(&mut self, count: usize) {
        for node in &mut self.nodes[..count] {
            node.start();
        }
        for node in &mut self.nodes[..count] {
            node.wait(|status| {
                status.node.ready
                    && status.node.schema_agreed
                    && status.node.members.len() == count
                    && status
                        .node
                        .members
                        .iter()
                        .all(|member| member.up && member.joined)
            });
        }
    }

    /// A session that prefers the given nodes, at QUORUM.
    pub(crate) async fn session(&self, nodes: &[usize]) -> Session {
        self.session_builder(nodes).connect().await.unwrap()
    }

    /// The same for what only prepares a test: a disk that stalls for longer than a request may take (others write to it too)
    /// is waited for.
    pub(crate) async fn patient_session(&self, nodes: &[usize]) -> Session {
        let builder = self.session_builder(nodes).client_timestamps(true).retry(Patient);
        builder.connect().await.unwrap()
    }

    /// The settings of [`session`](Self::session), to change from.
    pub(crate) fn session_builder(&self, nodes: &[usize]) -> SessionBuilder {
        Session::builder()
            .contacts(nodes.iter().map(|n| self.nodes[*n].listen.to_string()))
            .ca(&self.ca)
            .consistency(Consistency::Quorum)
    }
}

impl Node {
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same with more flags.
    pub(crate) fn start_with(&mut self, flags: &[&str]) {
        if self.process.is_some() {
            return;
        }
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .unwrap();
        let process = Command::new(STARLING)
            .args(["node", "--stop-with-stdin", "--config"])
            .arg(&self.config)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Stops the node's process in its tracks (SIGSTOP) or lets it go on (SIGCONT): its connections stay open.
    pub(crate) fn pause(&self, paused: bool) {
        let pid = rustix::process::Pid::from_child(self.process.as_ref().unwrap());
        let signal = if paused {
            rustix::process::Signal::STOP
        } else {
            rustix::process::Signal::CONT
        };
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Tells the node to stop, as an operator does, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        drop(process.stdin.take());
        let status = process.wait().unwrap();
        assert!(status.success(), "{status}: {}", log(&self.dir));
    }

    /// Waits until the node has given up by itself; what it said.
    pub(crate) fn wait_for_end(&mut self) -> String {
        let mut process = self.process.take().unwrap();
        let status = until("the node ends", || process.try_wait().unwrap());
        assert!(!status.success());
        log(&self.dir)
    }

    /// Limits the size of the node's files from now on, so that writing more fails; `None`: as before.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let process = self.process.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(process);
        let before = rustix::process::getrlimit(rustix::process::Resource::Fsize);
        let limit = rustix::process::Rlimit {
            current: bytes.or(before.current),
            maximum: before.maximum,
        };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).unwrap();
    }

    pub(crate) fn status(&self) -> Option<StatusView> {
        admin::client::get_json(self.admin, "/status").ok()
    }

    /// Waits until the node says what is wanted of it; fails if it ends.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&StatusView) -> bool) {
        let mut last = None;
        let process = self.process.as_mut().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("{} ended with {status}: {}", self.listen, log(&self.dir));
            }
            if let Ok(status) = admin::client::get_json::<StatusView>(self.admin, "/status") {
                if wanted(&status) {
                    return;
                }
                last = Some(status);
            }
            assert!(
                Instant::now() < deadline,
                "{} does not get there: {last:?}\n{}",
                self.listen,
                log(&self.dir)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn log(dir: &std::path::Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                let _ = process.kill();
                let _ = process.wait();
            }
            if std::thread::panicking() {
                eprintln!("--- log of {}\n{}", node.listen, log(&node.dir));
            }
        }
    }
}

/// Tries again what may be done twice, as often as the session lets it.
#[derive(Debug)]
struct Patient;

impl RetryPolicy for Patient {
    fn decide(&self, failure: &Failure<'_>) -> Decision {
        match failure.error.kind() {
            ErrorKind::Timeout | ErrorKind::Overloaded | ErrorKind::Unavailable if failure.is_safe() => {
                Decision::SameNode
            }
            _ => DefaultRetry.decide(failure),
        }
    }
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Makes keyspace `k` (RF 3) with table `k.t (id int PRIMARY KEY, v int)`.
pub(crate) async fn create_table(session: &Session) {
    create_table_of(session, "id int PRIMARY KEY, v int").await;
}

/// Makes keyspace `k` (RF 3) with table `k.t` of these columns.
pub(crate) async fn create_table_of(session: &Session, columns: &str) {
    let keyspace =
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
    session.query(keyspace).await.unwrap();
    let table = format!("CREATE TABLE k.t ({columns})");
    session.query(table.as_str()).await.unwrap();
}
