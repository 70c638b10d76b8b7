//! A map outlives its file's end: what is read there is zeros, and the map is known to be bad.
//!
//! Reading a page of a map that the file does not reach any more (somebody truncated it), or that the disk can't
//! deliver, is not an error that a program sees: the system sends it SIGBUS, which ends it. One bad sector must
//! not end a node, so this module handles the signal: where the address lies in a map that was registered here,
//! a page of zeros takes the place of the missing one, the page is noted, and the read goes on.
//! Zeros don't pass a checksum; and whoever reads from a map asks [`Guard::is_poisoned_in`] afterwards, for bytes
//! that were checked earlier, or whether any page was [lost] meanwhile. So many pages of a map are noted, as of a disk with some bad sectors; where there are
//! more, as of a file that was cut, none of it can be relied on. Any other SIGBUS goes to the handler that was there before.
//!
//! What the handler does is safe in a signal handler: it reads and writes atomics, calls `mmap`, which is a bare
//! system call on Linux, and allocates and locks nothing. Maps are kept in chunks that are never freed, so that
//! it can walk them at any time.

#![allow(unsafe_code, reason = "there is no safe way to handle a signal")]

use std::{
    ffi::{c_int, c_void},
    ops::Range,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::residency;

/// Maps in a chunk. A chunk has a few KiB.
const CHUNK: usize = 128;

/// Pages of a map that are noted.
const PAGES: usize = 8;

/// No page: no page of a map begins there.
const NONE: usize = 0;

static FIRST: Chunk = Chunk::new();
/// How many pages were noted, in all maps.
static LOST: AtomicU64 = AtomicU64::new(0);
static HANDLER: OnceLock<Installed> = OnceLock::new();

/// What was found when the handler was installed.
struct Installed {
    previous: libc::sigaction,
    page_bytes: usize,
}

struct Chunk {
    slots: [Slot; CHUNK],
    next: OnceLock<&'static Self>,
}

/// A registered map.
struct Slot {
    taken: AtomicBool,
    /// Its addresses; none if `end` is 0.
    start: AtomicUsize,
    end: AtomicUsize,
    poisoned: AtomicBool,
    /// Where pages begin that are zeros, until there is no room.
    pages: [AtomicUsize; PAGES],
    /// There was no room.
    everywhere: AtomicBool,
}

/// How many pages took the place of missing ones so far, in all maps of the process.
pub(super) fn lost() -> u64 {
    LOST.load(Ordering::Acquire)
}

/// The registration of a map, until it is dropped. To be dropped before the memory is unmapped.
pub(super) struct Guard {
    slot: &'static Slot,
}

impl Guard {
    /// Registers the memory of a map, which is a whole file from its beginning.
    pub(super) fn new(memory: &[u8]) -> Self {
        install();
        let slot = free_slot();
        slot.poisoned.store(false, Ordering::Relaxed);
        slot.everywhere.store(false, Ordering::Relaxed);
        for page in &slot.pages {
            page.store(NONE, Ordering::Relaxed);
        }
        let start = memory.as_ptr().addr();
        slot.start.store(start, Ordering::Release);
        // The last page of a file is mapped whole.
        slot.end.store(start + memory.len(), Ordering::Release);
        Self { slot }
    }

    /// Whether something that the file did not hold was read from the map, as zeros.
    pub(super) fn is_poisoned(&self) -> bool {
        self.slot.poisoned.load(Ordering::Acquire)
    }

    /// The same of some bytes of the map; of all of it, once there are very many such places.
    pub(super) fn is_poisoned_in(&self, bytes: Range<usize>) -> bool {
        if !self.is_poisoned() {
            return false;
        }
        let start = self.slot.start.load(Ordering::Acquire);
        let (from, to) = (start + bytes.start, start + bytes.end);
        let page_bytes = residency::page_bytes();
        let met = |page: &AtomicUsize| {
            let page = page.load(Ordering::Acquire);
            page != NONE && page < to && from < page + page_bytes
        };
        self.slot.everywhere.load(Ordering::Acquire) || self.slot.pages.iter().any(met)
    }

    /// Where a page begins that is zeros, in the map: the last one that was noted.
    pub(super) fn lost_page(&self) -> Option<usize> {
        if !self.is_poisoned() {
            return None;
        }
        let mut noted = self
            .slot
            .pages
            .iter()
            .rev()
            .map(|page| page.load(Ordering::Acquire));
        let last = noted.find(|page| *page != NONE)?;
        last.checked_sub(self.slot.start.load(Ordering::Acquire))
    }

    /// Does to the page at this offset what the handler does when the disk can't deliver it.
    #[cfg(test)]
    pub(super) fn lose(&self, offset: usize) {
        let address = self.slot.start.load(Ordering::Acquire) + offset;
        let page_bytes = residency::page_bytes();
        assert!(poison(address, page_bytes) && put_zeros(address, page_bytes));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slot.end.store(0, Ordering::Release);
        self.slot.taken.store(false, Ordering::Release);
    }
}

impl Slot {
    /// Notes the page that begins at an address. Safe in a signal handler.
    fn note(&self, page: usize) {
        let noted = self.pages.iter().any(|place| {
            let found = place.compare_exchange(NONE, page, Ordering::SeqCst, Ordering::SeqCst);
            found.is_ok() || found == Err(page)
        });
        if !noted {
            self.everywhere.store(true, Ordering::SeqCst);
        }
        // Who sees this sees the page; and who counts it sees this.
        self.poisoned.store(true, Ordering::SeqCst);
        LOST.fetch_add(1, Ordering::SeqCst);
    }

    fn contains(&self, address: usize) -> bool {
        let end = self.end.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Acquire);
        // The slot may have changed hands between the two loads; then it was not the one that is looked for,
        // whose map is being read.
        start <= address && address < end && self.end.load(Ordering::Acquire) == end
    }
}

impl Chunk {
    const fn new() -> Self {
        Self {
            slots: [const {
                Slot {
                    taken: AtomicBool::new(false),
                    start: AtomicUsize::new(0),
                    end: AtomicUsize::new(0),
                    poisoned: AtomicBool::new(false),
                    pages: [const { AtomicUsize::new(NONE) }; PAGES],
                    everywhere: AtomicBool::new(false),
                }
            }; CHUNK],
            next: OnceLock::new(),
        }
    }
}

fn free_slot() -> &'static Slot {
    let mut chunk = &FIRST;
    loop {
        let free = chunk
            .slots
            .iter()
            .find(|slot| !slot.taken.load(Ordering::Relaxed) && !slot.taken.swap(true, Ordering::Acquire));
        if let Some(slot) = free {
            return slot;
        }
        chunk = chunk.next.get_or_init(|| Box::leak(Box::new(Chunk::new())));
    }
}

fn install() {
    HANDLER.get_or_init(|| {
        // SAFETY: A `sigaction` is plain integers, for which zeros are a value.
        let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `previous` is valid for a write; a null action changes nothing.
        unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut previous) };
        Installed {
            previous,
            page_bytes: residency::page_bytes(),
        }
    });
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: As above.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` is a whole action, whose handler has the type that `SA_SIGINFO` asks for, and does
        // only what is allowed in a signal handler (see above). What it needs, `HANDLER`, is set.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    });
}

extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(installed) = HANDLER.get() else { return };
    // SAFETY: The system passes a valid `siginfo_t` to a handler with `SA_SIGINFO`.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    // Not positive: a process has sent the signal, and there is no address.
    if code > 0 && poison(address, installed.page_bytes) && put_zeros(address, installed.page_bytes) {
        return;
    }
    pass_on(&installed.previous, signal, info, context);
}

/// Notes the page of an address in the map that it is in; whether there is one.
fn poison(address: usize, page_bytes: usize) -> bool {
    let mut found = false;
    let mut chunk = Some(&FIRST);
    while let Some(it) = chunk {
        for slot in it.slots.iter().filter(|slot| slot.contains(address)) {
            slot.note(address & !(page_bytes - 1));
            found = true;
        }
        chunk = it.next.get().copied();
    }
    found
}

/// Puts a page of zeros where there is none to be had.
fn put_zeros(address: usize, page_bytes: usize) -> bool {
    let page = ptr::without_provenance_mut(address & !(page_bytes - 1));
    // SAFETY: `__errno_location` gives the thread's own `errno`, valid for reads and writes.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: The page lies in a file's read-only map that is registered, and so not unmapped yet: somebody is
    // reading from it at this moment. Nobody has seen a byte of this page, or can rely on bytes of a file that
    // was changed under the map. The map's owner unmaps whatever is there as one range.
    let mapped = unsafe {
        libc::mmap(
            page,
            page_bytes,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    // SAFETY: As above.
    unsafe { *libc::__errno_location() = errno };
    mapped == page
}

/// Does what would have been done without this module.
fn pass_on(previous: &libc::sigaction, signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let handler = previous.sa_sigaction;
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // SAFETY: `previous` is what was in force before. Ignoring makes no difference for a fault: the
        // instruction is tried again, and now ends the process.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
    } else if previous.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: With this flag the address is that of a function of this type, which may be called in a
        // signal handler with the arguments of this one.
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
            unsafe { std::mem::transmute(handler) };
        handler(signal, info, context);
    } else {
        // SAFETY: Without the flag, and not a constant, it is that of a function of this type.
        let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
        handler(signal);
    }
}
