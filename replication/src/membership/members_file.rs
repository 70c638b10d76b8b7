//! Storing the members, away from the tasks that serve.
//!
//! Contract:
//! 1. One write at a time; each stores the newest list, so that an older one never overtakes it.
//! 2. What the disk refuses is tried again in every round of gossip, and seen in the node's status, its metrics
//!    and, once, in its log. The ring that requests see does not wait for it: a node whose disk fails still has
//!    to know who is alive.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Membership, known, known::Known};
use crate::{env::Env, status::Counters};

/// What is in the file, and what should be.
pub(super) struct MembersFile(Mutex<State>);

struct State {
    /// What the last write left; `None` after one that failed.
    stored: Option<Vec<Known>>,
    wanted: Vec<Known>,
    /// A task is writing.
    writing: bool,
    /// The last write failed.
    failed: bool,
}

impl MembersFile {
    /// The file as an earlier run left it.
    pub(super) fn new(stored: Vec<Known>) -> Self {
        Self(Mutex::new(State {
            wanted: stored.clone(),
            stored: Some(stored),
            writing: false,
            failed: false,
        }))
    }

    /// The list that the file should have from now on.
    pub(super) fn want(&self, members: Vec<Known>) {
        self.0.lock().wanted = members;
    }

    /// Whether a restart would find the list.
    pub(super) fn is_stored(&self) -> bool {
        self.0.lock().is_stored()
    }

    /// The list to write, if it is not stored and nobody writes. The caller writes it then.
    fn begin(&self) -> Option<Vec<Known>> {
        let mut state = self.0.lock();
        if state.writing || state.is_stored() {
            return None;
        }
        state.writing = true;
        Some(state.wanted.clone())
    }

    /// The outcome of a write.
    fn end(&self, members: Vec<Known>, outcome: Result<(), impl std::fmt::Display>, counters: &Counters) {
        let mut state = self.0.lock();
        state.writing = false;
        let failed_before = std::mem::replace(&mut state.failed, outcome.is_err());
        match outcome {
            Ok(()) => {
                state.stored = Some(members);
                if failed_before {
                    ::tracing::info!("the members are stored again");
                }
            }
            Err(error) => {
                state.stored = None;
                counters.store_failures.one();
                if !failed_before {
                    ::tracing::error!(
                        %error,
                        "the members can't be stored: should this node restart now, it would not know them all; \
                         trying again"
                    );
                }
            }
        }
    }
}

impl State {
    fn is_stored(&self) -> bool {
        self.stored.as_ref() == Some(&self.wanted)
    }
}

impl<E: Env> Membership<E> {
    /// Begins to store the members, unless they are stored or being stored.
    pub(super) fn store_members(&self) {
        let Some(mut members) = self.file.begin() else {
            return;
        };
        let (env, file, counters) = (
            self.env.clone(),
            Arc::clone(&self.file),
            Arc::clone(&self.counters),
        );
        self.env.spawn(async move {
            loop {
                let fs = Arc::clone(env.fs());
                let (written, outcome) = env
                    .blocking(move || {
                        let outcome = known::save(&*fs, &members);
                        (members, outcome)
                    })
                    .await;
                let failed = outcome.is_err();
                file.end(written, outcome, &counters);
                if failed {
                    // The next round of gossip is soon enough.
                    return;
                }
                let Some(newer) = file.begin() else { return };
                members = newer;
            }
        });
    }
}
