//! The cluster under test.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    frame::Compression,
    response::query_result::QueryRowsResult,
    statement::Consistency,
};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Three nodes, stopped when dropped.
pub(crate) struct Cluster {
    contact: SocketAddr,
    demo: Option<Child>,
    _dir: Option<tempfile::TempDir>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        if let Ok(contact) = std::env::var("CONTACT") {
            return Self {
                contact: contact.parse().expect("CONTACT is IP:PORT"),
                demo: None,
                _dir: None,
            };
        }
        let dir = tempfile::tempdir().unwrap();
        let ports = [free_port(), free_port(), free_port()];
        let mut demo = Command::new(env!("CARGO_BIN_EXE_starling"))
            .args(["demo", "--no-shell", "--no-data", "--dir"])
            .arg(dir.path().join("data"))
            .args(["--port", &ports[0].to_string()])
            .args(["--cql-port", &ports[1].to_string()])
            .args(["--admin-port", &ports[2].to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(demo.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let cluster = Self {
            contact: SocketAddr::from((Ipv4Addr::LOCALHOST, ports[1])),
            demo: Some(demo),
            _dir: Some(dir),
        };
        assert!(ready.starts_with("ready:"), "{ready}");
        cluster
    }

    pub(crate) fn contact(&self) -> SocketAddr {
        self.contact
    }

    pub(crate) async fn session(&self, compression: Option<Compression>) -> Session {
        connect(self.contact, compression).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(demo) = &mut self.demo {
            // An interrupt, so that it stops its nodes; a failure here must not hide the test's own.
            let stopped = kill_process(Pid::from_child(demo), Signal::INT);
            if stopped.is_ok() {
                let _ = demo.wait();
            }
        }
    }
}

/// A session at QUORUM.
pub(crate) async fn connect(contact: SocketAddr, compression: Option<Compression>) -> Session {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::Quorum)
        .request_timeout(Some(PATIENCE))
        .build();
    SessionBuilder::new()
        .known_node_addr(contact)
        .compression(compression)
        .connection_timeout(PATIENCE)
        .default_execution_profile_handle(profile.into_handle())
        .build()
        .await
        .unwrap()
}

/// Carries out a statement that returns nothing.
pub(crate) async fn run(session: &Session, statement: &str) {
    session
        .query_unpaged(statement, &[])
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
        .result_not_rows()
        .unwrap();
}

/// Carries out a statement that returns rows.
pub(crate) async fn rows(session: &Session, statement: &str) -> QueryRowsResult {
    session
        .query_unpaged(statement, &[])
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
        .into_rows_result()
        .unwrap()
}

pub(crate) async fn create_keyspace(session: &Session, name: &str, factor: u32) {
    let statement = format!(
        "CREATE KEYSPACE {name} WITH replication = \
         {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
    );
    run(session, &statement).await;
}

/// A port that is free, for TCP and UDP, on the addresses of all three nodes.
fn free_port() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let at = |n: u8| SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), port));
        let tcp = (2..=3).all(|n| TcpListener::bind(at(n)).is_ok());
        if tcp && (1..=3).all(|n| UdpSocket::bind(at(n)).is_ok()) {
            return port;
        }
    }
}
