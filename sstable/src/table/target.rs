//! What a point read looks for.

use starling_model::DecoratedKey;

use super::{
    bodies::Bodies,
    filter,
    key::{self, Kind},
    stripe::Separator,
};

/// The key of one entry, with what is derived from it, made once for many tables.
///
/// It keeps its memory, also that in which blocks are decompressed, from one use to the next.
#[derive(Debug, Clone, Default)]
pub struct Target {
    key: Vec<u8>,
    prefix: usize,
    hash: u64,
    /// Where bodies are decompressed.
    bodies: Bodies,
}

impl Target {
    /// An entry of a partition.
    pub fn new(key: &DecoratedKey, kind: Kind, clustering: &[u8]) -> Self {
        let mut target = Self::default();
        target.set(key, kind, clustering);
        target
    }

    /// Looks for another entry from now on.
    pub fn set(&mut self, key: &DecoratedKey, kind: Kind, clustering: &[u8]) {
        self.key.clear();
        key::put_prefix(&mut self.key, key);
        self.prefix = self.key.len();
        self.hash = filter::hash(&self.key);
        self.set_entry(kind, clustering);
    }

    /// Looks for another entry of the same partition from now on.
    pub fn set_entry(&mut self, kind: Kind, clustering: &[u8]) {
        self.key.truncate(self.prefix);
        self.key.push(kind as u8);
        self.key.extend_from_slice(clustering);
    }

    /// The whole key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What all entries of the partition begin with.
    pub fn prefix(&self) -> &[u8] {
        &self.key[..self.prefix]
    }

    /// What the filters know of the partition.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The key as the index compares it.
    pub(super) fn separator(&self) -> Separator<'_> {
        Separator::new(&self.key)
    }

    /// The key, and memory for bodies.
    pub(super) fn parts(&mut self) -> (&[u8], &mut Bodies) {
        (&self.key, &mut self.bodies)
    }
}
