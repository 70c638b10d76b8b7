//! The ring state that this node knows, and its file.
//!
//! Contract: what is new is seen by requests at once; it is durable before anybody is told that this node knows it.

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use starling_model::Timestamp;
use starling_sstable::fs::Fs;

use super::RingState;
use crate::{durable_file, start_error::StartError};

const PATH: &str = "node/ring";
const MAGIC: [u8; 8] = *b"STRLRING";

/// The ring state of this node.
#[derive(Debug)]
pub(crate) struct Book(Mutex<Arc<RingState>>);

impl Book {
    /// A book that begins with this state.
    pub(crate) fn new(state: RingState) -> Self {
        Self(Mutex::new(Arc::new(state)))
    }

    /// The state as an earlier run stored it; empty if there was none.
    pub(crate) fn stored(fs: &dyn Fs) -> Result<RingState, StartError> {
        let Some(content) = durable_file::read(fs, Path::new(PATH), MAGIC)? else {
            return Ok(RingState::default());
        };
        RingState::decode(&content).map_err(|problem| StartError::Damaged {
            file: PATH.to_owned(),
            problem,
        })
    }

    /// Makes a state durable; blocks.
    pub(crate) fn save(fs: &dyn Fs, state: &RingState) -> Result<(), StartError> {
        durable_file::replace(fs, Path::new(PATH), MAGIC, &state.encode())
            .map_err(|error| durable_file::disk(Path::new(PATH), &error))
    }

    /// The present state.
    pub(crate) fn load(&self) -> Arc<RingState> {
        Arc::clone(&self.0.lock())
    }

    /// Puts a state in the place of the one that it was made from; false, and nothing changed, if the present one
    /// is another by now.
    pub(crate) fn replace(&self, from: &RingState, to: RingState) -> bool {
        let mut state = self.0.lock();
        let same = **state == *from;
        if same {
            *state = Arc::new(to);
        }
        same
    }

    /// Learns what another state knows; true if that is something new. `oldest_table` is when the oldest table
    /// of users was made: founders of other clusters are not let in after it.
    pub(crate) fn merge(&self, other: &RingState, oldest_table: Option<Timestamp>) -> bool {
        let mut state = self.0.lock();
        let mut merged = RingState::clone(&state);
        let new = merged.merge(other, |founded| {
            oldest_table.is_none_or(|oldest| founded < oldest)
        });
        if new {
            *state = Arc::new(merged);
        }
        new
    }
}
