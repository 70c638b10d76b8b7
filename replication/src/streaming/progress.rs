//! How far a node is with what it fetches: durably, so that a restart goes on, and for operators.

use std::{path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use starling_model::{NodeId, TableId, TokenSet};
use starling_sstable::fs::Fs;

use super::{plan::Strategies, receive::Part};
use crate::{durable_file, message::decode_value, start_error::StartError};

const PATH: &str = "node/fetched";
const MAGIC: [u8; 8] = *b"STRLFTCH";

/// What of one change is here, durably.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fetched {
    /// Which change.
    change: u128,
    /// Of which table, whose copy, which tokens.
    parts: Vec<(TableId, NodeId, TokenSet)>,
}

impl Fetched {
    /// What an earlier run noted of a change; nothing if it was another one's.
    pub(super) fn load(fs: &dyn Fs, change: u128) -> Result<Self, StartError> {
        let none = Self {
            change,
            parts: Vec::new(),
        };
        let Some(content) = durable_file::read(fs, Path::new(PATH), MAGIC)? else {
            return Ok(none);
        };
        let stored: Self = decode_value(&content).map_err(|problem| StartError::Damaged {
            file: PATH.to_owned(),
            problem,
        })?;
        Ok(if stored.change == change { stored } else { none })
    }

    /// What is here of a node's copy of a table.
    pub(super) fn of(&self, table: TableId, from: NodeId) -> TokenSet {
        let part = self.parts.iter().find(|part| (part.0, part.1) == (table, from));
        part.map(|part| part.2.clone()).unwrap_or_default()
    }

    /// Notes that some more is.
    pub(super) fn add(&mut self, table: TableId, from: NodeId, tokens: &TokenSet) {
        let part = self
            .parts
            .iter_mut()
            .find(|part| (part.0, part.1) == (table, from));
        match part {
            Some(part) => part.2 = part.2.union(tokens),
            None => self.parts.push((table, from, tokens.clone())),
        }
    }

    /// Makes it durable.
    pub(super) fn store(&self, fs: &dyn Fs) -> Result<(), String> {
        let content = rmp_serde::to_vec(self).map_err(|error| error.to_string())?;
        durable_file::replace(fs, Path::new(PATH), MAGIC, &content).map_err(|error| error.to_string())
    }
}

/// How far it is, while it is under way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_under_way: bool,
    began: Duration,
    /// When it last got on, or began to wait.
    now: Duration,
    bytes_total: u64,
    bytes_done: u64,
    parts_total: u64,
    parts_done: u64,
    waits_for: Option<String>,
}

/// What a node moves, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Whether it fetches data of ranges that it gains.
    pub fetching: bool,
    /// Bytes to be fetched in this run, about.
    pub bytes_total: u64,
    /// Bytes of them that came.
    pub bytes_done: u64,
    /// Parts of tables that are to be fetched.
    pub parts_total: u64,
    /// Parts of them that are here, durably.
    pub parts_done: u64,
    /// For how long it fetches, in seconds.
    pub seconds: u64,
    /// What it waits for, if it does not get on.
    pub waits_for: Option<String>,
    /// Streams that other nodes have open here.
    pub serving: usize,
    /// Tables of which ranges are still to be forgotten.
    pub cleaning: usize,
}

impl Progress {
    /// A run that begins.
    pub(super) fn begun(now: Duration) -> Self {
        Self {
            is_under_way: true,
            began: now,
            now,
            ..Self::default()
        }
    }

    /// What is to be fetched is known.
    pub(super) fn plan(&mut self, parts: &[(Strategies, Part)]) {
        self.parts_total = parts.len() as u64;
        self.bytes_total = parts.iter().map(|(_, part)| part.bytes).sum();
    }

    pub(super) fn came(&mut self, bytes: u64, now: Duration) {
        self.bytes_done += bytes;
        self.now = now;
    }

    pub(super) fn part_done(&mut self, now: Duration) {
        self.parts_done += 1;
        self.wait_for(None, now);
    }

    pub(super) fn wait_for(&mut self, what: Option<String>, now: Duration) {
        self.waits_for = what;
        self.now = now;
    }

    /// The run is over.
    pub(super) fn end(&mut self, now: Duration) {
        self.is_under_way = false;
        self.wait_for(None, now);
    }

    pub(super) fn status(&self) -> StreamStatus {
        StreamStatus {
            fetching: self.is_under_way,
            bytes_total: self.bytes_total.max(self.bytes_done),
            bytes_done: self.bytes_done,
            parts_total: self.parts_total,
            parts_done: self.parts_done,
            seconds: self.now.saturating_sub(self.began).as_secs(),
            waits_for: self.waits_for.clone(),
            serving: 0,
            cleaning: 0,
        }
    }
}
