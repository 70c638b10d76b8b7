//! Exports that take as long as a test wants.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    task::{Poll, Waker},
};

use parking_lot::Mutex;
use starling_model::TokenSet;
use starling_sstable::{ExportOptions, fs::Fs};

/// The exports of a store. They end at once unless they are held.
#[derive(Clone, Default)]
pub(crate) struct HeldExports(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    held: bool,
    waiting: Vec<Waker>,
    /// Of which tokens they are that were begun.
    begun: Vec<TokenSet>,
    ended: usize,
}

/// Writes the one file of an export, durably; where it is.
pub(super) fn write(fs: &dyn Fs, dir: &Path, content: &[u8]) -> PathBuf {
    let path = dir.join("all");
    fs.create_dir_all(dir).expect("a directory is made");
    let mut file = fs.create(&path).expect("a file is made");
    file.append(content).expect("it is written");
    file.sync().expect("it is durable");
    path
}

/// What fails leaves some of its files: as of several shards, of which others made theirs.
pub(super) fn write_some(fs: &dyn Fs, dir: &Path) {
    fs.create_dir_all(dir).expect("a directory is made");
    fs.create(&dir.join("some")).expect("a file is made");
}

impl HeldExports {
    /// From now on they take until they are no longer held.
    pub(crate) fn hold(&self, held: bool) {
        self.0.lock().held = held;
        self.step();
    }

    /// Those that are held look whether they are given up.
    pub(crate) fn step(&self) {
        let waiting = std::mem::take(&mut self.0.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How many were begun, and how many have ended.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.begun.len(), state.ended)
    }

    /// Of which tokens they are that were begun, in that order.
    pub(crate) fn begun(&self) -> Vec<TokenSet> {
        self.0.lock().begun.clone()
    }

    /// Begins one, and waits while they are held; `false` if it is given up by then.
    pub(super) async fn wait(&self, tokens: &TokenSet, options: &ExportOptions) -> bool {
        self.0.lock().begun.push(tokens.clone());
        std::future::poll_fn(|context| {
            let mut state = self.0.lock();
            let given_up = options.given_up.load(Ordering::Relaxed);
            if given_up || !state.held {
                return Poll::Ready(!given_up);
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// One has ended.
    pub(super) fn end(&self) {
        self.0.lock().ended += 1;
    }
}
