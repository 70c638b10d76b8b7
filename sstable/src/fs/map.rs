//! Files mapped into memory.

#![allow(
    clippy::disallowed_types,
    reason = "this is the implementation of the seam that everything else goes through"
)]

use std::{fmt, fs::File, io, ops::Deref, ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    maps::{self, Counted},
    sigbus::Guard,
};

/// A file that is mapped for reading, or otherwise in memory. Cheap to clone; slices of its bytes keep the mapping
/// alive.
#[derive(Clone)]
pub struct Map {
    bytes: Bytes,
    /// `None` for bytes that are no map.
    mapping: Option<Arc<Mapping>>,
    /// Who tells what is in memory, if it is not the system.
    residency: Option<Arc<dyn Residency>>,
}

/// Tells which bytes of a map are in memory, in the place of a system: for file systems that have none below them.
pub trait Residency: fmt::Debug + Send + Sync {
    /// Whether a range of the map's bytes is in memory.
    fn is_resident(&self, range: Range<usize>) -> bool;

    /// Brings a range of bytes into memory, and returns once it is there.
    fn load(&self, range: Range<usize>);
}

/// The mapping itself. Fields are dropped in order: the guard first.
struct Mapping {
    guard: Guard,
    memory: memmap2::Mmap,
    _counted: Counted,
}

/// Keeps a mapping alive for the bytes that lie in it.
struct Owner(Arc<Mapping>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.memory
    }
}

impl Map {
    /// Maps a whole file. An empty file, which can't be mapped, is empty bytes.
    #[allow(unsafe_code, reason = "there is no safe way to map a file")]
    pub(super) fn of_file(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Bytes::new().into());
        }
        let counted = maps::PROCESS.take()?;
        // SAFETY: The contract of `Fs::map` is that the file is not written to any more. Tables are written
        // once, synced, and only then mapped; the data directory is locked, so that no other process of ours
        // writes there; removing a mapped file leaves its pages alone. What remains is another program that
        // overwrites the file, which no user of a map can exclude, and what it truncates, which the guard covers.
        let memory = unsafe { memmap2::Mmap::map(file) }.map_err(|error| maps::PROCESS.explain(error))?;
        let mapping = Arc::new(Mapping {
            guard: Guard::new(&memory),
            memory,
            _counted: counted,
        });
        Ok(Self {
            bytes: Bytes::from_owner(Owner(Arc::clone(&mapping))),
            mapping: Some(mapping),
            residency: None,
        })
    }

    /// The same, of which `residency` tells what is in memory.
    #[must_use]
    pub fn with_residency(mut self, residency: Arc<dyn Residency>) -> Self {
        self.residency = Some(residency);
        self
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its bytes alone.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Whether a read met a place that the file does not hold (any more), or that the disk could not deliver: it
    /// got zeros there. Once it is `true` it stays so.
    pub fn is_poisoned(&self) -> bool {
        self.mapping
            .as_ref()
            .is_some_and(|mapping| mapping.guard.is_poisoned())
    }

    /// The same of a range of bytes, cut to the map: of its pages, or of all of the map, once there are many such places in it.
    /// To be asked after each use of bytes whose checksum was not computed in that use.
    #[inline]
    pub fn is_poisoned_in(&self, range: Range<usize>) -> bool {
        self.is_poisoned()
            && self
                .mapping
                .as_ref()
                .is_some_and(|mapping| mapping.guard.is_poisoned_in(cut(range, self.bytes.len())))
    }

    /// Where in it a place lies that a read met like that, in bytes; one of them if there are more.
    pub(crate) fn lost_page(&self) -> Option<usize> {
        self.mapping.as_ref()?.guard.lost_page()
    }

    /// Makes the page at an offset one that the disk can't deliver.
    #[cfg(test)]
    pub(crate) fn lose(&self, offset: usize) {
        let mapping = self.mapping.as_ref().expect("it is the map of a file");
        mapping.guard.lose(offset);
    }

    /// Whether a range of bytes, cut to the map, can be read without the disk, as far as is known. A system call
    /// of well under a microsecond; what was resident may be gone a moment later.
    pub fn is_resident(&self, range: Range<usize>) -> bool {
        if let Some(residency) = &self.residency {
            return residency.is_resident(cut(range, self.bytes.len()));
        }
        self.mapping.as_ref().is_none_or(|mapping| {
            let memory = &mapping.memory[cut(range, mapping.memory.len())];
            memory.is_empty() || super::residency::is_resident(memory).unwrap_or(true)
        })
    }

    /// Reads a range of bytes, cut to the map, from the disk into memory, and returns once it is there, so that
    /// who reads it next does not wait. A hint: what fails here shows when the bytes are read.
    pub fn load(&self, range: Range<usize>) {
        if let Some(residency) = &self.residency {
            return residency.load(cut(range, self.bytes.len()));
        }
        let Some(mapping) = &self.mapping else { return };
        let range = cut(range, mapping.memory.len());
        if range.is_empty() {
            return;
        }
        // The first that the system takes: an older one does not know both, and a hint that is not taken is no error.
        let advice = [memmap2::Advice::PopulateRead, memmap2::Advice::WillNeed];
        let _ = advice.into_iter().any(|advice| {
            let advised = mapping.memory.advise_range(advice, range.start, range.len());
            advised.is_ok()
        });
    }

    /// Lets the system forget a range of bytes, cut to the map, that is not read again soon. A hint; pages that
    /// the range touches in part are forgotten too.
    pub fn drop_behind(&self, range: Range<usize>) {
        if let Some(mapping) = &self.mapping {
            let memory = &mapping.memory[cut(range, mapping.memory.len())];
            if !memory.is_empty() {
                super::residency::drop_behind(memory);
            }
        }
    }

    /// Takes a range of bytes, cut to the map, out of this process's memory; they stay in the system's, and come back
    /// when they are read. A hint, and the bounded way to unmap: what a map still has when it is dropped goes at
    /// once, and all other mapping in the process waits for that.
    pub fn release(&self, range: Range<usize>) {
        if let Some(mapping) = &self.mapping {
            let memory = &mapping.memory[cut(range, mapping.memory.len())];
            if !memory.is_empty() {
                super::residency::release(memory);
            }
        }
    }
}

fn cut(range: Range<usize>, length: usize) -> Range<usize> {
    let end = range.end.min(length);
    range.start.min(end)..end
}

impl Deref for Map {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Bytes> for Map {
    /// Bytes that are in memory anyway.
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            mapping: None,
            residency: None,
        }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("bytes", &self.bytes.len())
            .field("is_poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}
