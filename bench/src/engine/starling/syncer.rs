//! The periodic sync of a log.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};
use starling_sstable::Log;

use super::super::session::PERIOD;

/// Syncs a log every [`PERIOD`] until it is dropped.
pub(super) struct Syncer {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn start(log: Arc<Log>) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || {
            while stopped.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                // A log that can't be synced refuses the next write, which says why.
                let _ = log.sync();
            }
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
