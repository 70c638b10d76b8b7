//! The workloads that come with the harness: the files of `bench/workloads`.

macro_rules! ready {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../workloads/", $name, ".toml")))),*]
    };
}

/// Name and text of each.
const READY: [(&str, &str); 19] = ready![
    "point-reads",
    "point-writes",
    "ycsb-a",
    "ycsb-b",
    "ycsb-c",
    "ycsb-d",
    "ycsb-e",
    "ycsb-f",
    "time-series-append",
    "time-series-read",
    "flights",
    "wide-partitions",
    "scans",
    "deletes",
    "large-values",
    "hot-keys",
    "registers",
    "conditional",
    "counters",
];

/// The text of a ready-made workload.
pub fn text(name: &str) -> Option<&'static str> {
    READY
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

/// The names.
pub fn names() -> impl Iterator<Item = &'static str> {
    READY.iter().map(|(name, _)| *name)
}
