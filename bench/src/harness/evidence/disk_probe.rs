//! How slow the disk itself is, beside the servers, and how fast without them.
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

use crate::{error::Error, scratch::Scratch};

/// Bytes that are written and synced at a time.
const BYTES: usize = 4096;

/// How long it rests in between: twenty syncs a second disturb nobody.
const REST: Duration = Duration::from_millis(50);

/// The file's name.
const NAME: &str = "disk-probe";

/// How long the disk's rate is measured.
const RATE_OVER: Duration = Duration::from_secs(2);

/// Places in the file that are written in turn, as a log is: 16 MiB.
const PLACES: u64 = 4096;

/// Writes the same few kilobytes of a file of its own again and again and syncs them.
#[derive(Debug)]
pub struct DiskProbe {
    file: File,
    /// Where that is: it goes away with the probe.
    _dir: Scratch,
}

impl DiskProbe {
    /// Of the disk that `directory` is on. The file lies in a directory of its own beside it: what lies in `directory` is the
    /// servers', and counts for what they take.
    ///
    /// # Errors
    /// The file can't be made or written.
    pub fn new(directory: &Path) -> Result<Self, Error> {
        let dir = Scratch::new(directory.parent())?;
        let file = File::create(dir.path().join(NAME))?;
        // Written before: a sync of what is new would be one of the file system's journal too.
        for place in 0..PLACES {
            file.write_all_at(&[0; BYTES], place * BYTES as u64)?;
        }
        file.sync_all()?;
        Ok(Self { file, _dir: dir })
    }

    /// How many syncs a second the disk makes, back to back, each of four kilobytes behind those of the last one, in space that
    /// was written before: as often as one writer that waits for each can make something durable.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn rate(&self) -> Result<f64, Error> {
        self.rate_over(RATE_OVER)
    }

    fn rate_over(&self, time: Duration) -> Result<f64, Error> {
        let began = Instant::now();
        let mut syncs = 0_u64;
        while syncs == 0 || began.elapsed() < time {
            self.sync(syncs % PLACES)?;
            syncs += 1;
        }
        Ok(syncs as f64 / began.elapsed().as_secs_f64().max(1e-9))
    }

    /// Tells, for every sync, the second of the run in which it ended and how long it took. Ends when `ended` is dropped, or
    /// when the disk fails.
    pub fn follow(&self, start: Instant, ended: &Receiver<()>, told: &Sender<(u64, Duration)>) {
        while matches!(ended.recv_timeout(REST), Err(RecvTimeoutError::Timeout)) {
            let began = Instant::now();
            if self.sync(0).is_err() || told.send((start.elapsed().as_secs(), began.elapsed())).is_err() {
                return;
            }
        }
    }

    fn sync(&self, place: u64) -> std::io::Result<()> {
        self.file.write_all_at(&[0x5A; BYTES], place * BYTES as u64)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::process::size_of_tree, *};

    #[test]
    fn the_rate_is_that_of_its_syncs() {
        let dir = tempfile::tempdir().expect("a directory");
        let probe = DiskProbe::new(&dir.path().join("servers")).expect("it can be written");
        let began = Instant::now();
        let rate = probe
            .rate_over(Duration::from_millis(50))
            .expect("it can be written");
        let most = began.elapsed().as_secs_f64();
        let beside = std::fs::read_dir(dir.path()).expect("it is there").next();
        let file = beside
            .expect("one directory")
            .expect("it can be read")
            .path()
            .join(NAME);
        let written = std::fs::read(file).expect("it is there");
        let synced = written.chunks(BYTES).filter(|place| place[0] == 0x5A).count();
        assert_eq!(written.len() as u64, PLACES * BYTES as u64, "it does not grow");
        assert!(synced > 0 && rate > 0.0);
        assert!(
            synced as u64 == PLACES || rate * most >= synced as f64,
            "{rate} for {synced} in {most} s"
        );
    }
    #[test]
    fn its_file_is_none_of_the_servers() {
        let dir = tempfile::tempdir().expect("a directory");
        let servers = dir.path().join("servers");
        std::fs::create_dir(&servers).expect("it can be made");
        let probe = DiskProbe::new(&servers).expect("it can be written");
        assert_eq!(size_of_tree(&servers), 0);
        assert_ne!(size_of_tree(dir.path()), 0, "it is beside them");
        drop(probe);
        let left = std::fs::read_dir(dir.path()).expect("it is there").count();
        assert_eq!(left, 1, "it goes away");
    }
}
