//! How slow the disk itself is, beside the servers.
//!
//! A write that waits for the disk can't be faster than the disk. What a small sync takes that has nothing to do with the
//! servers tells the disk's part in a slow second from theirs.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use crate::error::Error;

/// Bytes that are written and synced at a time.
const BYTES: usize = 4096;

/// How long it rests in between: twenty syncs a second disturb nobody.
const REST: Duration = Duration::from_millis(50);

/// The file's name in the directory that is asked about.
const NAME: &str = "disk-probe";

/// Writes the same few kilobytes of a file of its own again and again and syncs them.
#[derive(Debug)]
pub struct DiskProbe {
    file: File,
}

impl DiskProbe {
    /// Of the disk that `directory` is on.
    ///
    /// # Errors
    /// The file can't be made or written.
    pub fn new(directory: &Path) -> Result<Self, Error> {
        let file = File::create(directory.join(NAME))?;
        file.write_all_at(&[0x5A; BYTES], 0)?;
        file.sync_all()?;
        Ok(Self { file })
    }

    /// Tells, for every sync, the second of the run in which it ended and how long it took. Ends when `ended` is dropped, or
    /// when the disk fails.
    pub fn follow(&self, start: Instant, ended: &Receiver<()>, told: &Sender<(u64, Duration)>) {
        while matches!(ended.recv_timeout(REST), Err(RecvTimeoutError::Timeout)) {
            let began = Instant::now();
            if self.sync().is_err() || told.send((start.elapsed().as_secs(), began.elapsed())).is_err() {
                return;
            }
        }
    }

    fn sync(&self) -> std::io::Result<()> {
        self.file.write_all_at(&[0x5A; BYTES], 0)?;
        self.file.sync_data()
    }
}
