//! What a node says of itself on its admin page.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a node is ready and sees `members` members that are up. A node that does not answer is not.
pub(super) fn serves(admin: SocketAddr, members: usize) -> bool {
    let Some(status) = fetch(admin) else {
        return false;
    };
    let seen = status.get("members").and_then(Value::as_array);
    is(&status, "ready")
        && is(&status, "schema_agreed")
        && seen.is_some_and(|seen| {
            let up = seen
                .iter()
                .filter(|member| is(member, "up") && is(member, "joined"));
            up.count() >= members
        })
}

/// Whether a node is in the ring and serves clients, whoever else is away. A node that does not answer is not.
pub(super) fn is_ready(admin: SocketAddr) -> bool {
    fetch(admin).is_some_and(|status| is(&status, "ready"))
}

fn is(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// How many bytes of hints a node keeps for others; `None` if it does not answer.
pub(super) fn hint_bytes(admin: SocketAddr) -> Option<u64> {
    let status = fetch(admin)?;
    let members = status.get("members")?.as_array()?;
    let kept = members
        .iter()
        .filter_map(|member| member.get("hint_bytes")?.as_u64());
    Some(kept.sum())
}

/// Its metrics, as Prometheus reads them; `None` if it does not answer.
pub fn metrics(admin: SocketAddr) -> Option<String> {
    get(admin, "/metrics")
}

fn fetch(admin: SocketAddr) -> Option<Value> {
    serde_json::from_str(&get(admin, "/status")?).ok()
}

fn get(admin: SocketAddr, page: &str) -> Option<String> {
    let mut socket = TcpStream::connect_timeout(&admin, PATIENCE).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    // Version 1.0: the body ends with the connection.
    write!(socket, "GET {page} HTTP/1.0\r\nHost: {admin}\r\n\r\n").ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    if !head.split(' ').nth(1)?.starts_with('2') {
        return None;
    }
    Some(body.to_owned())
}
