//! Which crate may know which: the table of `docs/ARCHITECTURE.md`.

use toml::Table;

/// A crate's folder, and the folders of ours that it may name in `[dependencies]`.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("ring", &["model"]),
    ("gossip", &["model"]),
    ("sstable", &["model"]),
    ("cql", &["model"]),
    ("replication", &["model", "ring", "gossip", "sstable", "cql"]),
    (
        "sim",
        &["model", "ring", "gossip", "sstable", "cql", "replication"],
    ),
    ("client", &["model", "ring", "cql"]),
    (
        "node",
        &[
            "model",
            "ring",
            "gossip",
            "sstable",
            "cql",
            "replication",
            "client",
        ],
    ),
    ("bench", &["model", "ring", "sstable", "cql", "client"]),
];

/// What would bring a runtime, a network or a clock into a core crate.
const SHELL_ONLY: [&str; 6] = ["tokio", "quinn", "rustls", "axum", "rand", "mio"];

/// The crates that stay deterministic.
const CORE: [&str; 7] = ["model", "ring", "gossip", "sstable", "cql", "replication", "sim"];

/// What a crate's manifest names and may not, as sentences.
pub fn violations(folder: &str, manifest: &str) -> Result<Vec<String>, toml::de::Error> {
    let manifest: Table = manifest.parse()?;
    let allowed = ALLOWED
        .iter()
        .find(|(name, _)| *name == folder)
        .map_or(&[][..], |(_, allowed)| *allowed);
    let mut found = Vec::new();
    let named = manifest.get("dependencies").and_then(toml::Value::as_table);
    for name in named.into_iter().flat_map(Table::keys) {
        let ours = name
            .strip_prefix("starling-")
            .or_else(|| (name == "starling").then_some("node"));
        if let Some(ours) = ours
            && !allowed.contains(&ours)
        {
            found.push(format!("{folder} may not depend on {ours}"));
        }
        if CORE.contains(&folder) && SHELL_ONLY.contains(&name.as_str()) {
            found.push(format!("{folder} is a core crate and may not depend on {name}"));
        }
    }
    Ok(found)
}
