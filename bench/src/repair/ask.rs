//! The nodes' admin pages, over plain HTTP.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// The longest silence that is waited for.
const PATIENCE: Duration = Duration::from_hours(1);

/// A repair's last word.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Done {
    pub(super) ranges: u64,
    pub(super) rows: u64,
    pub(super) differing: u64,
    pub(super) written: u64,
    pub(super) incomplete: u64,
    pub(super) finished: bool,
}

/// Repairs a keyspace. A repair that compared less than all is an error.
pub(super) fn repair(admin: SocketAddr, keyspace: &str) -> Result<Done, Error> {
    let mut answer = request(admin, &format!("POST /repair?keyspace={keyspace}"))?;
    let mut done = Done::default();
    let mut line = String::new();
    while answer.read_line(&mut line)? > 0 {
        done = serde_json::from_str(&line).map_err(|error| Error::Protocol(error.to_string()))?;
        line.clear();
    }
    if done.finished && done.incomplete == 0 {
        return Ok(done);
    }
    Err(Error::Server(format!("a repair was not whole: {done:?}")))
}

/// Whether a node serves and believes of each node that it is up or not.
pub(super) fn sees(admin: SocketAddr, nodes: impl Iterator<Item = (SocketAddr, bool)>) -> bool {
    let Ok(status) = status(admin) else { return false };
    let members = status["members"].as_array().cloned().unwrap_or_default();
    let sees = |cql: SocketAddr, up: bool| {
        let member = members
            .iter()
            .find(|member| member["cql_address"] == cql.to_string());
        member.is_some_and(|member| member["up"] == up && member["joined"] == true)
    };
    status["ready"] == true && nodes.into_iter().all(|(cql, up)| sees(cql, up))
}

/// The leaves of a node's trees, and the bytes that they take.
pub(super) fn tree(admin: SocketAddr) -> Result<(u64, u64), Error> {
    let status = status(admin)?;
    let figure = |name: &str| status[name].as_u64().unwrap_or(0);
    Ok((figure("tree_leaves"), figure("tree_bytes")))
}

/// Bytes in a node's memtables.
pub(super) fn memtables(admin: SocketAddr) -> Result<u64, Error> {
    let status = page(admin)?;
    let shards = status["shards"].as_array().into_iter().flatten();
    Ok(shards.filter_map(|shard| shard["memtable_bytes"].as_u64()).sum())
}

fn status(admin: SocketAddr) -> Result<Value, Error> {
    let status = page(admin)?;
    Ok(match status.get("node") {
        Some(node) => node.clone(),
        None => status,
    })
}

fn page(admin: SocketAddr) -> Result<Value, Error> {
    let mut body = String::new();
    request(admin, "GET /status")?.read_to_string(&mut body)?;
    serde_json::from_str(&body).map_err(|error| Error::Protocol(error.to_string()))
}

/// Sends a request and reads its answer up to the body.
fn request(admin: SocketAddr, line: &str) -> Result<impl BufRead + use<>, Error> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{line} HTTP/1.0\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    let mut head = String::new();
    answer.read_line(&mut head)?;
    if head.split(' ').nth(1) != Some("200") {
        answer.read_to_string(&mut head)?;
        return Err(Error::Server(head));
    }
    while !head.trim_end().is_empty() {
        head.clear();
        answer.read_line(&mut head)?;
    }
    Ok(answer)
}

/// Bytes that went over the loopback since it is there.
pub(super) fn loopback_bytes() -> u64 {
    let devices = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = devices.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    let received = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    received.unwrap_or(0)
}
