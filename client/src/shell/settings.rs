//! What a person can change while the shell runs.

use starling_model::Consistency;

use super::options::Format;

/// Rows a page on a terminal.
pub(super) const SCREEN_PAGE: u32 = 100;

/// The shell's settings.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) consistency: Consistency,
    pub(super) serial_consistency: Consistency,
    pub(super) tracing: bool,
    pub(super) paging: Paging,
    pub(super) expand: bool,
    pub(super) format: Format,
    /// A person is there: pause between pages, show times.
    pub(super) interactive: bool,
}

/// How results are paged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paging {
    /// Fetched page by page, printed without a pause.
    Off,
    /// As many rows at once; on a terminal with a pause after each page.
    On(u32),
}

impl Paging {
    /// Rows to fetch at once. A result is never fetched in one piece: it may be larger than memory.
    pub(super) fn page_size(self) -> u32 {
        match self {
            Self::Off => crate::DEFAULT_PAGE_SIZE,
            Self::On(rows) => rows,
        }
    }
}
