//! Which pages of a map are in memory.

#![allow(unsafe_code, reason = "there is no safe way to ask for the pages of a map")]

use std::{io, ptr, sync::OnceLock};

/// Pages that are asked for at a time.
const PAGES: usize = 64;

/// Whether all pages under some memory of a map are in the page cache.
pub(super) fn is_resident(memory: &[u8]) -> io::Result<bool> {
    let page_bytes = page_bytes();
    let (mut at, end) = whole_pages(memory);
    let mut states = [0_u8; PAGES];
    while at < end {
        let bytes = (end - at).min(PAGES * page_bytes);
        let pages = bytes.div_ceil(page_bytes);
        // SAFETY: The addresses are those of a live map, rounded to its pages, and nothing there is read or
        // written; `states` has a byte for each of the pages.
        let outcome =
            unsafe { libc::mincore(ptr::without_provenance_mut(at), bytes, states.as_mut_ptr().cast()) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        if states[..pages].iter().any(|state| state & 1 == 0) {
            return Ok(false);
        }
        at += bytes;
    }
    Ok(true)
}

/// Lets the system take the pages back that lie under some memory of a map.
pub(super) fn drop_behind(memory: &[u8]) {
    advise(memory, libc::MADV_PAGEOUT);
}

/// Takes the pages that lie under some memory of a map out of the process, and leaves them in the page cache.
pub(super) fn release(memory: &[u8]) {
    advise(memory, libc::MADV_DONTNEED);
}

/// Gives advice that changes no content. It is a hint: an older system that does not know it says so.
fn advise(memory: &[u8], advice: libc::c_int) {
    let (start, end) = whole_pages(memory);
    // SAFETY: The addresses are those of a live, read-only, shared map of a file, rounded to its pages. Whoever reads them
    // next finds the same, in the page cache or in the file.
    unsafe { libc::madvise(ptr::without_provenance_mut(start), end - start, advice) };
}

/// The addresses of the pages that some memory touches.
fn whole_pages(memory: &[u8]) -> (usize, usize) {
    let page_bytes = page_bytes();
    let start = memory.as_ptr().addr();
    (
        start & !(page_bytes - 1),
        (start + memory.len()).next_multiple_of(page_bytes),
    )
}

pub(super) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        // SAFETY: Asking for the page size touches no memory.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(bytes).unwrap_or(4096)
    })
}
