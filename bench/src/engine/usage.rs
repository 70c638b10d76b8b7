//! What this process spent: CPU, memory, bytes written.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Counts the CPU time of all threads, user and system.
#[derive(Debug, Clone, Copy)]
pub struct Cpu(Duration);

impl Cpu {
    /// Starts to count.
    pub fn start() -> Self {
        Self(spent())
    }

    /// What was spent since the start.
    pub fn spent(self) -> Duration {
        spent().saturating_sub(self.0)
    }
}

/// The CPU time of the process so far.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What the process handed to `write` and its kin, in bytes, whether or not it reached the disk.
pub fn written() -> io::Result<u64> {
    Ok(field(&fs::read_to_string("/proc/self/io")?, "wchar:"))
}

/// Resident memory, in bytes.
#[derive(Debug, Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// Of the process's own: what only swapping could take away.
    pub anonymous: u64,
    /// Of mapped files: cache that the system shares and takes away at will.
    pub file: u64,
}

/// The resident memory now.
pub fn memory() -> io::Result<Memory> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(Memory {
        anonymous: field(&status, "RssAnon:") * 1024,
        file: field(&status, "RssFile:") * 1024,
    })
}

/// The number after a name in a file of `/proc`; 0 if there is none.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// What the files below a directory take of the disk, in bytes.
pub fn on_disk(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // A file may go while the directory is read.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += if metadata.is_dir() {
            on_disk(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}

/// Watches the peak of the process's own memory.
pub struct Watch {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts to watch.
    pub fn start() -> io::Result<Self> {
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&peak));
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let now = memory().unwrap_or_default();
                seen.fetch_max(now.anonymous, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(50));
            }
        })?;
        Ok(Self {
            stop,
            peak,
            thread: Some(thread),
        })
    }

    /// The peak since the start or the last call, in bytes.
    pub fn take(&self) -> u64 {
        self.peak.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
