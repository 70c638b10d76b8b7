//! Reading the admin pages of a node: enough HTTP for GET, for the commands and the demo.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::de::DeserializeOwned;

/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest page that is read, in bytes.
const MAX_PAGE_BYTES: u64 = 64 << 20;

/// A page's status code and body.
pub fn get(admin: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer is not chunked, and the end of the connection is its end.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n")?;
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
