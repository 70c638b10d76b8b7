//! Reading the admin pages of a node: enough HTTP for GET, and for POST with an answer line by line, for the
//! commands and the demo.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::de::DeserializeOwned;

/// How long a connection may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a page may take: for some, all nodes are asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest page that is read, in bytes.
const MAX_PAGE_BYTES: u64 = 64 << 20;

/// A page's status code and body.
pub fn get(admin: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    ask(admin, "GET", path, PATIENCE)
}

/// Has something done. What is asked is in the path.
pub fn post(admin: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    post_patiently(admin, path, PATIENCE)
}

/// The same for what may take as long as `patience`.
pub fn post_patiently(admin: SocketAddr, path: &str, patience: Duration) -> io::Result<(u16, String)> {
    ask(admin, "POST", path, patience)
}

fn ask(admin: SocketAddr, method: &str, path: &str, patience: Duration) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer is not chunked, and the end of the connection is its end.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(MAX_PAGE_BYTES).read_to_string(&mut answer)?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    match (code, answer.split_once("\r\n\r\n")) {
        (Some(code), Some((_, body))) => Ok((code, body.to_owned())),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is not HTTP",
        )),
    }
}

/// A page that is JSON.
pub fn get_json<T: DeserializeOwned>(admin: SocketAddr, path: &str) -> io::Result<T> {
    let (code, body) = get(admin, path)?;
    if code != 200 {
        return Err(io::Error::other(format!("the answer has status {code}")));
    }
    serde_json::from_str(&body).map_err(io::Error::from)
}

/// Posts nothing to a page and calls `line` with each line of its answer as it comes. The answer's status code, and
/// its body if that is not 200.
///
/// The answer may take as long as it wants; between two lines at most `patience`.
pub fn post_lines(
    admin: SocketAddr,
    path: &str,
    patience: Duration,
    mut line: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = BufReader::new(stream.take(MAX_PAGE_BYTES));
    let mut head = String::new();
    answer.read_line(&mut head)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))?;
    while !head.trim_end().is_empty() {
        head.clear();
        answer.read_line(&mut head)?;
    }
    if code != 200 {
        let mut body = String::new();
        answer.read_to_string(&mut body)?;
        return Ok((code, body));
    }
    for text in answer.lines() {
        line(&text?)?;
    }
    Ok((code, String::new()))
}
