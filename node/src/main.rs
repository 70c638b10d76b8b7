//! The `starling` binary.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// A request makes dozens of small allocations on one thread and frees many on another; the system's allocator
/// spent a fifth of a read's CPU on that, and kept what a burst had taken.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    starling::cli::main()
}
