//! How long a read may take, by the caller's clock.

/// Asked now and then while rows and tombstones are visited.
pub trait Deadline {
    /// Whether it is time to stop. Once it said so, it is not asked again.
    fn has_passed(&mut self) -> bool;
}

/// No deadline: the limits of the command alone end a page.
#[derive(Debug, Clone, Copy, Default)]
pub struct Never;

impl Deadline for Never {
    fn has_passed(&mut self) -> bool {
        false
    }
}

impl<F: FnMut() -> bool> Deadline for F {
    fn has_passed(&mut self) -> bool {
        self()
    }
}
