//! Threads that load pages of tables from the disk, for reads that are parked meanwhile.

use std::{io, thread::JoinHandle};

use crossbeam::channel::{Receiver, Sender, bounded};
use starling_sstable::Cold;

use super::{
    request::{Read, Request},
    thread,
};

/// Reads that may be parked, of all shards together. With more, reads of cold data are refused; a disk that is so far
/// behind would not get to them in time.
const MOST_WAITING: usize = 1024;

/// A read, what it needs, and where it goes then.
struct Parked {
    cold: Cold,
    read: Box<Read>,
    owner: Sender<Request>,
}

/// Where shards park reads.
#[derive(Clone)]
pub(super) struct Readers {
    queue: Sender<Parked>,
}

impl Readers {
    /// Starts the threads; they end when the last clone is dropped.
    pub(super) fn start(count: usize, threads: &mut Vec<JoinHandle<()>>) -> io::Result<Self> {
        let (queue, parked) = bounded(MOST_WAITING);
        for n in 0..count {
            let parked = parked.clone();
            threads.push(thread::vital(format!("reader-{n}"), move || run(&parked))?);
        }
        Ok(Self { queue })
    }

    /// Parks a read until its pages are loaded: it comes back to `owner` then. Given back if too many wait.
    pub(super) fn park(&self, cold: Cold, read: Box<Read>, owner: Sender<Request>) -> Result<(), Box<Read>> {
        let parked = Parked { cold, read, owner };
        self.queue
            .try_send(parked)
            .map_err(|refused| refused.into_inner().read)
    }
}

fn run(parked: &Receiver<Parked>) {
    for Parked { cold, read, owner } in parked {
        // What nobody waits for any more is not worth a disk's time.
        if read.answer.is_closed() {
            continue;
        }
        cold.load();
        // A shard never waits for this thread, so it gets to its queue; one that has stopped has dropped it.
        let _ = owner.send(Request::Read(read));
    }
}
