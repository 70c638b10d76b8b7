//! The content of files.

use std::{collections::BTreeMap, io};

use bytes::Bytes;

use crate::random::Random;

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64);

/// All files, named or not.
#[derive(Default)]
pub(super) struct Files {
    files: BTreeMap<FileId, File>,
    next: u64,
}

impl Files {
    pub(super) fn add(&mut self) -> FileId {
        let id = FileId(self.next);
        self.next += 1;
        self.files.insert(id, File::default());
        id
    }

    pub(super) fn get(&mut self, id: FileId) -> io::Result<&mut File> {
        self.files
            .get_mut(&id)
            .ok_or_else(|| io::Error::other("simulated: a name without a file"))
    }

    /// The file's length in bytes.
    pub(super) fn size(&self, id: FileId) -> u64 {
        self.files.get(&id).map_or(0, File::len)
    }

    /// Appends, unless the file has lost its last name: then nobody can ever read it.
    pub(super) fn append(&mut self, id: FileId, bytes: &[u8]) {
        if let Some(file) = self.files.get_mut(&id) {
            file.append(bytes);
        }
    }

    /// By how much the file would grow if it got so many bytes more.
    pub(super) fn growth(&self, id: FileId, bytes: u64) -> u64 {
        let file = self.files.get(&id);
        file.map_or(bytes, |file| {
            (file.written as u64 + bytes).saturating_sub(file.len())
        })
    }

    /// Sets room aside for so many bytes in all.
    pub(super) fn reserve(&mut self, id: FileId, bytes: u64) {
        if let Some(file) = self.files.get_mut(&id) {
            file.reserved = file.reserved.max(bytes);
        }
    }

    /// Makes the content durable, unless the file has lost its last name.
    pub(super) fn sync(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.sync();
        }
    }

    /// Forgets files that have no name any more.
    pub(super) fn retain(&mut self, keep: impl Fn(FileId) -> bool) {
        self.files.retain(|id, _| keep(*id));
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.files.values_mut()
    }
}

/// One file: bytes, of which a prefix is durable.
#[derive(Default)]
pub(super) struct File {
    bytes: Vec<u8>,
    /// How many bytes are durable.
    synced: usize,
    /// Where each append since then ends.
    appends: Vec<usize>,
    /// Where the last append ended: not at the end, where the file is written anew in place of what it holds.
    written: usize,
    /// What is durable from `synced` on, in place of what was written there.
    old: Vec<u8>,
    /// Bytes that were set aside for it in all.
    reserved: u64,
    /// What readers share; absent after a change.
    shared: Option<Bytes>,
}

impl File {
    fn len(&self) -> u64 {
        self.reserved.max(self.bytes.len() as u64)
    }

    /// From now on appends go to the beginning.
    pub(super) fn begin_anew(&mut self) {
        // What of its content was not synced counts as durable: nobody reads it again.
        self.old.clone_from(&self.bytes);
        self.appends.clear();
        (self.written, self.synced) = (0, 0);
    }

    fn append(&mut self, bytes: &[u8]) {
        let over = (self.bytes.len() - self.written).min(bytes.len());
        self.bytes[self.written..self.written + over].copy_from_slice(&bytes[..over]);
        self.bytes.extend_from_slice(&bytes[over..]);
        self.written += bytes.len();
        self.appends.push(self.written);
        self.shared = None;
    }

    fn sync(&mut self) {
        let more = (self.written - self.synced).min(self.old.len());
        self.old.drain(..more);
        self.synced = self.written;
        self.appends.clear();
    }

    pub(super) fn bytes(&mut self) -> Bytes {
        self.shared
            .get_or_insert_with(|| Bytes::copy_from_slice(&self.bytes))
            .clone()
    }

    pub(super) fn corrupt(&mut self, offset: u64, mask: u8) -> io::Result<()> {
        let byte = self
            .bytes
            .get_mut(offset as usize)
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        *byte ^= mask;
        self.shared = None;
        Ok(())
    }

    /// Loses unsynced appends; returns how many were lost, whole or in part. Only what was appended last: where a
    /// file is written anew, what was there comes back.
    pub(super) fn crash(&mut self, random: &mut Random) -> u64 {
        let appends = std::mem::take(&mut self.appends);
        let lost = if appends.is_empty() {
            0
        } else if random.chance(500) {
            self.keep_prefix(&appends, random)
        } else {
            self.keep_pieces(&appends, random)
        };
        if !appends.is_empty() {
            self.shared = None;
        }
        self.old.clear();
        self.written = self.bytes.len();
        self.synced = self.written;
        lost
    }

    /// The disk wrote in order and stopped somewhere.
    fn keep_prefix(&mut self, appends: &[usize], random: &mut Random) -> u64 {
        let kept = random.index(appends.len() + 1);
        let mut length = kept.checked_sub(1).map_or(self.synced, |last| appends[last]);
        if let Some(end) = appends.get(kept)
            && random.chance(500)
        {
            length += random.index(end - length + 1);
        }
        self.bytes.truncate(length);
        let old = self.old.get(length - self.synced..).unwrap_or_default();
        self.bytes.extend_from_slice(old);
        (appends.len() - kept) as u64
    }

    /// The disk wrote out of order: what is missing before the last piece that arrived is what was there before, or
    /// reads as zeros.
    fn keep_pieces(&mut self, appends: &[usize], random: &mut Random) -> u64 {
        let (mut start, mut length, mut lost) = (self.synced, self.synced + self.old.len(), 0);
        for &end in appends {
            let kept = match random.below(3) {
                0 => 0,
                1 => random.index(end - start + 1),
                _ => end - start,
            };
            lost += u64::from(kept < end - start);
            for at in start + kept..end {
                self.bytes[at] = self.old.get(at - self.synced).copied().unwrap_or(0);
            }
            if kept > 0 {
                length = length.max(start + kept);
            }
            start = end;
        }
        self.bytes.truncate(length);
        lost
    }
}
