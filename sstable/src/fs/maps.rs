//! How many files the process has mapped, and how many it may.
//!
//! A system gives a process a number of maps (Linux: `vm.max_map_count`, 65,530 unless set), and each table that is open takes
//! one. So do memory and threads, and a process that gets none for its memory ends. So files leave room for the rest: whoever
//! runs the process says how many may be mapped ([`limit_mapped_files`]), and one more is an error like any other of a file
//! that can't be opened. Both numbers are the process's, as its maps are.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Those of this process.
pub(super) static PROCESS: Maps = Maps::new();

/// What to do where there are too many.
const ADVICE: &str = "it can be tried again: let the process have more maps, as with `sysctl -w vm.max_map_count=1048576`, \
                      which helps at once";

/// How many files are mapped, and may be.
#[derive(Debug)]
pub(super) struct Maps {
    mapped: AtomicUsize,
    most: AtomicUsize,
}

/// A file that counts as mapped until this is dropped. To be dropped after the memory is unmapped.
#[derive(Debug)]
pub(super) struct Counted(&'static Maps);

/// How many files the process has mapped now. Cheap.
pub fn mapped_files() -> usize {
    PROCESS.mapped.load(Ordering::Relaxed)
}

/// From now on the process maps no file if it has `most` mapped already: that is an [`io::ErrorKind::OutOfMemory`]. Files that are
/// mapped stay so. Without this there is the system's limit only.
pub fn limit_mapped_files(most: usize) {
    PROCESS.most.store(most, Ordering::Relaxed);
}

impl Maps {
    const fn new() -> Self {
        Self {
            mapped: AtomicUsize::new(0),
            most: AtomicUsize::new(usize::MAX),
        }
    }

    /// Counts one more, unless there are as many as may be.
    pub(super) fn take(&'static self) -> io::Result<Counted> {
        let most = self.most.load(Ordering::Relaxed);
        let one_more = |mapped| (mapped < most).then_some(mapped + 1);
        match self
            .mapped
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
        {
            Ok(_) => Ok(Counted(self)),
            Err(mapped) => Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!(
                    "{mapped} files are mapped, and {most} may be, so that the process keeps maps for its memory; {ADVICE}"
                ),
            )),
        }
    }

    /// Gives an error of mapping a file its likely reason.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::OutOfMemory {
            return error;
        }
        // This one is not mapped.
        let mapped = self.mapped.load(Ordering::Relaxed).saturating_sub(1);
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "{error}: {mapped} files are mapped, and the system may allow this process no more maps; {ADVICE}"
            ),
        )
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.mapped.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_mapped_than_may_be_and_those_that_go_make_room() {
        let maps: &'static Maps = Box::leak(Box::new(Maps::new()));
        let first = maps.take().unwrap();
        maps.most.store(2, Ordering::Relaxed);
        let second = maps.take().unwrap();
        let refused = maps.take().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
        let text = refused.to_string();
        assert!(text.starts_with("2 files are mapped, and 2 may be"), "{text}");
        for told in ["it can be tried again", "vm.max_map_count="] {
            assert!(text.contains(told), "{text}");
        }
        maps.most.store(1, Ordering::Relaxed);
        drop(first);
        maps.take()
            .expect_err("a limit that is lowered takes nothing away");
        drop(second);
        drop(maps.take().unwrap());
        assert_eq!(maps.mapped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_system_s_refusal_is_explained_and_no_other() {
        let maps: &'static Maps = Box::leak(Box::new(Maps::new()));
        let all: Vec<Counted> = (0..3).map(|_| maps.take().unwrap()).collect();
        let error = maps.explain(io::Error::from_raw_os_error(libc::ENOMEM));
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        for told in ["2 files are mapped", "it can be tried again", "vm.max_map_count="] {
            assert!(text.contains(told), "{text}");
        }
        let other = maps.explain(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(other.raw_os_error(), Some(libc::EACCES));
        drop(all);
    }
}
