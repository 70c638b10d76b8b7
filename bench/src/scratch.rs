//! Directories for what is measured. They go away with it, also when the program is interrupted.
//!
//! A benchmark writes gigabytes, and Ctrl-C is the usual end of one that takes too long. Its servers are not in the
//! terminal's process group, so they hear of it from here.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use tempfile::TempDir;

/// How long servers that others started (the demo's nodes) may go on writing to a directory that is being removed.
const LINGER: Duration = Duration::from_secs(10);

/// How often it is tried.
const POLL: Duration = Duration::from_millis(50);

/// Those that are there now.
static PRESENT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

static WATCH: Once = Once::new();

/// A directory of its own, empty at first. It is removed when this is dropped, and when the program gets SIGINT, SIGTERM or
/// SIGHUP: then the program's children are killed first, and it ends with the status 128 and the signal's number.
#[derive(Debug)]
pub struct Scratch(Option<TempDir>);

impl Scratch {
    /// Makes one within `parent`, or where the system has its temporary files.
    ///
    /// # Errors
    /// It can't be made, or signals can't be listened to.
    pub fn new(parent: Option<&Path>) -> io::Result<Self> {
        let mut watched = Ok(());
        WATCH.call_once(|| watched = watch());
        watched?;
        // Held, so that an interruption sees all that were made.
        let mut present = present();
        let dir = match parent {
            Some(parent) => TempDir::new_in(parent)?,
            None => TempDir::new()?,
        };
        present.insert(dir.path().to_owned());
        Ok(Self(Some(dir)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take() {
            let path = dir.path().to_owned();
            drop(dir);
            present().remove(&path);
        }
    }
}

fn present() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens to signals from now on.
fn watch() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Nothing is made any more from here on.
                clear(&present());
                process::exit(128 + signal);
            }
        })?;
    Ok(())
}

fn clear(dirs: &BTreeSet<PathBuf>) {
    for child in children() {
        let _gone = kill_process(child, Signal::KILL);
    }
    // Until there is none left; other threads may wait for some of them too.
    while wait(WaitOptions::empty()).is_ok() {}
    let deadline = Instant::now() + LINGER;
    for dir in dirs {
        while matches!(fs::remove_dir_all(dir), Err(error) if error.kind() != io::ErrorKind::NotFound)
            && Instant::now() < deadline
        {
            thread::sleep(POLL);
        }
        if dir.exists() {
            eprintln!("interrupted; {} could not be removed", dir.display());
        }
    }
}

/// The program's child processes, whichever of its threads started them.
fn children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(str::parse).collect::<Vec<_>>())
        .filter_map(|id| Pid::from_raw(id.ok()?))
        .collect()
}
