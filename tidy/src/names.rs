//! Names that say nothing.

use std::path::Path;

/// A room with such a name collects what nobody found a place for.
const BAGS: [&str; 8] = [
    "util", "utils", "common", "helper", "helpers", "misc", "manager", "stuff",
];

/// The bag that a path names, if any.
pub fn bag(path: &Path) -> Option<&'static str> {
    path.iter()
        .filter_map(|part| part.to_str())
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .find_map(|part| BAGS.into_iter().find(|bag| *bag == part))
}
