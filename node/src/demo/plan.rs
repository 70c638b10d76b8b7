//! What the cluster will be: addresses, directories, certificates, configuration files.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
};

use super::DemoArgs;
use crate::{
    config::Settings,
    failure::Failure,
    tls::{Authority, TlsFiles},
};

/// The cluster's name.
const CLUSTER: &str = "demo";

/// How long the nodes' certificates are good for, in days.
const CERTIFICATE_DAYS: u32 = 3650;

/// One node to be.
#[derive(Debug, Clone)]
pub(super) struct PlannedNode {
    pub(super) name: String,
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) cql: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// The cluster to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) dir: PathBuf,
    pub(super) ca: PathBuf,
    pub(super) nodes: Vec<PlannedNode>,
}

impl Plan {
    /// Chooses addresses, checks that they are free, and writes what the nodes need below `dir`. What is there
    /// from an earlier demo is used again.
    pub(super) fn make(args: &DemoArgs, dir: &Path) -> Result<Self, Failure> {
        check_ports(args)?;
        check_size(args.nodes, dir)?;
        let nodes: Vec<_> = (1..=args.nodes).map(|n| planned(args, dir, n)).collect();
        for node in &nodes {
            check_free(node)?;
        }
        let authority_dir = dir.join("ca");
        let authority = Authority::open_or_create(&authority_dir, CLUSTER).map_err(Failure::work)?;
        let seeds = vec![nodes[0].listen.to_string()];
        for node in &nodes {
            prepare(node, &authority, &seeds)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            ca: authority_dir.join("ca.pem"),
            nodes,
        })
    }
}

/// Each port is used on every node's address, and clients are told it beforehand.
fn check_ports(args: &DemoArgs) -> Result<(), Failure> {
    for (port, flag) in [
        (args.port, "--port"),
        (args.cql_port, "--cql-port"),
        (args.admin_port, "--admin-port"),
    ] {
        if port == 0 {
            return Err(Failure::usage(format!(
                "{flag} must not be 0: choose a free port"
            )));
        }
    }
    if args.cql_port == args.admin_port {
        return Err(Failure::usage(format!(
            "--cql-port and --admin-port are both {}; give each its own port",
            args.cql_port
        )));
    }
    Ok(())
}

/// A cluster that was made with another number of nodes would wait for the missing ones, or let the new ones
/// own data that they don't have.
fn check_size(nodes: u8, dir: &Path) -> Result<(), Failure> {
    let made = (1..=u8::MAX)
        .take_while(|n| dir.join(format!("node{n}")).join("data").exists())
        .count();
    if made == 0 || made == usize::from(nodes) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} holds a demo of {made} nodes; start it with --nodes {made}, or give another directory with --dir",
        dir.display()
    )))
}

fn planned(args: &DemoArgs, dir: &Path, n: u8) -> PlannedNode {
    let name = format!("node{n}");
    let at = |port| SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), port));
    PlannedNode {
        config: dir.join(&name).join("starling.toml"),
        log: dir.join(&name).join("log"),
        listen: at(args.port),
        cql: at(args.cql_port),
        admin: at(args.admin_port),
        name,
    }
}

/// Writes a node's certificate, unless it has one, and its configuration.
fn prepare(node: &PlannedNode, authority: &Authority, seeds: &[String]) -> Result<(), Failure> {
    let dir = node.config.parent().unwrap_or(Path::new("."));
    let tls = dir.join("tls");
    if !TlsFiles::in_directory(&tls).certificate.exists() {
        let addresses = [node.listen.ip().to_string(), "localhost".to_owned()];
        let issued = authority
            .issue(&node.name, &addresses, CERTIFICATE_DAYS)
            .map_err(Failure::work)?;
        authority.write(&tls, &issued).map_err(Failure::work)?;
    }
    let settings = Settings {
        name: Some(node.name.clone()),
        dir: Some(PathBuf::from("data")),
        listen: Some(node.listen.to_string()),
        cql: Some(node.cql.to_string()),
        admin: Some(node.admin.to_string()),
        seeds: Some(seeds.to_vec()),
        cluster: Some(CLUSTER.to_owned()),
        tls: Some(PathBuf::from("tls")),
        ..Settings::default()
    };
    let text = toml::to_string(&settings).map_err(Failure::work)?;
    fs::write(&node.config, text)
        .map_err(|error| Failure::work(format!("cannot write {}: {error}", node.config.display())))
}

/// Says which address is taken, and by which flag it can be changed, before anything is started.
fn check_free(node: &PlannedNode) -> Result<(), Failure> {
    let tcp = |address| TcpListener::bind(address).map(drop);
    let checks = [
        (UdpSocket::bind(node.listen).map(drop), node.listen, "--port"),
        (tcp(node.cql), node.cql, "--cql-port"),
        (tcp(node.admin), node.admin, "--admin-port"),
    ];
    for (outcome, address, flag) in checks {
        outcome.map_err(|error| Failure::work(taken(address, flag, &error)))?;
    }
    Ok(())
}

fn taken(address: SocketAddr, flag: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another process (another demo?); stop it or choose another port with {flag}"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("this user may not listen on {address}; choose a port above 1023 with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "{} is not an address of this machine; add it to the loopback interface, or start fewer nodes with --nodes",
            address.ip()
        ),
        _ => format!("cannot listen on {address}: {error}; choose another port with {flag}"),
    }
}
