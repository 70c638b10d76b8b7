//! Settings as they are written: in a file, on the command line, or partly in both.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ConfigError;

macro_rules! settings {
    ($($(#[$attribute:meta])* $name:ident: $kind:ty,)*) => {
        /// What a file or the command line says; what is absent has its default.
        ///
        /// Names in the file are those of the flags, with `_` for `-`.
        #[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Settings {
            $(
                $(#[$attribute])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$kind>,
            )*
        }

        impl Settings {
            /// These settings, and those of `other` where these say nothing.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($name: self.$name.or(other.$name),)* }
            }
        }
    };
}

settings! {
    /// A name for people: in logs and in the certificate [default: node]
    #[arg(long)]
    name: String,
    /// The data directory [default: ./starling-data]
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where peers and native clients connect (QUIC): an exact address [default: 127.0.0.1:7000]
    #[arg(long, value_name = "IP[:PORT]")]
    listen: String,
    /// Where peers and native clients reach this node, if its address or port is forwarded [default: --listen]
    #[arg(long, value_name = "IP[:PORT]")]
    advertise: String,
    /// Where CQL drivers connect: an exact address [default: that of --listen, port 9042]
    #[arg(long, value_name = "IP[:PORT]")]
    cql: String,
    /// Where /status, /metrics and /health are served over HTTP, or "off" [default: 127.0.0.1:7080]
    #[arg(long, value_name = "IP[:PORT]")]
    admin: String,
    /// Nodes to ask for the cluster, by comma; the first node of a cluster names itself or nobody
    #[arg(long, value_name = "HOST[:PORT],...", value_delimiter = ',')]
    seeds: Vec<String>,
    /// The cluster's name [default: starling]
    #[arg(long)]
    cluster: String,
    /// The datacenter this node stands in [default: datacenter1]
    #[arg(long)]
    dc: String,
    /// The rack this node stands in [default: rack1]
    #[arg(long)]
    rack: String,
    /// Take the place of a dead node, by its host id or address; with an empty data directory
    #[arg(long, value_name = "NODE")]
    replace: String,
    /// How fast the node fetches the data of ranges that it gains [default: as fast as it goes, requests first]
    #[arg(long, value_name = "MIB/S")]
    stream_rate: u64,
    /// The directory with ca.pem, node.pem and node.key, as `starling ca issue` makes it
    #[arg(long, value_name = "DIR")]
    tls: PathBuf,
    /// How many tokens a new node takes [default: 16]
    #[arg(long, value_name = "N")]
    vnodes: u32,
    /// How keys become tokens, fixed when the cluster is made: murmur3 or xxh3 [default: murmur3]
    #[arg(long)]
    partitioner: String,
    /// How many shards a new data directory gets [default: the number of cores]
    #[arg(long, value_name = "N")]
    shards: u32,
    /// When a write is acknowledged: group (once it is on disk) or periodic (at once) [default: group]
    #[arg(long, value_name = "MODE")]
    commitlog_sync: String,
    /// How often the log is synced with `--commitlog-sync periodic` [default: 1000]
    #[arg(long, value_name = "MS")]
    commitlog_sync_period_ms: u64,
    /// For how long writes are kept for a node that is down; repair brings it what is older [default: 10800]
    #[arg(long, value_name = "SECONDS")]
    hint_window_s: u64,
    /// How many writes are kept for one node that is down; what is more is left to repair [default: 16384]
    #[arg(long, value_name = "MIB")]
    hint_mib_per_node: u64,
    /// How many are kept for all nodes that are down [default: 65536, and only while 1024 are free on the disk]
    #[arg(long, value_name = "MIB")]
    hint_mib: u64,
    /// How fast a node that is back gets them, of 2 KiB each at least, so 16 are 8192 writes a second from all others together [default: 16]
    #[arg(long, value_name = "MIB/S")]
    hint_rate: u64,
    /// How long a round of the comparison of replicas takes, or 0: only on demand [default: 600]
    #[arg(long, value_name = "SECONDS")]
    repair_interval_s: u64,
    /// Memory for recent writes, of all shards together [default: 256]
    #[arg(long, value_name = "MIB")]
    memtable_mib: usize,
    /// Memory for large requests and results that are under way; what finds no room waits [default: 256]
    #[arg(long, value_name = "MIB")]
    in_flight_mib: usize,
    /// Keep a link in backups/ of every table that a flush writes or another node brings, until you remove it [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    incremental_backups: bool,
}

impl Settings {
    /// Reads a file. Paths in it are relative to its directory.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(format!(
                "cannot read the file {} of --config: {error}",
                path.display()
            ))
        })?;
        let mut settings: Self = toml::from_str(&text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            ConfigError::new(format!("{}, line {line}: {}", path.display(), error.message()))
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        for path in [&mut settings.dir, &mut settings.tls].into_iter().flatten() {
            *path = base.join(&*path);
        }
        Ok(settings)
    }
}
