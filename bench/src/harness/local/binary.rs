//! Which server a run was made with.

use std::{
    fs::File,
    io::Read,
    path::Path,
    process::{Command, Stdio},
};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::Error;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// What a server's binary says of itself, and a hash of its bytes: two builds of one version are told apart.
///
/// # Errors
/// It can't be read, or does not run.
pub fn described(binary: &Path) -> Result<String, Error> {
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(Error::file(binary))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let mut file = File::open(binary).map_err(Error::file(binary))?;
    let mut hash = Xxh3::new();
    let mut piece = vec![0; PIECE];
    loop {
        let size = file.read(&mut piece).map_err(Error::file(binary))?;
        if size == 0 {
            break;
        }
        hash.update(&piece[..size]);
    }
    let version = version.lines().next().unwrap_or("unknown").trim();
    Ok(format!("{version} ({:016x})", hash.digest()))
}

/// A hash of text.
pub fn hash_of(text: &str) -> String {
    format!("{:016x}", xxh3_64(text.as_bytes()))
}
