//! What was found out about the stripes of a table when they were first used.

use std::sync::OnceLock;

use super::stripe::Shape;

/// For each stripe its shape, once it was found whole. Readers may ask and set at the same time: at worst a
/// stripe is checked twice. What is asked most lies close together, apart from the file.
#[derive(Debug)]
pub(super) struct Checks(Box<[OnceLock<Shape>]>);

impl Checks {
    /// No stripe was checked.
    pub(super) fn new(stripes: usize) -> Self {
        Self((0..stripes).map(|_| OnceLock::new()).collect())
    }

    /// The shape of a stripe that was found whole.
    #[inline]
    pub(super) fn get(&self, stripe: usize) -> Option<&Shape> {
        self.0[stripe].get()
    }

    /// A stripe was found whole.
    pub(super) fn set(&self, stripe: usize, shape: Shape) -> &Shape {
        self.0[stripe].get_or_init(|| shape)
    }
}
