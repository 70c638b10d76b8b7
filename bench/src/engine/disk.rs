//! What the disk itself does while a store works on it: the yardstick for the worst write.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Appends four kilobytes to a file of its own and syncs it, a few times a second.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Duration>>>,
}

impl Probe {
    /// Starts to ask the disk that `file` is on.
    pub fn start(file: &Path) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut file = File::create(file)?;
        let thread = thread::Builder::new().name("probe".to_owned()).spawn(move || {
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
                let start = Instant::now();
                file.write_all(&[0x5A; 4096])?;
                file.sync_data()?;
                worst = worst.max(start.elapsed());
            }
            Ok(worst)
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// The worst sync of all.
    pub fn stop(mut self) -> io::Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(worst)) => worst,
            _ => Err(io::Error::other("the probe of the disk failed")),
        }
    }
}
